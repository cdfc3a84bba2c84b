"""Something that is done every now and then, as long as a widget is there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from containerkit.measuring.sampler import Sampler


class Timer(Sampler):
    """Calls ``work`` every so many seconds, in a thread of its own, until it is stopped or the kernel ends.

    Args:
        seconds: between two calls; one that takes longer is followed by the next at once.
        work: called with this timer: what takes long looks at :attr:`is_over`, and ends when it is.
        name: the thread's.
    """

    def __init__(self, seconds: float, work: Callable[[Timer], object], name: str) -> None:
        self._seconds, self._work = seconds, work
        self._set()
        super().__init__(name, seconds, self._call)

    def _set(self) -> None:
        #: When the next call is (UTC), to be shown: the clock may be set meanwhile.
        self.next_run = datetime.now(timezone.utc) + timedelta(seconds=self._seconds)

    def _call(self) -> bool:
        self._set()
        self._work(self)
        return True
