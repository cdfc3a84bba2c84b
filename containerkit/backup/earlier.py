"""What an earlier backup knows of files, and which of them are as they were.

Whoever writes to a file changes its time, but through a memory map only with the first write to a page that the kernel
knows to be on the disk: pages stay open for half a minute. So a backup begins with syncfs(2). What has a time from
before is *settled*: whatever is written to it from then on changes its time. Everything else is read again by the next
backup. Writes through a map of a file in memory (tmpfs) never change a time: nothing there is settled.
"""

from __future__ import annotations

import os
import time

from containerkit.backup.items import FILE, Item
from containerkit.backup.manifest import Manifest
from containerkit.linux.files import is_in_memory, syncfs

#: The kernel's clock of files goes by ticks: nanoseconds that it may be behind.
_TICK = 20_000_000


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
    """The files of an earlier backup, by path; of none, without one."""

    def __init__(self, base: Manifest | None) -> None:
        self._items = {item.path: item for item in base.items if item.kind == FILE} if base is not None else {}
        self._settled = base.settled_ns if base is not None else 0

    def get(self, path: str) -> Item | None:
        """What it knows of a file."""
        return self._items.get(path)

    def unchanged(self, item: Item) -> Item | None:
        """What it knows of a file, when that is as it was."""
        found = self._items.get(item.path)
        if found is None or not item.is_unchanged(found) or found.ctime_ns >= self._settled:
            return None
        return found
