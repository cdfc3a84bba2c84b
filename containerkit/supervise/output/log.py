"""A container's output on disk.

Each file is a row of blocks of 64 KiB, and a block a row of records: a header of 16 bytes and the bytes as they were
read from the pipe. No record crosses into the next block; what is left of a block that has no room is zeros::

    0        8       12      13         16
    | time_ns | length | stream | reserved |  data ...        stream 0: nothing more in this block
      u64 LE    u32 LE   u8

So a reader can begin at any block: the time of one line in a gigabyte is found by bisection, the last lines from the
end. Nothing is parsed while the container runs: 200 MB of output are some thousand copies. Lines are made when somebody
reads. A record that was cut off (the machine went down) ends the log.

A log is bounded: when ``log`` is full it becomes ``log.1``, that becomes ``log.2``, and the oldest goes.
"""

from __future__ import annotations

import os
import struct
import time

from containerkit.errors import reason

HEADER = struct.Struct("<QIB3x")
BLOCK = 64 * 1024
#: Standard output and standard error. Another number is no record's: the file is damaged there.
STREAMS = (1, 2)
#: How much is read from a pipe at once; the pipe is made as large.
READ_SIZE = 256 * 1024
#: With less room than this a block ends.
_LEAST = HEADER.size + 1
_GIVEN_BACK = 1 << 20


def records(stream: int, data: bytes, when: int, position: int) -> list[bytes | memoryview]:
    """The pieces to write for ``data``, when the file is ``position`` bytes long."""
    pieces: list[bytes | memoryview] = []
    view = memoryview(data)
    while view:
        room = BLOCK - position % BLOCK
        if room < _LEAST:
            pieces.append(bytes(room))
            position += room
            room = BLOCK
        part = view[: room - HEADER.size]
        pieces += (HEADER.pack(when, len(part), stream), part)
        position += HEADER.size + len(part)
        view = view[len(part) :]
    return pieces


def next_record(position: int) -> int:
    """Where the record after one that ends at ``position`` begins."""
    room = BLOCK - position % BLOCK
    return position + room if room < _LEAST else position


class LogWriter:
    """Appends records. A full disk ends the log, not the container: later output is dropped and ``error`` says why.

    Args:
        path: of the newest file.
        max_size: bytes of one file; -1 for no bound.
        max_file: how many files are kept.
    """

    def __init__(self, path: str, max_size: int = -1, max_file: int = 1) -> None:
        self.error = ""
        self._path, self._max_size, self._max_file = path, max_size, max_file
        #: So many bytes fit into one file, with their headers.
        self._most = max_size - HEADER.size * (max_size // BLOCK + 1) if max_size >= BLOCK else READ_SIZE
        self._open()

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._descriptor).st_size
        if self._size:
            # What a writer that was killed had half written would swallow what comes after it.
            self._cut(self._size)

    def write(self, stream: int, data: bytes) -> None:
        """Append with the time of now."""
        if self.error:
            return
        try:
            now = time.time_ns()
            for start in range(0, len(data), self._most):
                self._write(stream, data[start : start + self._most], now)
        except OSError as error:
            self.error = f"log: {reason(error)}; later output is lost"
            # The disk is full: some room is given back, so that the container's end can be written down.
            self._cut(os.fstat(self._descriptor).st_size - _GIVEN_BACK)

    def _write(self, stream: int, data: bytes, now: int) -> None:
        pieces = records(stream, data, now, self._size)
        if 0 < self._max_size < self._size + sum(map(len, pieces)) and self._size:
            self._rotate()
            pieces = records(stream, data, now, self._size)
        self._append(pieces)

    def _append(self, pieces: list[bytes | memoryview]) -> None:
        total = sum(map(len, pieces))
        written = os.writev(self._descriptor, pieces)
        if written != total:
            rest = memoryview(b"".join(pieces))[written:]
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        self._size += total

    def _rotate(self) -> None:
        os.close(self._descriptor)
        # The oldest first: killed in between, there is a gap in the names and nothing else.
        for number in range(self._max_file - 1, 0, -1):
            older = f"{self._path}.{number - 1}" if number > 1 else self._path
            if os.path.exists(older):
                os.replace(older, f"{self._path}.{number}")
        if self._max_file == 1:
            os.unlink(self._path)
        self._open()

    def _cut(self, size: int) -> None:
        """Keep the whole records within the first ``size`` bytes."""
        end = max(0, size - size % BLOCK)
        while len(header := os.pread(self._descriptor, HEADER.size, end)) == HEADER.size:
            _, length, stream = HEADER.unpack(header)
            after = next_record(end + HEADER.size + length)
            if after > size or stream not in STREAMS:
                break
            end = after
        os.ftruncate(self._descriptor, end)
        self._size = end

    def close(self) -> None:
        os.close(self._descriptor)
