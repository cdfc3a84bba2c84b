"""Works in turns: what the machine does meanwhile hits all sides alike."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping

from tests.bench.bench import Bench
from tests.bench.figures import FIGURES
from tests.bench.samples import Measurement
from tests.bench.side import Work

#: How often the longer ones are measured at most.
_MOST = {"P7": 3, "P8": 3, "C1": 5}


def timed(group: str) -> Callable[[Bench], Iterator[Measurement]]:
    """What measures the figures of a group that are times of one work, each side's in turns."""

    def measure(bench: Bench) -> Iterator[Measurement]:
        for id, figure in FIGURES.items():
            if figure.group == group and id in bench.ours.works():
                works = {side.name: work for side in bench.sides if (work := side.works().get(id)) is not None}
                times = in_turns(bench, works, min(bench.runs, _MOST.get(id, bench.runs)))
                yield bench.measurement(id, {name: [1000 * one for one in some] for name, some in times.items()})

    return measure


def in_turns(bench: Bench, works: Mapping[str, Work], runs: int) -> dict[str, list[float]]:
    """Seconds, per name. A peer that cannot do it is left out from then on, and ``bench`` is told so."""
    times: dict[str, list[float]] = {name: [] for name in works}
    with contextlib.ExitStack() as stack:
        for name, work in works.items():
            with bench.may_miss(name, times):
                stack.enter_context(work.around())
                once(work)  # not counted: caches
        for _ in range(runs):
            for name in list(times):
                with bench.may_miss(name, times):
                    times[name].append(once(works[name]))
    return times


def once(work: Work) -> float:
    """Seconds."""
    work.before()
    began = time.perf_counter()
    work.do()
    return time.perf_counter() - began
