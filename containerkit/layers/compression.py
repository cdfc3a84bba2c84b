"""Compressed streams, told apart by their first bytes.

Sources: RFC 1952 (gzip), RFC 8878 (zstd), the xz and bzip2 file formats.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, Protocol, cast

import zstandard

from containerkit.errors import InvalidArgument

#: Has what zlib has, twice as fast, where it is made for this machine.
inflating: Any = zlib
with suppress(ImportError):
    from isal import isal_zlib as inflating

MAGIC = {
    "gzip": b"\x1f\x8b",
    "zstd": b"\x28\xb5\x2f\xfd",
    "xz": b"\xfd7zXZ\x00",
    "bzip2": b"BZh",
}

CHUNK = 1 << 20
_ERRORS: tuple[type[Exception], ...] = (EOFError, zlib.error, inflating.error, zstandard.ZstdError, lzma.LZMAError)


class Readable(Protocol):
    """What is read here: bytes until there are none."""

    def read(self, size: int = ..., /) -> bytes: ...


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


class Peeked:
    """A stream whose first bytes have been looked at, and are read again."""

    def __init__(self, stream: Readable, size: int = 512) -> None:
        self._stream = stream
        self.head = b""
        while len(self.head) < size and (more := stream.read(size - len(self.head))):
            self.head += more
        self._pending = self.head

    def read(self, size: int = -1, /) -> bytes:
        if not self._pending:
            return self._stream.read(size)
        if size < 0:
            data, self._pending = self._pending + self._stream.read(), b""
            return data
        data, self._pending = self._pending[:size], self._pending[size:]
        return data


def detect(head: bytes) -> str:
    """``"gzip"``, ``"zstd"``, ``"xz"``, ``"bzip2"`` or ``"none"``, from the first bytes of a stream."""
    return next((name for name, magic in MAGIC.items() if head.startswith(magic)), "none")


class _Gunzip:
    """The content of a gzip stream, of all its members; never more in memory than is asked for."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._packed = b""
        self._member = self._begin()

    @staticmethod
    def _begin() -> Any:
        return inflating.decompressobj(wbits=16 + zlib.MAX_WBITS)  # a gzip header and trailer

    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes.

        Raises:
            EOFError: the stream is cut off.
        """
        while True:
            data: bytes = self._member.decompress(self._packed, size if size > 0 else CHUNK)
            self._packed = self._member.unconsumed_tail
            if data:
                return data
            if self._member.eof:
                # Another member may follow; zeros that fill up a block are none.
                rest = self._member.unused_data.lstrip(b"\0")
                while not rest and (more := self._stream.read(CHUNK)):
                    rest = more.lstrip(b"\0")
                if not rest:
                    return b""
                self._member, self._packed = self._begin(), rest
            elif not self._packed and not self._fill():
                raise EOFError("compressed file ended before its end was marked")

    def _fill(self) -> bool:
        self._packed = self._stream.read(CHUNK)
        return bool(self._packed)


@contextmanager
def reader(stream: Readable, compression: str, subject: str) -> Iterator[Readable]:
    """The uncompressed bytes of ``stream``, from where it stands.

    Args:
        compression: as :func:`detect` gives it.
        subject: names the stream in errors.

    Raises:
        InvalidArgument: while it is read: the stream is cut off or damaged.
    """
    # The libraries ask for no more of a file than read().
    raw = cast(BinaryIO, stream)
    try:
        if compression == "gzip":
            yield _Gunzip(stream)
        elif compression == "zstd":
            decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
            yield decompressor.stream_reader(raw, read_size=CHUNK, read_across_frames=True, closefd=False)
        elif compression == "xz":
            yield cast(Readable, lzma.LZMAFile(raw))
        elif compression == "bzip2":
            yield cast(Readable, bz2.BZ2File(raw))
        else:
            yield stream
    except _ERRORS as error:
        raise InvalidArgument(f"{subject}: damaged {compression} stream: {error}".lower()) from error
