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

#: Of entries, by the type of a file's mode; sockets have none.
KINDS = {
    stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: SYMLINK, stat.S_IFCHR: CHAR,
    stat.S_IFBLK: BLOCK_DEVICE, stat.S_IFIFO: FIFO,
}  # fmt: skip
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Found, not opened: it may be a device, which something happens to when it is opened, or a fifo, which blocks.
_HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
#: Attributes, by how their names begin, that belong to this machine and to no layer.
OWN_XATTRS = ("trusted.overlay.", "user.overlay.", "security.selinux")


def add_tree(archive: Archive, root: str | os.PathLike[str]) -> None:
    """Append ``root`` as ``./``, and everything below.

    Raises:
        InvalidArgument: a file whose name only a whiteout may have.
        InvalidState: a file became shorter while it was read.
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
        self._files = Files(archive, first)
        self._device = device

    def add_directory(self, directory: int, name: str) -> None:
        found = self._files.add_directory(directory, name)
        if self._device is not None and found.st_dev != self._device:
            return
        prefix = "" if name == "./" else f"{name}/"
        for child in names(directory, prefix):
            self._add(directory, child, prefix + child)

    def _add(self, directory: int, child: str, name: str) -> None:
        with handle(child, directory) as (descriptor, found):
            if found is None:
                return  # removed meanwhile
            if not stat.S_ISDIR(found.st_mode):
                self._files.add(descriptor, found, name)
                return
            inner = open_directory(descriptor)
        try:
            self.add_directory(inner, name)
        finally:
            os.close(inner)


class Files:
    """What a walk has come to is appended; of a file with several names, the content once.

    Args:
        first: the user and group that are written as 0.
    """

    def __init__(self, archive: Archive, first: tuple[int, int] = (0, 0)) -> None:
        self.archive, self._first = archive, first
        self._names: dict[tuple[int, int], str] = {}  # of files with several names: the first one

    def add_directory(self, directory: int, name: str) -> os.stat_result:
        """Append the directory with that descriptor, without what is in it; its status."""
        found = os.fstat(directory)
        self.archive.add(self._entry(name, DIRECTORY, directory, found))
        return found

    def add(self, handle: int, found: os.stat_result, name: str) -> None:
        """Append another file: one that ``handle`` is the descriptor (O_PATH) of. Nothing for a socket."""
        kind = KINDS.get(stat.S_IFMT(found.st_mode))
        if kind is None:
            return
        entry = self._entry(name, kind, handle, found)
        if found.st_nlink > 1 and (first := self._names.setdefault((found.st_dev, found.st_ino), name)) != name:
            entry.kind, entry.link, entry.size, entry.xattrs = HARDLINK, first, 0, {}
            self.archive.add(entry)
        elif kind == FILE:
            with open(f"/proc/self/fd/{handle}", "rb", buffering=0) as content:
                self.archive.add(entry, content)
        else:
            self.archive.add(entry)

    def _entry(self, name: str, kind: bytes, handle: int, found: os.stat_result) -> Entry:
        link = os.readlink("", dir_fd=handle) if kind == SYMLINK else ""
        entry = _entry(name, kind, found, link)
        entry.uid, entry.gid = found.st_uid - self._first[0], found.st_gid - self._first[1]
        entry.xattrs = attributes(handle)
        return entry


def names(directory: int, prefix: str) -> list[str]:
    """The names in the directory with that descriptor, in the order of their bytes.

    Args:
        prefix: the directory's own name, and a slash.

    Raises:
        InvalidArgument: one that only a whiteout may have, or a directory that is too deep.
    """
    if prefix.count("/") > MAX_DEPTH:
        raise InvalidArgument(f"directory {prefix[:100]}…: more than {MAX_DEPTH} directories deep")
    found = sorted(os.listdir(directory), key=os.fsencode)
    for name in found:
        if name.startswith(".wh."):
            raise InvalidArgument(f"file {prefix}{name}: in a layer a name beginning with .wh. is a deletion")
    return found


@contextmanager
def handle(name: str, directory: int | None = None) -> Iterator[tuple[int, os.stat_result | None]]:
    """A descriptor (O_PATH) of what ``name`` is, itself, and its status; None for that where there is nothing."""
    try:
        descriptor = os.open(name, _HANDLE, dir_fd=directory)
    except FileNotFoundError:
        yield -1, None
        return
    try:
        yield descriptor, os.fstat(descriptor)
    finally:
        os.close(descriptor)


def open_directory(handle: int) -> int:
    """A descriptor to read the directory by that ``handle`` is of."""
    return os.open(".", _DIRECTORY, dir_fd=handle)


def attributes(handle: int) -> dict[str, bytes]:
    """The extended attributes that a layer keeps of the file that ``handle`` is a descriptor of; by name."""
    return _attributes(f"/proc/self/fd/{handle}", follow=True)


def _attributes(path: str, *, follow: bool) -> dict[str, bytes]:
    try:
        found = os.listxattr(path, follow_symlinks=follow)
    except OSError:
        return {}  # a file system without them
    return {key: os.getxattr(path, key, follow_symlinks=follow) for key in found if not key.startswith(OWN_XATTRS)}


def entry_of(name: str, kind: bytes, path: str, found: os.stat_result) -> Entry:
    """The entry that describes the file at ``path`` under ``name``."""
    entry = _entry(name, kind, found, os.readlink(path) if kind == SYMLINK else "")
    entry.xattrs = _attributes(path, follow=False)
    return entry


def _entry(name: str, kind: bytes, found: os.stat_result, link: str) -> Entry:
    entry = Entry(name, kind, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, mtime=found.st_mtime_ns)
    entry.link = link
    if kind == FILE:
        entry.size = found.st_size
    elif kind in (CHAR, BLOCK_DEVICE):
        entry.major, entry.minor = os.major(found.st_rdev), os.minor(found.st_rdev)
    return entry


def add_file(archive: Archive, entry: Entry, path: str) -> None:
    """Append a regular file with its content.

    Raises:
        InvalidState: it was replaced or changed its size since ``entry`` was made.
    """
    with handle(path) as (descriptor, found):
        if found is None or not stat.S_ISREG(found.st_mode) or found.st_size != entry.size:
            raise InvalidState(f"file {path}: changed while it was read")
        with open(f"/proc/self/fd/{descriptor}", "rb", buffering=0) as content:
            archive.add(entry, content)
