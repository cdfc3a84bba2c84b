"""Compressed streams, told apart by their first bytes.

Sources: RFC 1952 (gzip), RFC 8878 (zstd), the xz and bzip2 file formats.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from containerkit.errors import ContainerkitError, InvalidArgument
from containerkit.layers.bounds import check_proportion
from containerkit.layers.frames import Frames

if TYPE_CHECKING:
    import zstandard

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
#: What is read at once of streams that can have members: what follows one is copied, for each that is in it.
_PIECE = 1 << 16
#: What unpacking may take in memory: a header can ask for 4 GiB of dictionary. Level 9 of xz takes 65 MB.
_MEMORY = 1 << 27
_CUT_OFF = "compressed file ended before its end was marked"
_ERRORS: tuple[type[Exception], ...] = (EOFError, zlib.error, inflating.error, lzma.LZMAError)


class Readable(Protocol):
    """What is read here: bytes until there are none."""

    def read(self, size: int = ..., /) -> bytes: ...


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


class Whole:
    """What is written here is written whole: a file of a caller's that has no buffer may take less than it is given."""

    def __init__(self, file: Writable) -> None:
        self._file = file

    def write(self, data: bytes, /) -> int:
        view = memoryview(data)
        while view:
            written = self._file.write(view)  # type: ignore[arg-type]  # any buffer does
            view = view[written if isinstance(written, int) else len(view) :]
        return len(data)


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
                rest = _following(self._member.unused_data, self._stream)
                if not rest:
                    return b""
                self._member, self._packed = self._begin(), rest
            elif not self._packed and not self._fill():
                raise EOFError(_CUT_OFF)

    def _fill(self) -> bool:
        self._packed = self._stream.read(_PIECE)
        return bool(self._packed)


class _Unpacked:
    """As :class:`_Gunzip`, of xz or bzip2: ``begin`` makes what unpacks one stream of them."""

    def __init__(self, stream: Readable, begin: Callable[[], lzma.LZMADecompressor | bz2.BZ2Decompressor]) -> None:
        self._stream, self._begin = stream, begin
        self._member = begin()

    def read(self, size: int = -1, /) -> bytes:
        while True:
            packed = b""
            if self._member.eof:
                packed = _following(self._member.unused_data, self._stream)
                if not packed:
                    return b""
                self._member = self._begin()
            elif self._member.needs_input and not (packed := self._stream.read(_PIECE)):
                raise EOFError(_CUT_OFF)
            if data := self._member.decompress(packed, size if size > 0 else CHUNK):
                return data


def _following(rest: bytes, stream: Readable) -> bytes:
    """What comes after the end of a compressed stream; zeros that fill up a block are nothing."""
    rest = rest.lstrip(b"\0")
    while not rest and (more := stream.read(_PIECE)):
        rest = more.lstrip(b"\0")
    return rest


@contextmanager
def reader(stream: Readable, compression: str, subject: str, *, is_bounded: bool = True) -> Iterator[Readable]:
    """The uncompressed bytes of ``stream``, from where it stands.

    Args:
        compression: as :func:`detect` gives it.
        subject: names the stream in errors.
        is_bounded: False when somebody else sees to it that no more is unpacked than is expected.

    Raises:
        InvalidArgument: while it is read: the stream is cut off or damaged, or unpacks to more than anything can.
    """
    yield stream if compression == "none" else _Inflated(stream, compression, subject, is_bounded)


def _inflated(stream: Readable, compression: str) -> Readable:
    if compression == "gzip":
        return _Gunzip(stream)
    if compression == "xz":
        return _Unpacked(stream, partial(lzma.LZMADecompressor, memlimit=_MEMORY))
    if compression == "bzip2":
        return _Unpacked(stream, bz2.BZ2Decompressor)
    # Not at the top: most layers are of gzip, and each is unpacked by a process of its own.
    import zstandard

    # The library asks for no more of a file than read().
    raw = cast(BinaryIO, Frames(stream))
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MEMORY)
    return decompressor.stream_reader(raw, read_size=CHUNK, read_across_frames=True, closefd=False)


def _errors(compression: str) -> tuple[type[Exception], ...]:
    """What its library raises at a stream that is damaged or cut off."""
    if compression != "zstd":
        return _ERRORS
    import zstandard

    return (*_ERRORS, zstandard.ZstdError)


def _damaged(subject: str, compression: str, error: Exception) -> InvalidArgument:
    return InvalidArgument(f"{subject}: damaged {compression} stream: {str(error).lower()}")


class Counted:
    """A stream of which is known how many bytes have been read: :attr:`size`."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self.size += len(data)
        return data


def is_zeros(data: bytes) -> bool:
    """Whether there is nothing but zeros in it."""
    return data[:1] == b"\0" and data[-1:] == b"\0" and data.count(0) == len(data)


class _Inflated:
    """What a stream unpacks to, as long as that is in proportion to what was read of it.

    Zeros do not count: a sparse file is nothing but them, and they take no room (layers/apply.py leaves holes).
    """

    def __init__(self, stream: Readable, compression: str, subject: str, is_bounded: bool) -> None:
        self._packed = Counted(stream)
        self._stream, self._errors = _inflated(self._packed, compression), _errors(compression)
        self._compression, self._subject, self._is_bounded = compression, subject, is_bounded
        self._size = 0

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = self._stream.read(size)
        except self._errors as error:
            raise _damaged(self._subject, self._compression, error) from error
        except OSError as error:
            # That is how bzip2's library says it; an error of the kernel has its number.
            if error.errno is not None or isinstance(error, ContainerkitError):
                raise
            raise _damaged(self._subject, self._compression, error) from error
        if self._is_bounded:
            self._size += 0 if is_zeros(data) else len(data)
            check_proportion(self._size, self._packed.size, self._subject)
        return data


def compressor() -> zstandard.ZstdCompressionObj:
    """What compresses as everything here is: zstd level 1; layers/pack.py says why."""
    import zstandard

    # Workers compress beside reading and hashing; the bytes do not depend on how many there are.
    return zstandard.ZstdCompressor(level=1, threads=2, write_content_size=False).compressobj()


@contextmanager
def writer(sink: Writable, compression: str) -> Iterator[Writable]:
    """What is written here goes to ``sink`` compressed; equal bytes in give equal bytes out.

    Args:
        compression: ``"gzip"``, ``"zstd"`` or ``"none"``.
    """
    if compression == "none":
        yield sink
        return
    if compression == "gzip":
        # A header without name and time. Level 1: level 6 takes more than twice as long and saves an eighth.
        packed = _Compressed(sink, zlib.compressobj(1, wbits=16 + zlib.MAX_WBITS))
    else:
        packed = _Compressed(sink, compressor())
    yield packed
    packed.end()


class _Compressed:
    def __init__(self, sink: Writable, compressor: Any) -> None:
        self._sink, self._compressor = sink, compressor

    def write(self, data: bytes, /) -> int:
        if packed := self._compressor.compress(data):
            self._sink.write(packed)
        return len(data)

    def end(self) -> None:
        self._sink.write(self._compressor.flush())
