"""What a backup is made of: a tree as it is while it is read; staging.py has the other one, a tree as it was."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Protocol

from containerkit.backup.earlier import Earlier, settle
from containerkit.backup.items import Item
from containerkit.backup.walk import check, glance, walk


class Tree(Protocol):
    """Something to go through as with :func:`~containerkit.backup.walk.walk`."""

    #: When it is as it is read, in seconds since the epoch; before which nanosecond files are settled (earlier.py); how
    #: long those who write to it were stopped for that; whether contents cannot change while they are read.
    created: float
    settled_ns: int
    frozen_seconds: float
    is_still: bool

    def walk(self, earlier: Earlier | None = None) -> Iterator[tuple[Item, int]]:
        """Items and handles."""

    def total(self) -> int:
        """Bytes of all contents, about."""


class Living:
    """The tree at a path; others may write to it.

    Raises:
        OSError: what others have written could not be brought to the disk.
    """

    frozen_seconds = 0.0
    is_still = False

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self.created = time.time()
        self.settled_ns = settle(path)

    def walk(self, earlier: Earlier | None = None) -> Iterator[tuple[Item, int]]:
        """Items and handles."""
        tree = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield from walk(tree, earlier)
            check(tree, self._path)
        finally:
            os.close(tree)

    def total(self) -> int:
        """Bytes of all contents, about."""
        return glance(self._path)
