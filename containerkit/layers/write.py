"""A directory's entries: what a layer says about its files.

Kept: names, kinds, owners, modes, times to the nanosecond, extended attributes, hard links, devices. Left out: sockets
(tar has no word for them), overlayfs's own attributes, and SELinux labels, which are this machine's policy. The order
is the names' bytes, a directory before what is in it: equal trees give equal streams.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from containerkit.errors import InvalidArgument, InvalidState
from containerkit.layers.bounds import MAX_DEPTH
from containerkit.layers.pack import Archive
from containerkit.layers.tar import (
    BLOCK_DEVICE,
    CHAR,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Entry,
)

_KINDS = {
    stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: SYMLINK, stat.S_IFCHR: CHAR,
    stat.S_IFBLK: BLOCK_DEVICE, stat.S_IFIFO: FIFO,
}  # fmt: skip
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OWN_XATTRS = ("trusted.overlay.", "user.overlay.", "security.selinux")


def add_tree(archive: Archive, root: str | os.PathLike[str]) -> None:
    """Append ``root`` as ``./``, and everything below.

    Raises:
        InvalidArgument: a file whose name only a whiteout may have.
        InvalidState: a file changed while it was read.
        OSError: something cannot be read.
    """
    descriptor = os.open(root, _DIRECTORY)
    try:
        _Tree(archive).add_directory(descriptor, "./")
    finally:
        os.close(descriptor)


def add_root(archive: Archive, root: int, first: tuple[int, int]) -> None:
    """As :func:`add_tree`, for a container's root: what is mounted in it is left out.

    Args:
        root: its descriptor. The container may change everything meanwhile: nothing leads outside.
        first: the user and group that are written as 0.
    """
    descriptor = os.open(f"/proc/self/fd/{root}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _Tree(archive, device=os.fstat(descriptor).st_dev, first=first).add_directory(descriptor, "./")
    finally:
        os.close(descriptor)


class _Tree:
    """A walk from descriptor to descriptor.

    Args:
        device: only directories of that one are gone into; None for all.
    """

    def __init__(self, archive: Archive, device: int | None = None, first: tuple[int, int] = (0, 0)) -> None:
        self._archive, self._device, self._first = archive, device, first
        self._names: dict[tuple[int, int], str] = {}  # of files with several names: the first one

    def add_directory(self, directory: int, name: str) -> None:
        found = os.fstat(directory)
        self._archive.add(self._entry(name, DIRECTORY, f"/proc/self/fd/{directory}/.", found))
        if self._device is not None and found.st_dev != self._device:
            return
        prefix = "" if name == "./" else f"{name}/"
        if prefix.count("/") > MAX_DEPTH:
            raise InvalidArgument(f"import: {name[:100]}…: more than {MAX_DEPTH} directories deep")
        for child in sorted(os.listdir(directory), key=os.fsencode):
            if child.startswith(".wh."):
                raise InvalidArgument(f"import: {prefix}{child}: in a layer a name beginning with .wh. is a deletion")
            self._add(directory, child, prefix + child)

    def _add(self, directory: int, child: str, name: str) -> None:
        try:
            found = os.stat(child, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return  # removed meanwhile
        kind = _KINDS.get(stat.S_IFMT(found.st_mode))
        if kind is None:
            return
        if kind == DIRECTORY:
            inner = os.open(child, _DIRECTORY, dir_fd=directory)
            try:
                self.add_directory(inner, name)
            finally:
                os.close(inner)
            return
        path = f"/proc/self/fd/{directory}/{child}"
        entry = self._entry(name, kind, path, found)
        if found.st_nlink > 1 and (first := self._names.setdefault((found.st_dev, found.st_ino), name)) != name:
            entry.kind, entry.link, entry.size, entry.xattrs = HARDLINK, first, 0, {}
            self._archive.add(entry)
        elif kind == FILE:
            add_file(self._archive, entry, path)
        else:
            self._archive.add(entry)

    def _entry(self, name: str, kind: bytes, path: str, found: os.stat_result) -> Entry:
        entry = entry_of(name, kind, path, found)
        entry.uid, entry.gid = found.st_uid - self._first[0], found.st_gid - self._first[1]
        return entry


def entry_of(name: str, kind: bytes, path: str, found: os.stat_result) -> Entry:
    """The entry that describes the file at ``path`` under ``name``."""
    entry = Entry(name, kind, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, mtime=found.st_mtime_ns)
    if kind == FILE:
        entry.size = found.st_size
    elif kind == SYMLINK:
        entry.link = os.readlink(path)
    elif kind in (CHAR, BLOCK_DEVICE):
        entry.major, entry.minor = os.major(found.st_rdev), os.minor(found.st_rdev)
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return entry  # a file system without them
    for key in names:
        if not key.startswith(_OWN_XATTRS):
            entry.xattrs[key] = os.getxattr(path, key, follow_symlinks=False)
    return entry


def add_file(archive: Archive, entry: Entry, path: str) -> None:
    """Append a regular file with its content.

    Raises:
        InvalidState: it was replaced or changed its size since ``entry`` was made.
    """
    with _opened(path) as (descriptor, found):
        if not stat.S_ISREG(found.st_mode) or found.st_size != entry.size:
            raise InvalidState(f"import: {path} changed while it was read")
        with open(descriptor, "rb", buffering=0, closefd=False) as content:
            archive.add(entry, content)


@contextmanager
def _opened(path: str) -> Iterator[tuple[int, os.stat_result]]:
    # Not blocking: a fifo may have taken the file's place.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield descriptor, os.fstat(descriptor)
    finally:
        os.close(descriptor)
