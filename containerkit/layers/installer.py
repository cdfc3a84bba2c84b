"""A layer that is packed and unpacked at once: what is read once is in the archive and in a directory."""

from __future__ import annotations

import io
import os
from types import TracebackType

from containerkit.layers import tar
from containerkit.layers.apply import Tree
from containerkit.layers.compression import CHUNK, Readable, Writable
from containerkit.layers.pack import Packer, shorter


class Installer(Packer):
    """As its base; and below the directory ``root`` are the files, as whoever unpacks the layer makes them.

    :attr:`size` is the bytes of their contents.
    """

    def __init__(self, sink: Writable, root: str | os.PathLike[str], subject: str) -> None:
        super().__init__(sink)
        self._content: Readable = io.BytesIO()
        self._left = 0  # of the current entry's content
        self._name = ""
        self._root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._tree = Tree(self._root, self, subject)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._tree.finish()
            super().__exit__(kind, error, trace)
        finally:
            self._tree.close()
            os.close(self._root)

    @property
    def size(self) -> int:
        return self._tree.size

    @property
    def names_root(self) -> bool:
        """Whether there is an entry that says what the root is like."""
        return self._tree.names_root

    def add(self, entry: tar.Entry, content: Readable | bytes = b"") -> None:
        """As its base."""
        self.note(entry)
        self.write(tar.header(entry))
        self._content = io.BytesIO(content) if isinstance(content, bytes) else content
        self._left, self._name = entry.size, entry.name
        self._tree.add(entry)
        while self.read():
            pass  # of what becomes no file here
        self.write(bytes(-entry.size % tar.BLOCK))

    def read(self) -> bytes:
        """The next bytes of the current entry, which are in the archive then; empty at its end."""
        if not self._left:
            return b""
        data = self._content.read(min(CHUNK, self._left))
        if not data:
            raise shorter(self._name)
        self._left -= len(data)
        self.write(data)
        return data


class FilesAlone(Installer):
    """As its base, of which nobody wants the archive."""

    def __init__(self, root: str | os.PathLike[str], subject: str) -> None:
        super().__init__(io.BytesIO(), root, subject)

    def write(self, data: bytes) -> None:
        """Nothing: what would be in the archive is not packed."""
