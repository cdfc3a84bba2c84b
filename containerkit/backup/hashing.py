"""Beside the thread that makes the files of a restore, one that hashes what came."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

#: Pieces on their way between two threads.
_PIECES = 4
#: Bytes from which on handing them over takes less time than hashing them.
_WORTH = 32 << 10


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
