"""Private directories for work in progress, whose owner the kernel knows.

The owner holds a lock (flock(2)) on its directory. A directory that nobody has locked belongs to a process that is
gone, kill -9 included, and whoever comes next removes it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from types import TracebackType

from containerkit.store.trees import remove_tree


class Workspace:
    """A new directory below ``parent``; removed at the end of the ``with``, with what is still in it."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._lock = -1
        self.path = parent

    def __enter__(self) -> Workspace:
        while not self._make():
            pass
        return self

    def _make(self) -> bool:
        """Make and lock a directory; False when a sweep took it for abandoned before it was locked."""
        self.path = self._parent / secrets.token_hex(8)
        self.path.mkdir(mode=0o700)
        try:
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        if self.path.exists():  # nobody makes a second one of that name
            return True
        os.close(self._lock)
        return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            remove_tree(self.path)
        except OSError:
            pass  # swept later: the lock goes now
        finally:
            os.close(self._lock)


def sweep(parent: Path) -> None:
    """Remove the directories below ``parent`` whose owners are gone. Idempotent."""
    for name in os.listdir(parent):
        remove_unlocked(parent / name)


def remove_unlocked(path: Path) -> bool:
    """Remove a directory that nobody has locked; whether it is gone now."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False  # gone already, or a file that is renamed in a moment
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_tree(path)
        return True
    except OSError:
        return False
    finally:
        os.close(lock)
