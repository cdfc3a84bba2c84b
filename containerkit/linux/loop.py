"""Waiting for descriptors and moments: poll(2) with a function for each, in one thread."""

from __future__ import annotations

import heapq
import itertools
import select
import time
from collections.abc import Callable

READABLE, WRITABLE = select.POLLIN, select.POLLOUT
#: What poll(2) reports unasked: the other end is gone.
GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL


class Timer:
    """Something to do at a moment; ``cancel()`` it."""

    def __init__(self, moment: float, act: Callable[[], None]) -> None:
        self.moment, self.act = moment, act
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Loop:
    """Descriptors with what to do when they are ready, and timers."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._acts: dict[int, Callable[[int], object]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()

    def add(self, descriptor: int, act: Callable[[int], object], events: int = READABLE) -> None:
        """Call ``act`` with what is ready, whenever something of ``events`` is, or the other end is gone."""
        self._acts[descriptor] = act
        self._poll.register(descriptor, events)

    def change(self, descriptor: int, events: int) -> None:
        """Wait for other events on a descriptor that has been added."""
        self._poll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        """Forget a descriptor; one that was never added is no error. To be called before it is closed."""
        if self._acts.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def after(self, seconds: float, act: Callable[[], None]) -> Timer:
        """Call ``act`` once, so many seconds from now."""
        timer = Timer(time.monotonic() + seconds, act)
        heapq.heappush(self._timers, (timer.moment, next(self._count), timer))
        return timer

    def turn(self) -> None:
        """Wait for something, and do what is to be done then."""
        ready = self._poll.poll(self._patience())
        for descriptor, events, act in [(*one, self._acts[one[0]]) for one in ready]:
            # One that an earlier one of this turn has removed is not asked any more, nor is a new one of its number.
            if self._acts.get(descriptor) is act:
                act(events)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if not timer.is_cancelled:
                timer.act()

    def _patience(self) -> float | None:
        """Milliseconds until the next timer."""
        while self._timers and self._timers[0][2].is_cancelled:
            heapq.heappop(self._timers)
        # A little more: poll counts in whole milliseconds, and a timer is not to be missed by a fraction.
        return None if not self._timers else max(0.0, (self._timers[0][0] - time.monotonic()) * 1000 + 0.5)
