"""The files of a tree, one after the other, while others may change it.

Every step goes from the descriptor of a directory to a name in it, without following a symbolic link: whoever swaps
what is on the way gains nothing. What vanishes meanwhile is left out; a tree that vanishes as a whole, as another one
takes its place, is an error (:func:`check`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from errno import ENXIO

from containerkit.backup.earlier import Earlier
from containerkit.backup.items import (
    BLOCK,
    CHAR,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    NO_XATTRS,
    ROOT,
    SOCKET,
    SYMLINK,
    Item,
)
from containerkit.backup.manifest import EARLIEST, LATEST
from containerkit.errors import InvalidArgument, InvalidState
from containerkit.layers.bounds import MAX_DEPTH

#: Found, not opened: it may be a device, which something happens to when it is opened, or a fifo, which blocks.
_HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = {
    stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: SYMLINK, stat.S_IFCHR: CHAR, stat.S_IFBLK: BLOCK,
    stat.S_IFIFO: FIFO, stat.S_IFSOCK: SOCKET,
}  # fmt: skip
#: Overlayfs's own attributes and SELinux's labels say something of this machine.
_KEPT_XATTRS = ("user.", "security.capability", "system.posix_acl_")
_DROPPED_XATTRS = "user.overlay."
#: More regions than that are not told of one file: the smallest holes are zeros then.
_MAX_REGIONS = 10_000

Region = tuple[int, int]


def walk(root: int, earlier: Earlier | None = None) -> Iterator[tuple[Item, int]]:
    """Each name below the directory with the descriptor ``root``, itself first, and a descriptor (O_PATH) of it.

    The order is that of the bytes of the names in each directory; a directory comes before its content. A descriptor is
    valid until the next step. Digest and extents of contents are not told: nothing is read.

    Args:
        earlier: what it knows of names that have not changed is taken as it is; all but directories come without a
            descriptor (-1) then.

    Raises:
        InvalidArgument: a directory that is too deep.
        OSError: something cannot be looked at.
    """
    handle = os.open(".", _HANDLE, dir_fd=root)
    try:
        yield _item(ROOT, handle, os.fstat(handle)), handle
    finally:
        os.close(handle)
    yield from _Walk(earlier).below(root)


def glance(root: str | os.PathLike[str]) -> int:
    """Bytes of all contents, about: quicker than a walk."""
    total = 0
    seen: set[int] = set()  # of those with several names
    for _, _, names, directory in os.fwalk(root):
        for name in names:
            try:
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(found.st_mode) and found.st_ino not in seen:
                total += found.st_size
                if found.st_nlink > 1:
                    seen.add(found.st_ino)
    return total


def check(root: int, path: str | os.PathLike[str]) -> None:
    """After a walk: the tree was whole to the end.

    Raises:
        InvalidState: it is not at its path any more: its files went away during the walk.
    """
    try:
        is_there = os.path.samestat(os.fstat(root), os.stat(path))
    except FileNotFoundError:
        is_there = False
    if not is_there:
        raise InvalidState(f"directory {os.fspath(path)}: was removed or replaced while it was read")


class _Walk:
    """One walk, with what it knows of files with several names."""

    def __init__(self, earlier: Earlier | None) -> None:
        self._earlier = earlier
        self._first: dict[tuple[int, int], str] = {}
        # Of directories that are being read: descriptor, prefix of the paths, names still to come (the next is last).
        self._open: list[tuple[int, str, list[str]]] = []

    def below(self, root: int) -> Iterator[tuple[Item, int]]:
        try:
            self._enter(root, "")
            while self._open:
                directory, prefix, names = self._open[-1]
                if not names:
                    os.close(directory)
                    self._open.pop()
                    continue
                name = names.pop()
                if (item := self._unchanged(prefix + name, name, directory)) is not None:
                    yield item, -1
                    continue
                try:
                    handle = os.open(name, _HANDLE, dir_fd=directory)
                except FileNotFoundError:
                    continue
                try:
                    item = self._look(prefix + name, handle)
                    yield item, handle
                    if item.kind == DIRECTORY:
                        self._enter(handle, f"{item.path}/")
                finally:
                    os.close(handle)
        finally:
            for directory, _, _ in self._open:
                os.close(directory)

    def _enter(self, directory: int, prefix: str) -> None:
        if len(self._open) > MAX_DEPTH:
            raise InvalidArgument(f"directory {prefix[:100]}…: more than {MAX_DEPTH} directories deep")
        try:
            inner = os.open(".", _DIRECTORY, dir_fd=directory)
        except FileNotFoundError:
            return  # removed meanwhile
        names: list[str] = []
        self._open.append((inner, prefix, names))
        # A name that is removed and made again meanwhile may come twice.
        found = set(os.listdir(inner))
        # By the names' bytes, which is the order of ASCII text too.
        names += sorted(found, key=None if all(map(str.isascii, found)) else os.fsencode, reverse=True)

    def _look(self, path: str, handle: int) -> Item:
        found = os.fstat(handle)
        if self._earlier is not None and stat.S_ISDIR(found.st_mode):
            item = self._earlier.settled(path, found)
            if item is not None:
                return item
        item = _item(path, handle, found)
        if found.st_nlink > 1 and item.kind != DIRECTORY:
            first = self._first.setdefault((found.st_dev, found.st_ino), path)
            if first != path:
                item.kind, item.link, item.size, item.xattrs = HARDLINK, first, 0, NO_XATTRS
        return item

    def _unchanged(self, path: str, name: str, directory: int) -> Item | None:
        known = None if self._earlier is None else self._earlier.get(path)
        if self._earlier is None or known is None or known.kind == DIRECTORY:
            return None
        try:
            return self._earlier.settled(path, os.stat(name, dir_fd=directory, follow_symlinks=False))
        except FileNotFoundError:
            return None


def _item(path: str, handle: int, found: os.stat_result) -> Item:
    kind = _KINDS[stat.S_IFMT(found.st_mode)]
    item = Item(
        path, kind, found.st_mode & 0o7777, found.st_uid, found.st_gid, found.st_size if kind == FILE else 0,
        min(max(found.st_mtime_ns, EARLIEST), LATEST), found.st_ctime_ns, found.st_ino, found.st_dev, "", 0, 0,
        _attributes(handle),
    )  # fmt: skip
    if kind == SYMLINK:
        item.link = os.readlink("", dir_fd=handle)
    elif kind in (CHAR, BLOCK):
        item.major, item.minor = os.major(found.st_rdev), os.minor(found.st_rdev)
    return item


def _attributes(handle: int) -> dict[str, bytes]:
    path = f"/proc/self/fd/{handle}"  # the calls with a descriptor do not take one of a file that is not open
    try:
        names = os.listxattr(path)
    except OSError:
        return NO_XATTRS  # a file system without them
    if not names:
        return NO_XATTRS
    found = {}
    for name in names:
        if is_kept(name):
            try:
                found[name] = os.getxattr(path, name)
            except OSError:
                continue  # taken away meanwhile
    return found or NO_XATTRS


def is_kept(attribute: str) -> bool:
    """Whether a backup has an attribute of that name."""
    return attribute.startswith(_KEPT_XATTRS) and not attribute.startswith(_DROPPED_XATTRS)


def open_content(handle: int) -> int:
    """A descriptor to read the regular file by that ``handle`` is of."""
    return os.open(f"/proc/self/fd/{handle}", _READ)


def regions(descriptor: int, size: int) -> tuple[Region, ...] | None:
    """Where a file has data (lseek(2), SEEK_DATA), within its first ``size`` bytes; None when it has no holes."""
    if not size or os.fstat(descriptor).st_blocks * 512 >= size:
        return None
    found: list[Region] = []
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
            position = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno != ENXIO:  # nothing but a hole follows
                return None  # a file system that does not tell
            break
        if start < size:
            found.append((start, position - start))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return None if found == [(0, size)] else tuple(_fewer(found))


def _fewer(found: list[Region]) -> list[Region]:
    gap = 4096
    while len(found) > _MAX_REGIONS:
        gap *= 2
        joined = found[:1]
        for start, length in found[1:]:
            last, span = joined[-1]
            if start - last - span <= gap:
                joined[-1] = (last, start + length - last)
            else:
                joined.append((start, length))
        found = joined
    return found
