"""Files: syncfs(2), statfs(2), flock(2), renameat2(2), names relative to a directory's descriptor, and contents copied
with their holes.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EBADF, EINVAL, ENOSYS, ENOTTY, ENXIO, EOPNOTSUPP, EPERM, EXDEV

from containerkit.linux.libc import check, libc, syscall_number

# Not libc.libc, which keeps the GIL: this call may take seconds, and the caller has other threads.
_libc = ctypes.CDLL(None, use_errno=True)
_renameat2 = syscall_number("renameat2")
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_FICLONE = 0x40049409
_GETFLAGS, _SETFLAGS, _TOPDIR = 0x80086601, 0x40086602, 0x20000
#: How a file system says that it cannot do that, or not with these two.
_CANNOT = (EXDEV, EINVAL, EOPNOTSUPP, ENOTTY, ENOSYS, EPERM, EBADF)
_PIECE = 1 << 26
#: File systems in memory (linux/magic.h): tmpfs, ramfs.
_IN_MEMORY = (0x01021994, 0x858458F6)


def kernel_lines(path: str) -> list[str]:
    """The lines of a file of procfs, without their ends. Names in it may have any bytes but that of a line's end.

    Raises:
        OSError: it is not there, or not to be read.
    """
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return [line.rstrip("\n") for line in file]


def exchange(one: str, other: str) -> None:
    """renameat2(2) with RENAME_EXCHANGE: each gets the other's name, at one moment.

    Raises:
        OSError: they are not on one file system, or it cannot do that.
    """
    names = os.fsencode(one), os.fsencode(other)
    at, flags = ctypes.c_long(_AT_FDCWD), ctypes.c_long(_RENAME_EXCHANGE)
    check(libc.syscall(ctypes.c_long(_renameat2), at, names[0], at, names[1], flags), other)


def copy_content(source: int, target: int) -> None:
    """Give an empty file another's content: shared with it where the file system can (ioctl_ficlone(2)), else copied,
    holes as holes.

    Args:
        source, target: descriptors of regular files.
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
        return
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    size = os.fstat(source).st_size
    for start, end in _regions(source, size):
        _copy_region(source, target, start, end)
    os.ftruncate(target, size)


def _regions(source: int, size: int) -> Iterator[tuple[int, int]]:
    """Where there is data: lseek(2), SEEK_DATA."""
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
            position = os.lseek(source, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != ENXIO:  # a file system that does not tell; otherwise nothing but a hole follows
                yield position, size
            return
        yield start, min(position, size)


def _copy_region(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        try:
            done = os.copy_file_range(source, target, min(end - start, _PIECE), start, start)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            done = os.pwrite(target, os.pread(source, min(end - start, 1 << 20), start), start)
        if not done:
            return  # it has become shorter
        start += done


def syncfs(path: str | os.PathLike[str]) -> None:
    """syncfs(2): what was written to the file system that holds ``path`` is on its disk.

    Raises:
        OSError: writing failed, then or since the last call (Linux 5.8).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        check(_libc.syncfs(descriptor), os.fspath(path))
    finally:
        os.close(descriptor)


def is_in_memory(path: str | os.PathLike[str]) -> bool:
    """Whether the file system there has no disk below it (statfs(2)).

    Raises:
        OSError: there is nothing.
    """
    found = (ctypes.c_long * 32)()  # struct statfs is shorter; it begins with f_type
    check(libc.statfs(os.fsencode(path), found), os.fspath(path))
    return found[0] in _IN_MEMORY


def scatter(path: str | os.PathLike[str]) -> None:
    """What the directories in a directory hold has nothing to do with each other (chattr(1), T); nothing elsewhere.

    ext4 looks for the room of a new directory in another part of the disk then, not beside what was removed a moment
    ago: it does not give out the inodes of removed files for minutes, and looks at each of them for every new file
    (recently_deleted() in fs/ext4/ialloc.c).
    """
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = array("i", [0, 0])  # declared as long, and used as int
        fcntl.ioctl(directory, _GETFLAGS, flags)
        if not flags[0] & _TOPDIR:
            flags[0] |= _TOPDIR
            fcntl.ioctl(directory, _SETFLAGS, flags)
    except OSError:
        pass  # a file system that has no such thing
    finally:
        os.close(directory)


def sync_directory(path: str | os.PathLike[str]) -> None:
    """The names in a directory are on its disk: fsync(2)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lstat_at(directory: int, name: str) -> os.stat_result | None:
    """What ``name`` in the directory with that descriptor is, itself; None when there is nothing."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


@contextmanager
def locked(path: str | os.PathLike[str], *, is_directory: bool = False) -> Iterator[int]:
    """Nobody else is in such a block with that file (made when absent). Its descriptor is the lock.

    Args:
        is_directory: it is a directory, and not made.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY if is_directory else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def short_path(path: str) -> Iterator[str]:
    """The path of a socket by way of its directory's descriptor: a socket's address has room for 107 bytes."""
    directory, name = os.path.split(path)
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)
