"""A container's output on disk.

The file is a row of records: a header of 16 bytes and the bytes as they were read from the pipe::

    0        8       12      13         16
    | time_ns | length | stream | reserved |  data ...
      u64 LE    u32 LE   u8

Nothing is parsed while the container runs: 200 MB of output are some thousand copies. Lines are made when somebody
reads. A record that was cut off (the machine went down) ends the log.
"""

from __future__ import annotations

import os
import struct
import time

from containerkit.errors import reason

HEADER = struct.Struct("<QIB3x")
#: How much is read from a pipe at once; the pipe is made as large.
READ_SIZE = 256 * 1024
_GIVEN_BACK = 1 << 20


class LogWriter:
    """Appends records. A full disk ends the log, not the container: later output is dropped and ``error`` says why."""

    def __init__(self, path: str) -> None:
        self.error = ""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        size = os.fstat(self._descriptor).st_size
        if size:
            # What a writer that was killed had half written would swallow what comes after it.
            self._cut(size)

    def write(self, stream: int, data: bytes) -> None:
        """Append one record with the time of now."""
        if self.error:
            return
        header = HEADER.pack(time.time_ns(), len(data), stream)
        try:
            written = os.writev(self._descriptor, (header, data))
            while written != len(header) + len(data):
                written += os.write(self._descriptor, (header + data)[written:])
        except OSError as error:
            self.error = f"log: {reason(error)}; later output is lost"
            # The disk is full: some room is given back, so that the container's end can be written down.
            self._cut(os.fstat(self._descriptor).st_size - _GIVEN_BACK)

    def _cut(self, size: int) -> None:
        """Keep the whole records within the first ``size`` bytes."""
        end = 0
        while len(header := os.pread(self._descriptor, HEADER.size, end)) == HEADER.size:
            after = end + HEADER.size + HEADER.unpack(header)[1]
            if after > size:
                break
            end = after
        os.ftruncate(self._descriptor, end)

    def close(self) -> None:
        os.close(self._descriptor)
