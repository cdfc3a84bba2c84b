"""What the writable layer changes of the layers below it.

Source: Documentation/filesystems/overlayfs.rst: a character device 0/0 is a whiteout, and a directory with the opaque
attribute hides what lies below it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from containerkit.layers.apply import OPAQUE
from containerkit.linux.confinement import is_confined

ADDED, CHANGED, DELETED = "added", "changed", "deleted"


@dataclass(frozen=True)
class Change:
    """A path of the container, and what was done to it: ``added``, ``changed`` or ``deleted``."""

    path: str
    kind: str

    def __str__(self) -> str:
        return f"{self.kind[0].upper()} {self.path}"


def changes(upper: str | Path, lower: Sequence[str | Path]) -> list[Change]:
    """The changes in ``upper``, sorted by path.

    Args:
        lower: the layers below, uppermost first.
    """
    return sorted(_walk(str(upper), [str(layer) for layer in lower], ""), key=lambda change: change.path)


def compare(tree: str | Path, lower: Sequence[str | Path]) -> list[Change]:
    """As :func:`changes`, of a tree that began as a copy of the layers (flatten.py)."""
    layers = [str(layer) for layer in lower]
    return sorted(_compare(str(tree), layers, ""), key=lambda change: change.path)


def _compare(tree: str, lower: list[str], path: str) -> Iterator[Change]:
    below = _names(lower, path)
    there = set(os.listdir(f"{tree}{path}"))
    yield from (Change(f"{path}/{name}", DELETED) for name in below - there)
    for name in there:
        here = f"{path}/{name}"
        found = os.lstat(f"{tree}{here}")
        original = _lstat(lower, here) if name in below else None
        if original is None:
            yield Change(here, ADDED)
        elif _looks(found) != _looks(original):
            yield Change(here, CHANGED)
        if stat.S_ISDIR(found.st_mode):
            yield from _compare(tree, lower, here)


def _lstat(lower: list[str], path: str) -> os.stat_result | None:
    for layer in lower:
        if os.path.lexists(f"{layer}{path}"):
            return os.lstat(f"{layer}{path}")
    return None


def _looks(found: os.stat_result) -> tuple[int, ...]:
    """What a change shows in. A directory's size is its file system's affair."""
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, size, found.st_rdev


def _walk(upper: str, lower: list[str], path: str) -> Iterator[Change]:
    here = f"{upper}{path}"
    if path and is_opaque(here):
        # Deleted and made anew: what it had is gone without whiteouts of its own.
        yield from (Change(f"{path}/{name}", DELETED) for name in _names(lower, path) - set(os.listdir(here)))
    for entry in os.scandir(here):
        name = f"{path}/{entry.name}"
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
            yield Change(name, DELETED)
            continue
        yield Change(name, CHANGED if _exists(lower, name) else ADDED)
        if stat.S_ISDIR(found.st_mode):
            yield from _walk(upper, lower, name)


def _names(lower: list[str], path: str) -> set[str]:
    """What the merged lower layers have in that directory."""
    found: set[str] = set()
    hidden: set[str] = set()
    for layer in lower:
        directory = f"{layer}{path}"
        if _is_hidden(layer, path):
            break
        if not os.path.isdir(directory) or os.path.islink(directory):
            continue
        for entry in os.scandir(directory):
            if _is_whiteout(entry.path):
                hidden.add(entry.name)
            elif entry.name not in hidden:
                found.add(entry.name)
        if is_opaque(directory):
            break
    return found


def _exists(lower: list[str], path: str) -> bool:
    for layer in lower:
        if _is_hidden(layer, path):
            return False
        if os.path.lexists(f"{layer}{path}"):
            return True
        if _has_opaque_above(layer, path):
            return False
    return False


def _parents(path: str) -> Iterator[str]:
    """``/a``, ``/a/b`` … and the path itself."""
    walked = ""
    for part in path.split("/")[1:]:
        walked += f"/{part}"
        yield walked


def _is_hidden(layer: str, path: str) -> bool:
    """Whether the layer deletes the path, or something above it."""
    return any(_is_whiteout(f"{layer}{parent}") for parent in _parents(path))


def _has_opaque_above(layer: str, path: str) -> bool:
    return any(is_opaque(f"{layer}{parent}") for parent in _parents(path))


def _is_whiteout(path: str) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def is_opaque(path: str) -> bool:
    """Whether nothing of the layers below shows in that directory."""
    try:
        return os.getxattr(path, OPAQUE[is_confined()], follow_symlinks=False) == b"y"
    except OSError:
        return False
