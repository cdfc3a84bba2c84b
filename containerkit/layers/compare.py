"""Whether two trees are the same: what an archive says of files, and what is in them.

Not the time of a whiteout, of which an archive says none, nor what is the file system's affair.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from containerkit.layers.diff import is_same_content, looks
from containerkit.layers.tar import shown
from containerkit.layers.whiteouts import is_whiteout
from containerkit.linux import mounts

_BELOW = mounts.RESOLVE_BENEATH | mounts.RESOLVE_NO_SYMLINKS
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
#: In the order of :func:`diff.looks`.
_LOOKS = ("kind or mode", "owner", "group", "time", "size", "device")


def difference(right: Path, found: Path) -> str:
    """The first thing in which the tree ``found`` is not as the tree ``right``, in words; empty when there is none.

    Raises:
        OSError: something cannot be read.
    """
    with ExitStack() as stack:
        roots = [os.open(root, _DIRECTORY) for root in (right, found)]
        for root in roots:
            stack.callback(os.close, root)
        return next(_walk(roots[0], roots[1]), "")


def _walk(right: int, found: int) -> Iterator[str]:
    """What is different, directory after directory: a few descriptors at a time, for trees can be deep."""
    yield from _compare(right, found, ".", ".")
    pending = ["."]
    while pending:
        path = pending.pop()
        with ExitStack() as stack:
            one, other = (mounts.openat2(root, path, _DIRECTORY, resolve=_BELOW) for root in (right, found))
            stack.callback(os.close, one)
            stack.callback(os.close, other)
            wanted, there = set(os.listdir(one)), set(os.listdir(other))
            yield from (f"{shown(f'{path}/{name}')} is missing" for name in wanted - there)
            yield from (f"{shown(f'{path}/{name}')} does not belong there" for name in there - wanted)
            for name in sorted(wanted):
                yield from _compare(one, other, name, f"{path}/{name}")
                if stat.S_ISDIR(os.stat(name, dir_fd=one, follow_symlinks=False).st_mode):
                    pending.append(f"{path}/{name}")


def _compare(one: int, other: int, name: str, path: str) -> Iterator[str]:
    """What of a file, in the directories with these descriptors, is another."""
    handles = [os.open(name, _HANDLE, dir_fd=directory) for directory in (one, other)]
    try:
        right, found = map(os.fstat, handles)
        for what, wanted, there in zip(_LOOKS, looks(right), looks(found), strict=True):
            if wanted != there and not (what == "time" and is_whiteout(right, in_layer=True)):
                yield f"{shown(path)} has another {what}"
        if not stat.S_ISDIR(right.st_mode) and right.st_nlink != found.st_nlink:
            yield f"{shown(path)} has another number of names"
        if _attributes(handles[0]) != _attributes(handles[1]):
            yield f"{shown(path)} has other attributes"
        if not is_same_content(handles[0], handles[1], right.st_mode):
            yield f"{shown(path)} has another content"
    finally:
        for handle in handles:
            os.close(handle)


def _attributes(handle: int) -> dict[str, bytes]:
    """All of them: overlayfs's own say what a layer hides."""
    path = f"/proc/self/fd/{handle}"
    try:
        return {name: os.getxattr(path, name) for name in os.listxattr(path)}
    except OSError:
        return {}  # a file system without them
