"""Removing directory trees that strangers have written into."""

from __future__ import annotations

import os
import stat


def remove_tree(path: str | os.PathLike[str]) -> None:
    """Remove ``path`` and all below it. Idempotent.

    Goes from descriptor to descriptor: a symbolic link is removed, never followed, and a mount is not entered.

    Raises:
        OSError: something could not be removed.
    """
    parent, name = os.path.split(os.fspath(path))
    try:
        parent_fd = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _remove(parent_fd, name, os.fstat(parent_fd).st_dev)
    finally:
        os.close(parent_fd)


def _remove(parent: int, name: str, device: int) -> None:
    try:
        directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        os.unlink(name, dir_fd=parent)
        return
    try:
        if os.fstat(directory).st_dev != device:
            raise OSError(16, "a file system is mounted there", name)
        _empty(directory, device)
    finally:
        os.close(directory)
    try:
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        pass


def _empty(directory: int, device: int) -> None:
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        try:
            if is_directory:
                _remove(directory, name, device)
            else:
                os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            pass


def disk_usage(path: str | os.PathLike[str]) -> int:
    """Bytes on disk below ``path``, as ``du`` counts them; a file with several names once."""
    total, seen = 0, set()
    pending = [os.fspath(path)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    pending.append(entry.path)
                elif found.st_nlink > 1:
                    if found.st_ino in seen:
                        continue
                    seen.add(found.st_ino)
                total += found.st_blocks * 512
    return total
