"""What an earlier backup knows of files, and which of them are as they were.

Whoever writes to a file changes its time, but through a memory map only with the first write to a page that the kernel
knows to be on the disk: pages stay open for half a minute. So a backup begins with syncfs(2). What has a time from
before is *settled*: whatever is written to it from then on changes its time. Everything else is read again by the next
backup. Writes through a map of a file in memory (tmpfs) never change a time: nothing there is settled.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable

from containerkit.backup.items import BLOCK, CHAR, DIRECTORY, FIFO, FILE, SOCKET, SYMLINK, Item
from containerkit.backup.manifest import Manifest
from containerkit.linux.files import is_in_memory, syncfs

#: The kernel's clock of files goes by ticks: nanoseconds that it may be behind.
_TICK = 20_000_000
_TYPES = {
    FILE: stat.S_IFREG, DIRECTORY: stat.S_IFDIR, SYMLINK: stat.S_IFLNK, CHAR: stat.S_IFCHR, BLOCK: stat.S_IFBLK,
    FIFO: stat.S_IFIFO, SOCKET: stat.S_IFSOCK,
}  # fmt: skip


def settle(root: str | os.PathLike[str]) -> int:
    """Have the kernel notice all later changes below a directory.

    Returns:
        Nanoseconds since the epoch: what has a change time from before is settled. 0 where nothing is.

    Raises:
        OSError: what others have written could not be brought to the disk.
    """
    if is_in_memory(root):
        return 0
    moment = time.time_ns() - _TICK
    syncfs(root)
    return moment


class Earlier:
    """What was seen of a tree earlier, by path.

    Args:
        settled_ns: what has a change time from before then cannot have changed since without another one.
    """

    def __init__(self, items: Iterable[Item] = (), settled_ns: int = 0) -> None:
        self._items = {item.path: item for item in items}
        self._settled = settled_ns

    @classmethod
    def of(cls, base: Manifest | None) -> Earlier:
        """What a backup has seen; of none, nothing."""
        return cls() if base is None else cls(base.items, base.settled_ns)

    def get(self, path: str) -> Item | None:
        """What it knows of a name."""
        return self._items.get(path)

    def unchanged(self, item: Item) -> Item | None:
        """What it knows of a name, when that is as it was."""
        found = self._items.get(item.path)
        if found is None or found is item:
            return found
        if not item.is_unchanged(found):
            return None
        if item.kind == FILE:
            return found if found.ctime_ns < self._settled else None
        # There is no content that could have been written to.
        is_same = all(getattr(item, name) == getattr(found, name) for name in ("link", "major", "minor", "xattrs"))
        return found if is_same else None

    def settled(self, path: str, seen: os.stat_result) -> Item | None:
        """What it knows of a name, when that is as it was, going by stat(2) alone: attributes need not be read."""
        found = self._items.get(path)
        if found is None or not seen.st_ctime_ns == found.ctime_ns < self._settled:
            return None
        if seen.st_nlink != 1 and found.kind != DIRECTORY:
            return None  # which of several names is the first may be another one now
        if found.device not in (0, seen.st_dev):
            return None
        # As Item.is_unchanged.
        is_same = (
            seen.st_ino == found.inode
            and seen.st_mode == _TYPES.get(found.kind, 0) | found.mode
            and (seen.st_size == found.size or found.kind != FILE)
            and seen.st_mtime_ns == found.mtime_ns
            and seen.st_uid == found.uid
            and seen.st_gid == found.gid
            and not found.torn
        )
        return found if is_same else None
