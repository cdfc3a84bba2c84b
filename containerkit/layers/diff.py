"""What one tree changes of another: a container's of its image's, one image's of another's."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from containerkit.layers.compression import CHUNK
from containerkit.layers.stack import Directory, Node, Places, Stack
from containerkit.layers.write import attributes
from containerkit.values import frozen

ADDED, CHANGED, DELETED = "added", "changed", "deleted"
#: Of a directory: nothing but its time has changed.
_TOUCHED = "touched"

#: Whether the second node, a directory's child of that name, differs from the first.
Judge = Callable[[Directory, Node, Directory, Node, str], bool]


@frozen
class Change:
    """A path of the container or image, and what was done to it: ``added``, ``changed`` or ``deleted``."""

    path: str
    kind: str

    def __str__(self) -> str:
        return f"{self.kind[0].upper()} {self.path}"


def changes(upper: str | Path, lower: Sequence[str | Path], mounted: Iterable[str] = ()) -> list[Change]:
    """What the writable layer ``upper`` changes, sorted by path.

    Args:
        lower: the layers below, uppermost first.
        mounted: where something is mounted in the container: what the runtime made for that is left out.
    """
    with Stack([upper, *lower], has_upper=True) as stack:
        return _compared(stack.tree(lower), stack.tree(), _is_upper, mounted)


def compare(tree: str | Path, lower: Sequence[str | Path], mounted: Iterable[str] = ()) -> list[Change]:
    """As :func:`changes`, of a tree that began as a copy of the layers (flatten.py)."""
    with Stack([tree, *lower], has_upper=True) as stack:
        return _compared(stack.tree(lower), stack.tree([tree]), _looks_other, mounted)


def between(old: Sequence[str | Path], new: Sequence[str | Path]) -> list[Change]:
    """What the layers ``new`` come to changes of what the layers ``old`` do; each uppermost first.

    Files are read where nothing else tells them apart; what both have from the same layers is not looked at.
    """
    with Stack([*dict.fromkeys([*new, *old])]) as stack:
        return _compared(stack.tree(old), stack.tree(new), _is_other, ())


def _compared(old: Directory, new: Directory, judge: Judge, mounted: Iterable[str]) -> list[Change]:
    found = sorted(_walk(old, new, judge), key=lambda change: change.path)
    return _without_places(found, Places(new, mounted))


def _walk(old: Directory, new: Directory, judge: Judge) -> Iterator[Change]:
    if old.parts == new.parts:
        return
    before, after = old.children(), new.children()
    for name in before.keys() - after.keys():
        yield Change(_path(new, name), DELETED)
    for name, node in after.items():
        original = before.get(name)
        if original is None:
            yield Change(_path(new, name), ADDED)
        elif judge(old, original, new, node, name):
            is_touched = node.is_directory and _is_touched(old, original, new, node, name)
            yield Change(_path(new, name), _TOUCHED if is_touched else CHANGED)
        if node.is_directory:
            yield from _walk(old.enter(name, original), new.enter(name, node), judge)


def _path(directory: Directory, name: str) -> str:
    return f"/{directory.path}/{name}" if directory.path else f"/{name}"


def _is_touched(old: Directory, original: Node, new: Directory, node: Node, name: str) -> bool:
    if _constitution(original.found) != _constitution(node.found):
        return False
    try:
        with old.handle(name, original) as first, new.handle(name, node) as second:
            return attributes(first) == attributes(second)
    except FileNotFoundError:
        return False  # the container has just removed it


def _constitution(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_mode, found.st_uid, found.st_gid


def _is_upper(old: Directory, original: Node, new: Directory, node: Node, name: str) -> bool:
    """Overlayfs copies up what is written to: all that is in the uppermost directory has been touched."""
    return node.layers[0] == 0


def _looks_other(old: Directory, original: Node, new: Directory, node: Node, name: str) -> bool:
    if looks(original.found) != looks(node.found):
        return True
    try:
        with old.handle(name, original) as first, new.handle(name, node) as second:
            return attributes(first) != attributes(second)
    except FileNotFoundError:
        return True  # the container has just removed it


def _is_other(old: Directory, original: Node, new: Directory, node: Node, name: str) -> bool:
    if old.layer(original) == new.layer(node):
        return False
    if _looks_other(old, original, new, node, name):
        return True
    with old.handle(name, original) as first, new.handle(name, node) as second:
        return not is_same_content(first, second, node.found.st_mode)


def is_same_content(first: int, second: int, mode: int) -> bool:
    """Whether two files of the same kind, by their descriptors, have the same in them."""
    if stat.S_ISLNK(mode):
        return os.readlink("", dir_fd=first) == os.readlink("", dir_fd=second)
    if not stat.S_ISREG(mode):
        return True
    with open(f"/proc/self/fd/{first}", "rb", 0) as one, open(f"/proc/self/fd/{second}", "rb", 0) as two:
        while True:
            data = one.read(CHUNK)
            if data != two.read(CHUNK):
                return False
            if not data:
                return True


def _without_places(changes: Sequence[Change], places: Places) -> list[Change]:
    """The changes, sorted by path, without what the runtime made to mount something on, or on the way there."""
    kept: list[Change] = []
    holders: set[str] = set()  # directories of which something is kept
    for change in reversed(changes):
        path = change.path[1:]
        is_place = path in places.ends or (path in places.way and path not in holders)
        if change.kind not in (ADDED, _TOUCHED) or not is_place:
            kept.append(Change(change.path, CHANGED) if change.kind == _TOUCHED else change)
            holders.add(os.path.dirname(path))
    return kept[::-1]


def looks(found: os.stat_result) -> tuple[int, ...]:
    """What a change shows in. A directory's size is its file system's affair."""
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, size, found.st_rdev
