"""Which function measures which group of figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.bench import fresh, growth, memory, pulls, recording, throughput, volumes
from tests.bench.alternating import timed
from tests.bench.bench import Bench
from tests.bench.figures import FIGURES
from tests.bench.samples import Measurement

_WORKS: dict[str, list[Callable[[Bench], Iterator[Measurement]]]] = {
    "P1": [timed("P1")],
    "P2": [timed("P2")],
    "P3": [timed("P3")],
    "P4": [timed("P4")],
    "P5": [timed("P5"), recording.measure],
    "P6": [timed("P6")],
    "P7": [timed("P7")],
    "P8": [timed("P8")],
    "P9": [timed("P9")],
    "P10": [timed("P10")],
    "P11": [pulls.measure],
    "P12": [memory.measure],
    "P13": [fresh.measure],
    "P14": [volumes.measure],
    "P15": [growth.measure],
    "C1": [timed("C1")],
    "N1": [throughput.measure],
}

GROUPS = tuple(_WORKS)


def measured(bench: Bench, group: str) -> Iterator[Measurement]:
    """Each figure of the group, once, as it is measured.

    Raises:
        LookupError: one of them was not.
    """
    chosen = (figure for figure in FIGURES.values() if figure.group == group)
    left = {figure.id for figure in chosen if bench.is_full or not figure.is_large}
    for work in _WORKS[group]:
        for one in work(bench):
            left.remove(one.figure.id)
            yield one
    if left:
        raise LookupError(f"not measured: {', '.join(sorted(left))}")
