"""Works in turns: what the machine does meanwhile hits all sides alike.

What takes milliseconds is done six times in each turn, and all but the first count. The first pays for what the others
have left: their processes are still being taken away, and of memory that has not been touched for a third of a second a
virtual machine's first touch costs microseconds a page. It is a figure of its own (``P1-cold``).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from tests.bench.bench import Bench
from tests.bench.figures import FIGURES
from tests.bench.samples import Measurement
from tests.bench.side import Work

T = TypeVar("T")
#: How often a short one is done in a turn.
_TIMES = 6
#: How often the longer ones are measured at most, once in each turn.
_MOST = {"P7": 3, "P8": 3, "C1": 5}


def timed(group: str) -> Callable[[Bench], Iterator[Measurement]]:
    """What measures the figures of a group that are times of one work, each side's in turns."""

    def measure(bench: Bench) -> Iterator[Measurement]:
        for id, figure in FIGURES.items():
            if figure.group == group and id in bench.ours.works():
                works = {side.name: work for side in bench.sides if (work := side.works().get(id)) is not None}
                if id in _MOST:
                    yield _in_ms(bench, id, in_turns(bench, works, min(bench.runs, _MOST[id]), once))
                    continue
                turns = in_turns(bench, works, bench.runs, _several)
                found = _in_ms(
                    bench, id, {name: [one for turn in some for one in turn[1:]] for name, some in turns.items()}
                )
                yield found
                if (cold := f"{id}-cold") in FIGURES:
                    firsts = _in_ms(bench, cold, {name: [turn[0] for turn in some] for name, some in turns.items()})
                    yield replace(firsts, missing=found.missing)

    return measure


def _in_ms(bench: Bench, id: str, times: Mapping[str, list[float]]) -> Measurement:
    return bench.measurement(id, {name: [1000 * one for one in some] for name, some in times.items()})


def in_turns(bench: Bench, works: Mapping[str, Work], runs: int, measure: Callable[[Work], T]) -> dict[str, list[T]]:
    """What ``measure`` says of each, per name. A peer that cannot do it is left out from then on, and ``bench`` is told
    so.
    """
    times: dict[str, list[T]] = {name: [] for name in works}
    with contextlib.ExitStack() as stack:
        for name, work in works.items():
            with bench.may_miss(name, times):
                stack.enter_context(work.around())
                once(work)  # not counted: caches
        for _ in range(runs):
            for name in list(times):
                with bench.may_miss(name, times):
                    times[name].append(measure(works[name]))
    return times


def once(work: Work) -> float:
    """Seconds."""
    work.before()
    began = time.perf_counter()
    work.do()
    return time.perf_counter() - began


def _several(work: Work) -> list[float]:
    """Seconds of each time in a turn."""
    return [once(work) for _ in range(_TIMES)]
