"""What an earlier backup knows of files, and which of them are as they were."""

from __future__ import annotations

from containerkit.backup.items import FILE, Item
from containerkit.backup.manifest import Manifest

#: The kernel's clock of files goes by ticks: seconds that it may be behind.
TICK = 0.02


class Earlier:
    """The files of an earlier backup, by path; of none, without one."""

    def __init__(self, base: Manifest | None) -> None:
        self._items = {item.path: item for item in base.items if item.kind == FILE} if base is not None else {}
        self._settled = int((base.created - TICK) * 1e9) if base is not None else 0

    def get(self, path: str) -> Item | None:
        """What it knows of a file."""
        return self._items.get(path)

    def unchanged(self, item: Item) -> Item | None:
        """What it knows of a file, when that is as it was."""
        found = self._items.get(item.path)
        # What was changed within one tick of the clock, before and after it was read, has one and the same time.
        if found is None or not item.is_unchanged(found) or found.ctime_ns >= self._settled:
            return None
        return found
