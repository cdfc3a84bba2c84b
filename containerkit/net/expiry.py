"""What ends when nothing was heard of it for a while: many things, one timer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from containerkit.linux.loop import Loop, Timer

T = TypeVar("T")


class Expiry(Generic[T]):
    """Things in the order in which they were last heard of.

    A timer for each would stay in the loop's heap, with all that it refers to, until its moment; these come and go by
    the thousand.

    Args:
        seconds: of silence after which ``act`` is called, once, with the thing; it is forgotten then.
    """

    def __init__(self, loop: Loop, seconds: float, act: Callable[[T], object]) -> None:
        self._loop, self._seconds, self._act = loop, seconds, act
        self._heard: dict[T, float] = {}
        self._timer: Timer | None = None

    def touch(self, thing: T) -> None:
        """It was heard of just now."""
        self._heard.pop(thing, None)
        self._heard[thing] = time.monotonic()
        if self._timer is None:
            self._timer = self._loop.after(self._seconds, self._look)

    def forget(self, thing: T) -> None:
        """It has ended by itself; one that is not known is no error."""
        self._heard.pop(thing, None)

    def oldest(self) -> T:
        """The one of which nothing was heard for the longest time; there must be one."""
        return next(iter(self._heard))

    def close(self) -> None:
        """Forget all."""
        self._heard.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        while self._heard:
            thing = self.oldest()
            left = self._heard[thing] + self._seconds - now
            if left > 0:
                self._timer = self._loop.after(left, self._look)
                return
            del self._heard[thing]
            self._act(thing)
