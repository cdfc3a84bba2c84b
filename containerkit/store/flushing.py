"""What is written goes to the disk while more is being written, so that little is left to wait for at the end."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

from containerkit.layers.compression import Counted, Readable
from containerkit.linux.files import syncfs

#: Bytes after which the disk gets something to do.
_STEP = 48 << 20


class Flushing(Counted):
    """A stream of which files are made below ``root``: each time that so much was read, they begin to go to the disk.

    A context manager; at the end of the block nothing is on its way any more.

    Raises:
        OSError: at the end: writing has failed. Whoever calls syncfs(2) later would not be told of that again.
    """

    def __init__(self, stream: Readable, root: Path) -> None:
        super().__init__(stream)
        self._root = root
        self._begun = 0
        self._thread: threading.Thread | None = None
        self._error: OSError | None = None

    def read(self, size: int = -1, /) -> bytes:
        data = super().read(size)
        if self.size - self._begun >= _STEP and (self._thread is None or not self._thread.is_alive()):
            self._begun = self.size
            self._thread = threading.Thread(target=self._flush, name="containerkit-flush", daemon=True)
            self._thread.start()
        return data

    def _flush(self) -> None:
        try:
            syncfs(self._root)
        except OSError as error:
            self._error = error

    def __enter__(self) -> Flushing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._thread.join()
        if self._error is not None and kind is None:
            raise self._error
