"""Files: syncfs(2), flock(2), names relative to a directory's descriptor, and files that appear when they are whole."""

from __future__ import annotations

import ctypes
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from containerkit.linux.libc import check

# Not libc.libc, which keeps the GIL: this call may take seconds, and the caller has other threads.
_libc = ctypes.CDLL(None, use_errno=True)


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


def lstat_at(directory: int, name: str) -> os.stat_result | None:
    """What ``name`` in the directory with that descriptor is, itself; None when there is nothing."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


@contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[int]:
    """Nobody else is in such a block with that file (made when absent) or directory. Its descriptor is the lock."""
    flags = os.O_RDONLY if os.path.isdir(path) else os.O_RDWR | os.O_CREAT
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


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file, which takes the place of ``path`` at the end of the block; nothing is left of it when that raises.

    Only of a file: a device or a pipe is written to.
    """
    if _is_special(path):
        with open(path, "wb") as file:
            yield file
        return
    # Beside the file that a link leads to: a rename does not leave its file system.
    target = os.path.realpath(path)
    temporary = f"{target}.{os.urandom(4).hex()}.part"
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _is_special(path: str | os.PathLike[str]) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False
