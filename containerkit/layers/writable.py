"""A container's writable layer becomes a layer of an image: what it changes of the layers below it.

Whiteouts and opaque directories are written as the archive's own (image-spec, layer.md, "Whiteouts"), and a directory
on the way to something comes along with its owner, mode and attributes: those of the upper layer are what shows.

What the runtime made to mount something on is left out, as long as it is as the runtime makes it.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from containerkit.layers import diff
from containerkit.layers.pack import Archive
from containerkit.layers.stack import Directory, Node, Places, Stack
from containerkit.layers.tar import Entry
from containerkit.layers.whiteouts import OPAQUE_MARK, WHITEOUT, is_opaque, is_whiteout
from containerkit.layers.write import Files, attributes, handle, names, open_directory

#: How the runtime makes a place to mount on, as root: kind and mode.
_AS_MADE = (stat.S_IFDIR | 0o755, stat.S_IFREG | 0o644)


def add_upper(archive: Archive, upper: str | Path, lower: Sequence[str | Path], mounted: Iterable[str]) -> None:
    """Append what overlayfs's writable directory ``upper`` changes. A container may change it meanwhile.

    Args:
        lower: the layers below, uppermost first.
        mounted: where something is mounted in the container.

    Raises:
        InvalidArgument: a file whose name only a whiteout may have.
        InvalidState: a file became shorter while it was read.
        OSError: something cannot be read, or became something else meanwhile.
    """
    with Stack([upper, *lower], has_upper=True) as stack:
        _Writable(archive, Places(stack.tree(), mounted)).add(stack.roots[0], stack.tree(lower))


def add_copy(archive: Archive, copy: str | Path, lower: Sequence[str | Path], mounted: Iterable[str]) -> None:
    """As :func:`add_upper`, of a tree that began as a copy of the layers (flatten.py)."""
    changes = diff.compare(copy, lower)
    with Stack([copy, *lower], has_upper=True) as stack:
        tree = stack.tree([copy])
        _Changed(archive, Places(tree, mounted), changes, tree).add(stack.roots[0], stack.tree(lower))


class _Writable:
    """A walk through what a container has written, beside what the layers below have of the same name."""

    def __init__(self, archive: Archive, places: Places) -> None:
        self._archive, self._places = archive, places
        self._files = Files(archive)

    def add(self, root: int, below: Directory) -> None:
        """Append the tree whose root's descriptor that is."""
        directory = open_directory(root)
        try:
            self._add_directory(directory, "", below)
        finally:
            os.close(directory)

    def _add_directory(self, directory: int, path: str, below: Directory) -> None:
        self._files.add_directory(directory, path or "./")
        prefix = f"{path}/" if path else ""
        # Overlayfs marks all that it makes; where nothing lies below, there is nothing to hide.
        if path and below.layers and is_opaque(f"/proc/self/fd/{directory}/."):
            self._archive.add(Entry(prefix + OPAQUE_MARK))
        for name in self._names(directory, prefix):
            self._add(directory, name, prefix, below)

    def _names(self, directory: int, prefix: str) -> list[str]:
        """Of what is in the directory, the names that concern the layer."""
        return names(directory, prefix)

    def _add(self, directory: int, name: str, prefix: str, below: Directory) -> None:
        with handle(name, directory) as (descriptor, found):
            if self._is_deleted(prefix + name, found):
                self._archive.add(Entry(f"{prefix}{WHITEOUT}{name}"))
                return
            if found is None or self._is_place(descriptor, found, prefix + name, below):
                return
            if not stat.S_ISDIR(found.st_mode):
                self._files.add(descriptor, found, prefix + name)
                return
            inner = open_directory(descriptor)
        try:
            self._add_directory(inner, prefix + name, below.enter(name, below.child(name)))
        finally:
            os.close(inner)

    def _is_deleted(self, path: str, found: os.stat_result | None) -> bool:
        """Whether the container has deleted it. What was removed just now, nobody has to know of."""
        return found is not None and is_whiteout(found, in_layer=False)

    def _is_place(self, descriptor: int, found: os.stat_result, path: str, below: Directory) -> bool:
        """Whether it is there for the sake of a mount alone: the place itself, or a directory that leads to some."""
        if path not in self._places:
            return False
        name = path.rpartition("/")[2]
        original = below.child(name)
        if not self._is_as_made(descriptor, found, below, name, original):
            return False
        if not stat.S_ISDIR(found.st_mode):
            return path in self._places.ends and original is None
        inside, directory = below.enter(name, original), open_directory(descriptor)
        try:
            children = self._names(directory, f"{path}/")
            return all(self._is_place_in(directory, child, path, inside) for child in children) and (
                bool(children) or path in self._places.ends
            )
        finally:
            os.close(directory)

    def _is_as_made(
        self, descriptor: int, found: os.stat_result, below: Directory, name: str, original: Node | None
    ) -> bool:
        """Whether it is as the runtime makes a place, or as the layers below have it."""
        if original is None:
            is_empty = stat.S_ISDIR(found.st_mode) or not found.st_size
            is_made = found.st_mode in _AS_MADE and (found.st_uid, found.st_gid) == self._archive.root
            return is_empty and is_made and not attributes(descriptor)
        with below.handle(name, original) as other:
            return _constitution(found) == _constitution(original.found) and attributes(descriptor) == attributes(other)

    def _is_place_in(self, directory: int, name: str, path: str, below: Directory) -> bool:
        with handle(name, directory) as (descriptor, found):
            if found is None:
                return not self._is_deleted(f"{path}/{name}", found)
            return self._is_place(descriptor, found, f"{path}/{name}", below)


class _Changed(_Writable):
    """As its base, of a copy: only what has changed, which nothing in the tree itself tells."""

    def __init__(self, archive: Archive, places: Places, changes: Sequence[diff.Change], tree: Directory) -> None:
        super().__init__(archive, places)
        self._deleted: set[str] = set()
        self._wanted: defaultdict[str, set[str]] = defaultdict(set)
        for change in changes:
            self._want(change.path[1:])
            if change.kind == diff.DELETED:
                self._deleted.add(change.path[1:])
        for path in _other_names(tree, self._wanted):
            self._want(path)

    def _want(self, path: str) -> None:
        """The layer has this, and every directory on the way: a directory that is only implied is another."""
        while path:
            parent, _, name = path.rpartition("/")
            self._wanted[f"{parent}/" if parent else ""].add(name)
            path = parent

    def _names(self, directory: int, prefix: str) -> list[str]:
        wanted = self._wanted.get(prefix, set())
        absent = {name for name in wanted if prefix + name in self._deleted}
        return sorted(wanted & {*names(directory, prefix)} | absent, key=os.fsencode)

    def _is_deleted(self, path: str, found: os.stat_result | None) -> bool:
        return super()._is_deleted(path, found) or (found is None and path in self._deleted)


def _other_names(root: Directory, wanted: dict[str, set[str]]) -> list[str]:
    """The unchanged names of files that the layer has under another: they go on being the same file."""
    files: defaultdict[tuple[int, int], list[tuple[str, bool]]] = defaultdict(list)
    pending = [root]
    while pending:
        directory = pending.pop()
        prefix = f"{directory.path}/" if directory.path else ""
        for name, node in directory.children().items():
            if node.is_directory:
                pending.append(directory.enter(name, node))
            elif node.found.st_nlink > 1:
                is_wanted = name in wanted.get(prefix, ())
                files[node.found.st_dev, node.found.st_ino].append((prefix + name, is_wanted))
    return [
        path
        for found in files.values()
        if any(wanted for _, wanted in found)
        for path, is_wanted in found
        if not is_wanted
    ]


def _constitution(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_mode, found.st_uid, found.st_gid
