"""Where files go: the image's tree as it becomes, of what is in the layers below and what is put over it.

As Docker's builder does it: links on the way to a destination lead where they would in the image; directories that are
missing are made, 0755 and ``--chown``'s; what is there as a directory stays one, and what is a file is replaced by a
file alone. A layer has every directory above its files, as it is below: the uppermost one is what shows.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from containerkit.builder.tree import File, Tree, follow
from containerkit.errors import InvalidArgument
from containerkit.layers import below
from containerkit.layers.lookup import read_text
from containerkit.layers.pack import Archive
from containerkit.layers.stack import Directory, Node
from containerkit.layers.tar import DIRECTORY, FILE, HARDLINK, SYMLINK, Entry, shown
from containerkit.layers.whiteouts import WHITEOUT
from containerkit.layers.write import KINDS
from containerkit.oci import users

Owner = tuple[int, int]
_WORDS = {DIRECTORY: "a directory", SYMLINK: "a link"}


@dataclass(slots=True)
class Item:
    """One file of the layer.

    Args:
        file, tree: where its content is, of a regular file.
        same: equal for all names of one file that has several, else None.
        is_made: a directory that nobody asked for: its time is that of what is in it.
    """

    entry: Entry
    file: File | None = None
    tree: Tree | None = None
    same: object = None
    is_made: bool = False


class Target:
    """The tree that files are put into.

    Args:
        root: of the layers below.
    """

    def __init__(self, root: Directory) -> None:
        self._root = root
        self._directories = {"": root}
        self._children: dict[str, dict[str, Node]] = {}
        self._items: dict[str, Item] = {}

    def resolve(self, path: str) -> str:
        """Where ``path`` leads, links followed.

        Raises:
            InvalidArgument: in circles.
        """
        try:
            return follow(path, self._link_at)
        except OSError as error:
            raise InvalidArgument(f"destination /{path}: too many links") from error

    def is_directory(self, path: str) -> bool:
        return self.kind(path) == DIRECTORY

    def kind(self, path: str) -> bytes | None:
        """What is there: kinds as of entries; None: nothing."""
        if not path:
            return DIRECTORY
        if (item := self._items.get(path)) is not None:
            return item.entry.kind
        node = self._node(path)
        return None if node is None else KINDS.get(node.found.st_mode & 0o170000, FILE)

    def ensure(self, path: str, owner: Owner | None) -> None:
        """See that the directory ``path`` is in the layer: as it is below, or made. Its links have been followed.

        Raises:
            InvalidArgument: it, or something above it, is a file.
        """
        if path in self._items and self._items[path].entry.kind == DIRECTORY:
            return
        if path:
            self.ensure(path.rpartition("/")[0], owner)
        kind = self.kind(path)
        if kind not in (None, DIRECTORY):
            raise InvalidArgument(f"destination /{path}: {_WORDS.get(kind or b'', 'a file')}, not a directory")
        if self._directory(path).layers:
            self._items[path] = Item(below.entry(self._directory(path)))
        elif path:
            uid, gid = owner or (0, 0)
            self._items[path] = Item(Entry(path, DIRECTORY, 0o755, uid, gid), is_made=True)

    def put(self, path: str, item: Item, *, replaces: bool) -> None:
        """Put a file, or a directory's owner, mode and attributes. The directory above it is there.

        Args:
            replaces: a file by a directory, too, and the other way around.

        Raises:
            InvalidArgument: it cannot take the place of what is there.
        """
        name = path.rpartition("/")[2]
        if name.startswith(WHITEOUT):
            raise InvalidArgument(f"file {shown(path)}: in a layer a name beginning with .wh. is a deletion")
        there, kind = self.kind(path), item.entry.kind
        if there is not None and (there == DIRECTORY) != (kind == DIRECTORY):
            if not replaces or self._has_put_below(path):
                words = _WORDS.get(there, "a file"), _WORDS.get(kind, "a file")
                raise InvalidArgument(f"destination /{path}: {words[0]}, which {words[1]} cannot take the place of")
        elif kind == DIRECTORY and self._directory(path).layers:
            item.entry.xattrs = below.entry(self._directory(path)).xattrs | item.entry.xattrs
        self._items[path] = item

    def add_to(self, archive: Archive, epoch: int | None) -> None:
        """Append what was put, in the order of the names' bytes, a directory before what is in it.

        Args:
            epoch: seconds; later times become it.
        """
        if not self._items:
            return
        latest = None if epoch is None else epoch * 10**9
        made = max((item.entry.mtime for item in self._items.values() if item.file is not None), default=0)
        first: dict[object, str] = {}
        for path in sorted(self._items, key=lambda path: os.fsencode(path).split(b"/")):
            item = self._items[path]
            entry = item.entry
            entry.name = path or "./"
            entry.mtime = made if item.is_made else entry.mtime
            entry.mtime = entry.mtime if latest is None else min(entry.mtime, latest)
            _append(archive, item, first)

    def _has_put_below(self, path: str) -> bool:
        """Whether there is something that was asked for."""
        return any(name.startswith(f"{path}/") and item.file is not None for name, item in self._items.items())

    def _link_at(self, path: str) -> str | None:
        if (item := self._items.get(path)) is not None:
            return item.entry.link if item.entry.kind == SYMLINK else None
        if self.kind(path) != SYMLINK:
            return None
        node = self._node(path)
        parent, _, name = path.rpartition("/")
        return self._directory(parent).readlink(name, node) if node is not None else None

    def _node(self, path: str) -> Node | None:
        parent, _, name = path.rpartition("/")
        if (item := self._items.get(parent)) is not None and item.entry.kind != DIRECTORY:
            return None
        if parent not in self._children:
            directory = self._directory(parent)
            self._children[parent] = directory.children() if directory.layers else {}
        return self._children[parent].get(name)

    def _directory(self, path: str) -> Directory:
        """What the layers below have of it; an empty one where that is nothing, or no directory."""
        if path not in self._directories:
            parent, _, name = path.rpartition("/")
            self._directories[path] = self._directory(parent).enter(name, self._node(path))
        return self._directories[path]


def _append(archive: Archive, item: Item, first: dict[object, str]) -> None:
    entry = item.entry
    if item.same is not None and (name := first.setdefault(item.same, entry.name)) != entry.name:
        archive.add(Entry(entry.name, HARDLINK, entry.mode, entry.uid, entry.gid, mtime=entry.mtime, link=name))
    elif entry.kind == FILE and item.file is not None and item.tree is not None:
        with item.tree.content(item.file) as content:
            archive.add(entry, content)
    else:
        archive.add(entry)


def owner_of(text: str, layers: Sequence[str | os.PathLike[str]]) -> Owner:
    """The numbers of ``--chown=text``, by the image's own ``/etc/passwd`` and ``/etc/group``.

    A user's name brings its group along; a number is the group's, too. ``:group`` alone is root's of that group.

    Args:
        layers: of the image, uppermost first.

    Raises:
        InvalidArgument: a name that is not there.
    """
    directories = [os.fspath(layer) for layer in layers]
    whole = f"{text}:{text}" if text.isascii() and text.isdigit() else f"0{text}" if text.startswith(":") else text
    try:
        found = users.resolve(whole, read_text(directories, "etc/passwd"), read_text(directories, "etc/group"))
    except InvalidArgument as error:
        raise InvalidArgument(f"--chown={text}: {error.message}") from error
    return found.uid, found.gid
