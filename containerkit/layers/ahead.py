"""A stream that is read ahead: while files are made of one piece, a thread inflates and hashes the next ones.

To inflate, to hash and to make files all let go of the interpreter's lock: with two processors both go on at once.
Archives are read in small pieces, header by header; each is cut out of a large one here, so that nothing below this is
done half a thousand bytes at a time.
"""

from __future__ import annotations

import threading
from queue import Queue
from types import TracebackType

from containerkit.layers.compression import Readable

#: Bytes of a piece, small enough to be in a processor's cache while it is hashed; and how many wait.
_PIECE, _WAITING = 1 << 18, 16


class Ahead:
    """What ``stream`` gives, or raises, read by a thread from the beginning of the ``with`` to its end."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._coming: Queue[bytes | BaseException] = Queue(_WAITING)
        self._thread = threading.Thread(target=self._read_all, name="containerkit-ahead", daemon=True)
        self._is_wanted = True
        self._piece, self._position = b"", 0
        self._has_ended = False
        self._error: BaseException | None = None

    def __enter__(self) -> Ahead:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # From here on nobody else reads the stream: the thread may be waiting for room, or for the stream.
        self._is_wanted = False
        while not self._has_ended:
            self._next()
        self._thread.join()

    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes, as many as are at hand; empty at the end.

        Raises:
            BaseException: what the stream has raised.
        """
        if self._position == len(self._piece):
            self._piece, self._position = self._next(), 0
            if self._error is not None:
                raise self._error
        start = self._position
        self._position = len(self._piece) if size < 0 else min(start + size, len(self._piece))
        return self._piece[start : self._position]

    def _next(self) -> bytes:
        """The next piece, empty at the end."""
        if not self._has_ended:
            found = self._coming.get()
            if isinstance(found, bytes) and found:
                return found
            self._has_ended = True
            self._error = found if isinstance(found, BaseException) else None
        return b""

    def _read_all(self) -> None:
        try:
            while self._is_wanted and (data := self._stream.read(_PIECE)):
                self._coming.put(data)
            self._coming.put(b"")
        except BaseException as error:
            self._coming.put(error)
