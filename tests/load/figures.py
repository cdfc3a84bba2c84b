"""Figures, and how they are come by."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

#: Nothing takes longer than so many times what it took with few others there.
RATIO = 1.2


class Figure(NamedTuple):
    """One number; ``goal`` is the most that it may be."""

    what: str
    value: float
    unit: str = ""
    goal: float | None = None

    @property
    def is_reached(self) -> bool:
        """Whether the goal is, where there is one."""
        return self.goal is None or self.value <= self.goal

    def __str__(self) -> str:
        goal = "" if self.goal is None else f"  at most {self.goal:g}{'' if self.is_reached else ': MISSED'}"
        return f"  {self.what:62} {self.value:10.2f} {self.unit:8}{goal}".rstrip()


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that it takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def shortest(work: Callable[[], object], times: int) -> float:
    """Milliseconds that it takes at its best: what others do on the machine is no part of it.

    Once before that for what is only loaded then.
    """
    work()
    return min(timed(work) for _ in range(times))


def quartile(times: Sequence[float]) -> float:
    """What three of four took at least: nearer than the median to what it takes on a machine of its own."""
    return sorted(times)[len(times) // 4]


def compared(what: str, times: Sequence[float], part: int) -> Iterator[Figure]:
    """The first ``part`` of so many milliseconds, and the last, by their lower quartiles."""
    part = max(1, min(part, len(times) // 2))
    first, last = quartile(times[:part]), quartile(times[-part:])
    yield Figure(f"{what}: the first {part} of {len(times)}", first, "ms")
    yield Figure(f"{what}: the last {part}, over the first", last / first, "", RATIO)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """By how much the second number grows with the first: the line of least squares."""
    return statistics.linear_regression(*zip(*points, strict=True)).slope
