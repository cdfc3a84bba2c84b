"""A tree as it is at one moment, while others write to it: they are stopped for as long as it takes to look at it.

::

    round 1, 2 …   contents are copied (shared, where the file system can) while everybody writes on
    stopped        the tree is looked at, file by file; what has changed since the last round is copied once more
    going on       the backup is made of these looks and copies, in all the time it takes

Changed is what was not settled before the last round (:mod:`earlier`): in memory (tmpfs), where nothing ever is,
everything is copied while all stand still. What a base has already is not copied.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from containerkit.backup.earlier import Earlier, settle
from containerkit.backup.items import FILE, Item
from containerkit.backup.walk import check, open_content, walk
from containerkit.linux.files import copy_content

#: Another round while the last one had more bytes than that to copy; so many at most.
_MUCH, _ROUNDS = 32 << 20, 4


class Staged:
    """What was seen, and the copies; a :class:`~containerkit.backup.trees.Tree`.

    Args:
        items: as they were when everything stood still.
        created: when that was, in seconds since the epoch.
        frozen_seconds: how long it did.
        settled_ns: as in :class:`Manifest`.
    """

    is_still = True

    def __init__(
        self, items: list[Item], copies: Copies, created: float, frozen_seconds: float, settled_ns: int
    ) -> None:
        self.items, self.created, self.frozen_seconds, self.settled_ns = items, created, frozen_seconds, settled_ns
        self._copies = copies

    def walk(self, earlier: Earlier | None = None) -> Iterator[tuple[Item, int]]:
        """Items and handles; a file that was known to be unchanged comes without."""
        for item in self.items:
            handle = self._copies.open(item) if item.kind == FILE else -1
            try:
                yield item, handle
            finally:
                if handle >= 0:
                    os.close(handle)

    def total(self) -> int:
        """Bytes of all contents."""
        return sum(item.size for item in self.items)


class Copies:
    """Contents by file, in a directory of their own."""

    def __init__(self, space: Path, base: Earlier) -> None:
        self._space, self._base = space, base
        self._taken: set[tuple[int, int]] = set()

    def _path(self, item: Item) -> Path:
        return self._space / f"{item.device}-{item.inode}"

    def take(self, item: Item, handle: int, since: int) -> int:
        """Copy a content that has changed since then, or was not there; bytes.

        Args:
            since: nanoseconds since the epoch.
        """
        file = item.device, item.inode
        if item.kind != FILE or (item.ctime_ns < since and file in self._taken):
            return 0
        if self._base.unchanged(item) is not None:
            return 0
        source = open_content(handle)
        try:
            target = os.open(self._path(item), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                copy_content(source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)
        self._taken.add(file)
        return item.size

    def open(self, item: Item) -> int:
        """A handle (O_PATH) of the copy; -1 for one that the base has."""
        try:
            return os.open(self._path(item), os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            return -1


def staged(
    root: str, space: Path, still: Callable[[], AbstractContextManager[object]], base: Earlier | None = None
) -> Staged:
    """The tree at ``root`` as it is at one moment.

    Args:
        space: an empty directory for copies; on the same file system nothing is copied where that can share.
        still: what is to be held still is, as long as that context lasts.
        base: what that has unchanged is not copied.

    Raises:
        OSError: there is no room for the copies.
    """
    copies = Copies(space, base or Earlier())
    tree = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        since, much = 0, _MUCH + 1
        known = Earlier()
        for _ in range(_ROUNDS):
            if much <= _MUCH:
                break
            began = settle(root)
            if not began:
                break
            much, found = 0, []
            for item, handle in walk(tree, known):
                much += copies.take(item, handle, since)
                found.append(item)
            known, since = Earlier(found, began), began
        with still():
            stopped, created = time.perf_counter(), time.time()
            items = []
            for item, handle in walk(tree, known):
                copies.take(item, handle, since)
                items.append(item)
            check(tree, root)
            return Staged(items, copies, created, time.perf_counter() - stopped, since)
    finally:
        os.close(tree)
