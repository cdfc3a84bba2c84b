"""When a call to a registry has to be over, and how it is called off."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Protocol, TypeVar

from containerkit.errors import RegistryError, Timeout

R = TypeVar("R")


class Wire(Protocol):
    """What a thread waits at."""

    def abort(self) -> None:
        """Wake it: nothing more will come."""


class Deadline:
    """When a call has to be over, and whether somebody has called it off; for all threads of it.

    Args:
        seconds: from now; None: it may take forever.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds
        self._off = threading.Event()
        self._lock = threading.Lock()
        self._waiting: set[Wire | None] = set()
        self._parts: weakref.WeakSet[Deadline] = weakref.WeakSet()

    def part(self) -> Deadline:
        """The same moment, for a part of the call that can be called off alone."""
        found = Deadline(self._seconds)
        found._end = self._end
        with self._lock:
            self._parts.add(found)
        if self._off.is_set():
            found.call_off()
        return found

    def call_off(self) -> None:
        """Let every thread stop at once, those too that wait at a wire."""
        self._off.set()
        with self._lock:
            for wire in self._waiting:
                if wire is not None:
                    wire.abort()
            parts = [*self._parts]
        for part in parts:
            part.call_off()

    @contextmanager
    def watching(self, wire: Wire | None) -> Iterator[None]:
        """A wait at ``wire``: a call-off ends it. None: there is none.

        Raises:
            as :meth:`check`, at the beginning.
        """
        with self._lock:
            self._waiting.add(wire)
        try:
            self.check()  # only now: from here on a call-off is noticed
            yield
        finally:
            with self._lock:
                self._waiting.discard(wire)

    def check(self) -> None:
        """
        Raises:
            Timeout: time is up.
            RegistryError: it was called off.
        """
        if self._off.is_set():
            raise RegistryError("called off")
        if self._end is not None and time.monotonic() >= self._end:
            raise Timeout(f"not done after {self._seconds:g} s")

    def left(self, most: float) -> float:
        """Seconds until then, at most ``most``."""
        return most if self._end is None else max(0.01, min(most, self._end - time.monotonic()))

    def sleep(self, seconds: float) -> None:
        """Wait; the end, or a call-off, comes in between."""
        self._off.wait(self.left(seconds))
        self.check()


def side_by_side(jobs: Sequence[Callable[[], R]], most: int, deadline: Deadline) -> list[R]:
    """Do these jobs, at most so many at once, each in a thread; their results, in their order.

    The first that fails, or an interrupt, calls the whole call off; what it raised is raised once all have stopped.
    """
    with ThreadPoolExecutor(most, "containerkit-registry") as pool:
        futures = [pool.submit(job) for job in jobs]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            deadline.call_off()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        return [future.result() for future in futures]
