"""Directory trees that strangers have written into: removing them, and how much room they take."""

from __future__ import annotations

import contextlib
import os
import stat
from errno import EBUSY, EXDEV

from containerkit.linux import mounts
from containerkit.store import rights

# Each level holds a descriptor open; a container can nest directories without end.
_MAX_OPEN = 64


def set_aside(path: str | os.PathLike[str], tmp: str | os.PathLike[str]) -> str:
    """Take a directory away at once, to be removed after that; its new path.

    Args:
        tmp: where the work in progress is (store/workspace.py). There it is one whose owner is gone: swept if we are
            killed.

    Raises:
        OSError: it is not there, or not on the file system of ``tmp``; it is where it was.
    """
    moved = os.path.join(tmp, os.urandom(8).hex())
    os.rename(path, moved)
    return moved


def remove_tree(path: str | os.PathLike[str]) -> None:
    """Remove ``path`` and all below it. Idempotent.

    Goes from descriptor to descriptor: a symbolic link is removed, never followed, and a mount is not entered.

    Raises:
        OSError: something could not be removed.
    """
    rights.if_refused(_remove_tree, path)


def _remove_tree(path: str | os.PathLike[str]) -> None:
    parent, name = os.path.split(os.fspath(path))
    try:
        parent_fd = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _Removal().remove(parent_fd, name, 0)
    finally:
        os.close(parent_fd)


def disk_usage(path: str | os.PathLike[str]) -> int:
    """Bytes on disk of everything at and below ``path``, as du(1) counts: a file with several names once."""
    seen: set[tuple[int, int]] = set()  # of those with several
    total = os.lstat(path).st_blocks * 512
    for _, names, files, directory in os.fwalk(path, follow_symlinks=False):
        for name in (*names, *files):
            try:
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                if (found.st_dev, found.st_ino) in seen:
                    continue
                seen.add((found.st_dev, found.st_ino))
            total += found.st_blocks * 512
    return total


class _Removal:
    def __init__(self) -> None:
        self._top = -1
        self._moved = 0

    def remove(self, parent: int, name: str, depth: int) -> None:
        try:
            # Not by the number of its device: what is mounted there may be of the same.
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            directory = mounts.openat2(parent, name, flags, resolve=mounts.RESOLVE_NO_XDEV)
        except FileNotFoundError:
            return
        except NotADirectoryError:
            os.unlink(name, dir_fd=parent)
            return
        except PermissionError:
            # What may not be looked into may be empty, as overlayfs's directory for itself is.
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=parent)
                return
            raise
        except OSError as error:
            if error.errno == EXDEV:
                raise OSError(EBUSY, "a file system is mounted there", name) from error
            raise
        try:
            if depth == 0:
                self._top = directory
            while self._empty(directory, depth):
                pass
        finally:
            os.close(directory)
        try:
            os.rmdir(name, dir_fd=parent)
        except FileNotFoundError:
            pass

    def _empty(self, directory: int, depth: int) -> bool:
        """Remove what is there now; whether something was moved up here meanwhile."""
        moved = self._moved
        with os.scandir(directory) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_directory in found:
            try:
                if not is_directory:
                    os.unlink(name, dir_fd=directory)
                elif depth < _MAX_OPEN:
                    self.remove(directory, name, depth + 1)
                else:
                    self._move_up(directory, name)
            except FileNotFoundError:
                pass
        return depth == 0 and self._moved > moved

    def _move_up(self, directory: int, name: str) -> None:
        """Continue from the top: the tree gets flatter by what is moved there."""
        self._moved += 1
        os.rename(name, f".moved-{os.urandom(8).hex()}", src_dir_fd=directory, dst_dir_fd=self._top)
