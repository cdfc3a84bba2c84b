"""Where a zstd stream may end: the library takes one that is cut off for one that has ended.

Source: RFC 8878, 3.1: frames, each a header, blocks of which one is the last, and maybe a checksum.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from containerkit.layers.compression import Readable

_MAGIC, _SKIPPABLE = 0xFD2FB528, 0x184D2A50
_RLE = 1
#: Bytes that are asked for between two frames, and nowhere else so many.
_BETWEEN = 4


class Frames:
    """A zstd stream as it is; its end is an error where no frame ends.

    Raises:
        EOFError: while it is read: it is cut off.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._walk = _walk()
        self._wanted = next(self._walk)
        self._got = b""

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        if data:
            self._follow(data)
        elif self._got or self._wanted != _BETWEEN:
            raise EOFError("compressed file ended before its end was marked")
        return data

    def _follow(self, data: bytes) -> None:
        position = 0
        while position < len(data):
            if self._wanted < 0:
                step = min(-self._wanted, len(data) - position)
                self._wanted += step
            else:
                step = min(self._wanted - len(self._got), len(data) - position)
                self._got += data[position : position + step]
            position += step
            if self._wanted == len(self._got):
                self._got, got = b"", self._got
                self._wanted = self._walk.send(got)


def _walk() -> Generator[int, bytes, None]:
    """How many bytes are to be read next, or, as a negative number, to be passed over."""
    while True:
        magic = int.from_bytes((yield _BETWEEN), "little")
        if magic & ~0xF == _SKIPPABLE:
            low = int.from_bytes((yield 2), "little")
            yield from _over(low + (int.from_bytes((yield 2), "little") << 16))
        elif magic == _MAGIC:
            yield from _frame()
        else:
            yield -(1 << 62)  # no frame: the library says so


def _frame() -> Generator[int, bytes, None]:
    descriptor = (yield 1)[0]
    is_single = descriptor >> 5 & 1
    yield from _over((1 - is_single) + (0, 1, 2, 4)[descriptor & 3] + (is_single, 2, 4, 8)[descriptor >> 6])
    is_last = False
    while not is_last:
        header = int.from_bytes((yield 3), "little")
        is_last = bool(header & 1)
        yield from _over(1 if header >> 1 & 3 == _RLE else header >> 3)
    yield from _over(4 * (descriptor >> 2 & 1))


def _over(size: int) -> Generator[int, bytes, None]:
    if size:
        yield -size
