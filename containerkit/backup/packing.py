"""Bytes on their way into a backup's file: gathered in large pieces, compressed beside the reading, written.

A small file costs no call of the compressor of its own: headers and contents go into one buffer of two megabytes.
While that one is compressed and written, in a thread, the next is filled: reading and hashing go on.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol

import zstandard

from containerkit.errors import InvalidArgument
from containerkit.layers.compression import Writable, inflating

#: Bytes of a buffer; there are two.
PIECE = 2 << 20
_ZEROS = bytes(1 << 20)
COMPRESSIONS = ("zstd", "gzip", "none")


class Hash(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...


class _Plain:
    def compress(self, data: bytes | memoryview) -> bytes | memoryview:
        return data

    def flush(self) -> bytes:
        return b""


def _compressor(compression: str) -> Any:
    if compression == "zstd":
        # Level 3 takes longer and saves nothing. Pieces of the library's own choice would take 100 MB of memory.
        parameters = zstandard.ZstdCompressionParameters.from_level(
            2, threads=os.cpu_count() or 1, job_size=1 << 20, write_checksum=True
        )
        return zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    if compression == "gzip":
        # Level 1: level 6 takes more than twice as long and saves an eighth.
        return inflating.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return _Plain()


def check(compression: str) -> None:
    """
    Raises:
        InvalidArgument: no compression of a backup.
    """
    if compression not in COMPRESSIONS:
        raise InvalidArgument(f'compression {compression!r}: expected "zstd", "gzip" or "none"')


class Packer:
    """Takes bytes and writes them compressed. After :meth:`end_part` what follows can be unpacked by itself.

    Args:
        sink: has ``write``; is called from another thread.
    """

    def __init__(self, sink: Writable, compression: str) -> None:
        self._sink, self._compression = sink, compression
        self._compressor = _compressor(compression)
        self._buffer, self._other = memoryview(bytearray(PIECE)), memoryview(bytearray(PIECE))
        self._used = 0
        self._worker = ThreadPoolExecutor(1, "backup")
        self._pending: Future[None] | None = None
        self.written = 0  # bytes in the file, after end_part()

    def put(self, data: bytes) -> None:
        """Append bytes."""
        position = 0
        while position < len(data):
            room = self._room(1)
            step = min(len(room), len(data) - position)
            room[:step] = data[position : position + step]
            self._used += step
            position += step

    def take(self, descriptor: int, offset: int, size: int, digest: Hash) -> int:
        """Append ``size`` bytes of a file from ``offset`` on; how many of them are zeros instead, as it has ended."""
        left = size
        while left:
            room = self._room(min(left, 1 << 16))[:left]
            got = os.preadv(descriptor, [room], offset)
            if not got:
                self._fill(left, digest)
                return left
            digest.update(room[:got])
            self._used += got
            offset += got
            left -= got
        return 0

    def _fill(self, size: int, digest: Hash) -> None:
        while size:
            zeros = _ZEROS[:size]
            self.put(zeros)
            digest.update(zeros)
            size -= len(zeros)

    def _room(self, least: int) -> memoryview:
        if PIECE - self._used < least:
            self._hand_over()
        return self._buffer[self._used :]

    def _hand_over(self) -> None:
        self._wait()
        self._pending = self._worker.submit(self._compress, self._buffer[: self._used])
        self._buffer, self._other = self._other, self._buffer
        self._used = 0

    def _compress(self, data: memoryview) -> None:
        self._write(self._compressor.compress(data))

    def _write(self, packed: bytes | memoryview) -> None:
        if packed:
            self._sink.write(packed)  # type: ignore[arg-type]  # any buffer does
            self.written += len(packed)

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def end_part(self) -> None:
        """All that was appended is written, and what is compressed has its end."""
        self._hand_over()
        self._wait()
        self._write(self._compressor.flush())
        self._compressor = _compressor(self._compression)

    def close(self) -> None:
        """Let the thread go."""
        with suppress(Exception):
            self._wait()
        self._worker.shutdown()


def digest_zeros(digest: Hash, size: int) -> None:
    """Go on as if so many zeros had come: what a hole is read as."""
    whole, rest = divmod(size, len(_ZEROS))
    for _ in range(whole):
        digest.update(_ZEROS)
    digest.update(_ZEROS[:rest])


def digest_of(descriptor: int, size: int) -> str:
    """The digest of a file's first ``size`` bytes, filled up with zeros."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(min(max(size, 1), PIECE)))
    offset = 0
    while offset < size and (got := os.preadv(descriptor, [buffer[: size - offset]], offset)):
        digest.update(buffer[:got])
        offset += got
    digest_zeros(digest, size - offset)
    return digest.hexdigest()
