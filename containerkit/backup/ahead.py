"""Beside the thread that makes the files of a restore: one unpacks what comes next, one hashes what came."""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from containerkit.layers.compression import CHUNK, Readable

#: Pieces on their way between two threads.
_PIECES = 4
#: Bytes from which on handing them over takes less time than hashing them.
_WORTH = 32 << 10


@contextmanager
def ahead(stream: Readable) -> Iterator[Readable]:
    """The same bytes, read before they are asked for: to ask for a few is cheap. An error comes where it came there."""
    with ThreadPoolExecutor(1, "containerkit-unpack") as pool:
        try:
            with io.BufferedReader(_Ahead(stream, pool), CHUNK) as reader:
                yield reader
        finally:
            pool.shutdown(cancel_futures=True)


class _Ahead(io.RawIOBase):
    def __init__(self, stream: Readable, pool: ThreadPoolExecutor) -> None:
        self._stream, self._pool = stream, pool
        self._coming: deque[Future[bytes]] = deque()
        self._here = memoryview(b"")
        self._has_ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # the buffers that io gives
        if not self._here and not self._has_ended:
            self._here = memoryview(self._next())
            self._has_ended = not self._here
        size = min(len(buffer), len(self._here))
        buffer[:size] = self._here[:size]
        self._here = self._here[size:]
        return size

    def _next(self) -> bytes:
        while len(self._coming) < _PIECES:
            self._coming.append(self._pool.submit(self._stream.read, CHUNK))
        return self._coming.popleft().result()


class Digests:
    """SHA-256 of one content after the other, of large ones beside the caller; a context manager."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "containerkit-hash")
        self._pending: deque[Future[None]] = deque()
        self._digest = hashlib.sha256()

    def __enter__(self) -> Digests:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def update(self, data: bytes | memoryview, /) -> None:
        """Go on with these bytes, which are not to change."""
        if len(data) < _WORTH and not self._pending:
            self._digest.update(data)
            return
        self._pending.append(self._pool.submit(self._digest.update, data))
        if len(self._pending) > _PIECES:
            self._pending.popleft().result()

    def end(self) -> str:
        """That of what came since the last end, in hexadecimal digits."""
        while self._pending:
            self._pending.popleft().result()
        digest, self._digest = self._digest, hashlib.sha256()
        return digest.hexdigest()
