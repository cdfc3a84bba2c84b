"""Things that wait for something, each for the same time: one timer for all, and a bound."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from containerkit.linux.loop import Loop, Timer

Item = TypeVar("Item")


class Waiting(Generic[Item]):
    """What waits, in the order in which its time will be up.

    A timer for each would stay in the loop until its moment, long after what it was for.

    Args:
        seconds: how long each may wait.
        most: how many may.
        too_late: called with one whose time is up; it does not wait any more.
    """

    def __init__(self, loop: Loop, seconds: float, most: int, too_late: Callable[[Item], None]) -> None:
        self._loop, self._seconds, self._most, self._too_late = loop, seconds, most, too_late
        self._items: dict[int, tuple[float, Item]] = {}
        self._timer: Timer | None = None

    def put(self, key: int, item: Item) -> Item | None:
        """Let it wait from now, also when it did before. Returned is the one that must go when there are too many."""
        self._items.pop(key, None)
        self._items[key] = (time.monotonic() + self._seconds, item)
        self._set_timer()
        return self.take(next(iter(self._items))) if len(self._items) > self._most else None

    def get(self, key: int) -> Item | None:
        """The one of that key, which waits on."""
        return self._items[key][1] if key in self._items else None

    def take(self, key: int) -> Item | None:
        """The one of that key, which waits no more."""
        return self._items.pop(key)[1] if key in self._items else None

    def __contains__(self, key: int) -> bool:
        return key in self._items

    def __iter__(self) -> Iterator[Item]:
        return iter([item for _, item in self._items.values()])

    def __len__(self) -> int:
        return len(self._items)

    def clear(self) -> None:
        """Nothing waits any more."""
        self._items.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        if self._timer is None and self._items:
            moment, _ = next(iter(self._items.values()))
            self._timer = self._loop.after(moment - time.monotonic(), self._look)

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        for key in [key for key, (moment, _) in self._items.items() if moment <= now]:
            # What is done for one may end another.
            if key in self._items:
                self._too_late(self._items.pop(key)[1])
        self._set_timer()
