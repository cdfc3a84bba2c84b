"""A thread that does something again and again, at even distances."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Sampler:
    """Calls ``take`` every ``interval`` seconds until that says False, or :meth:`stop`.

    Moments are counted from the first one, so that they do not drift; those that have passed while ``take`` was busy
    are left out.
    """

    def __init__(self, name: str, interval: float, take: Callable[[], bool]) -> None:
        self._interval, self._take = interval, take
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether it was stopped."""
        return self._done.is_set()

    def stop(self) -> None:
        """No call begins from now on; one that goes on is waited for, unless this is it."""
        self._done.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        began, number = time.monotonic(), 0
        while True:
            number = max(number + 1, int((time.monotonic() - began) / self._interval))
            if self._done.wait(max(0.0, began + number * self._interval - time.monotonic())) or not self._take():
                return
