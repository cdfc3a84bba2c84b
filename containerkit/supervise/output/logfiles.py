"""Reading a log from where it matters: the newest file and the older ones as one row of blocks."""

from __future__ import annotations

import bisect
import os
import re
from collections.abc import Iterator

from containerkit.results import Chunk
from containerkit.supervise.output.log import BLOCK, HEADER, STREAMS, next_record


class Reader:
    """The records of one open file from ``offset`` on, as far as they are written. It may be iterated again later.

    The descriptor's own position is left alone.
    """

    def __init__(self, descriptor: int, offset: int = 0) -> None:
        self.descriptor, self.offset = descriptor, offset

    def __iter__(self) -> Iterator[Chunk]:
        while True:
            began = self.offset
            data = os.pread(self.descriptor, BLOCK - began % BLOCK, began)
            yield from self._block(data, began)
            if self.offset == began:
                # What is damaged ends with its block, when there is another after it.
                if os.fstat(self.descriptor).st_size <= began + len(data) or (began + len(data)) % BLOCK:
                    return
                self.offset += len(data)

    def _block(self, data: bytes, began: int) -> Iterator[Chunk]:
        position = 0
        while len(data) - position >= HEADER.size:
            when, length, stream = HEADER.unpack_from(data, position)
            end = position + HEADER.size + length
            if stream not in STREAMS or end > len(data):
                return
            position = next_record(began + end) - began
            self.offset = began + position
            yield Chunk(when, stream, data[end - length : end])


def names(path: str) -> list[str]:
    """The files of the log, the oldest first."""
    directory, base = os.path.split(path)
    try:
        found = os.listdir(directory)
    except FileNotFoundError:
        return []
    numbers = [int(n[1]) for name in found if (n := re.fullmatch(rf"{re.escape(base)}\.([1-9][0-9]{{0,5}})", name))]
    return [f"{path}.{number}" for number in sorted(numbers, reverse=True)] + [path] * (base in found)


class LogFiles:
    """The files of one log, opened at one moment. A context manager."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptors: list[int] = []
        while not self._open():
            self.close()
        sizes = [os.fstat(descriptor).st_size for descriptor in self.descriptors]
        #: Where each block begins: (descriptor, offset).
        self.blocks = [
            (descriptor, offset)
            for descriptor, size in zip(self.descriptors, sizes, strict=True)
            for offset in range(0, size, BLOCK)
        ]

    def _open(self) -> bool:
        """Open all; False when the log was rotated meanwhile."""
        before = _inode(self.path)
        try:
            for name in names(self.path):
                self.descriptors.append(os.open(name, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            return False
        return _inode(self.path) == before

    def __enter__(self) -> LogFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        while self.descriptors:
            os.close(self.descriptors.pop())

    def block_at(self, moment: float) -> int:
        """The number of a block before which everything is older than ``moment`` (epoch seconds)."""
        nanoseconds = int(moment * 1e9)
        # The block before the first one that begins later; a line may have begun in the one before that.
        return max(0, bisect.bisect_left(self.blocks, nanoseconds, key=self._time) - 1)

    def _time(self, block: tuple[int, int]) -> int:
        header = os.pread(block[0], HEADER.size, block[1])
        return int(HEADER.unpack(header)[0]) if len(header) == HEADER.size else 1 << 63

    def chunks(self, block: int) -> list[Chunk]:
        """The records of one block."""
        descriptor, offset = self.blocks[block]
        return list(Reader(descriptor)._block(os.pread(descriptor, BLOCK, offset), offset))

    def data(self, block: int, stream: int) -> bytes:
        """What a stream has in one block, put together."""
        descriptor, offset = self.blocks[block]
        block_data = os.pread(descriptor, BLOCK, offset)
        parts, position = [], 0
        while len(block_data) - position >= HEADER.size:
            _, length, of = HEADER.unpack_from(block_data, position)
            end = position + HEADER.size + length
            if of == stream and end <= len(block_data):
                parts.append(block_data[end - length : end])
            if of not in STREAMS or end > len(block_data):
                break
            position = next_record(offset + end) - offset
        return b"".join(parts)

    def readers(self, block: int = 0) -> list[Reader]:
        """A reader for each file with something from that block on, the oldest first.

        A log that was rotated since the block was counted may have fewer now: then it is read from the beginning.
        """
        if block >= len(self.blocks):
            return [Reader(descriptor) for descriptor in self.descriptors]
        first, offset = self.blocks[block]
        rest = self.descriptors[self.descriptors.index(first) :]
        return [Reader(descriptor, offset if descriptor == first else 0) for descriptor in rest]


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0
