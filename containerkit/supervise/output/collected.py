"""Output that has been collected: in memory while it is short, in an unlinked file when it is not."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Iterator

from containerkit.results import Chunk
from containerkit.supervise.output import log
from containerkit.supervise.output.logfiles import Reader

_SMALL = 1 << 20


class Output:
    """Chunks in order. Iterate by calling; the file, if any, goes when the last user of it does."""

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []
        self._size = 0
        self._descriptor = -1

    @classmethod
    def of_log(cls, descriptor: int) -> Output:
        """The output in an open log file, which becomes this object's own."""
        output = cls()
        if os.fstat(descriptor).st_size <= _SMALL:
            output._chunks = list(Reader(descriptor))
            os.close(descriptor)
        else:
            output._own(descriptor)
        return output

    def add(self, stream: int, data: bytes) -> None:
        """Append what was read from a stream just now."""
        self._size += len(data)
        if self._descriptor < 0 and self._size <= _SMALL:
            self._chunks.append(Chunk(time.time_ns(), stream, data))
            return
        if self._descriptor < 0:
            self._spill()
        self._write(time.time_ns(), stream, data)

    def _spill(self) -> None:
        import tempfile

        with tempfile.TemporaryFile(prefix="containerkit-") as file:
            self._own(os.dup(file.fileno()))
        for chunk in self._chunks:
            self._write(chunk.time, chunk.stream, chunk.data)
        self._chunks.clear()

    def _write(self, when: int, stream: int, data: bytes) -> None:
        pieces = log.records(stream, data, when, os.lseek(self._descriptor, 0, os.SEEK_CUR))
        view = memoryview(b"".join(pieces))
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _own(self, descriptor: int) -> None:
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    def __call__(self) -> Iterator[Chunk]:
        return iter(self._chunks) if self._descriptor < 0 else iter(Reader(self._descriptor))
