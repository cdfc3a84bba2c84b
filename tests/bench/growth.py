"""P15: what a start costs as containers grow that all go on running."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench import machine
from tests.bench.bench import Bench
from tests.bench.figures import FIRST
from tests.bench.samples import Measurement
from tests.bench.side import Keeping

#: Starts at the beginning, and at the end, that are looked at.
_LOOK = 20
#: Bytes that 500 containers hold, and more.
_HELD = 5 << 30


def measure(bench: Bench) -> Iterator[Measurement]:
    """Ours alone, up to 500 on each kind of network; up to 50 beside the peers, which take long."""
    ours = bench.ours
    for id, network in (("P15", "none"), ("P15-bridge", "bridge")):
        machine.populate(_HELD)
        times = _grown(ours, 500, network)
        yield bench.measurement(id, {ours.name: times[-_LOOK:], FIRST: times[:_LOOK]})
    values: dict[str, list[float]] = {side.name: [] for side in bench.keeping}
    for side in bench.keeping:
        with bench.may_miss(side.name, values):
            times = _grown(side, 50, "none")
            values[side.name] = times[-_LOOK:]
            name = FIRST if side is ours else f"{side.name}: {FIRST}"
            values[name] = times[:_LOOK]
    yield bench.measurement("P15-50", values)


def _grown(side: Keeping, count: int, network: str) -> list[float]:
    """Milliseconds of each start."""
    with side.running(count, network) as (_, seconds):
        return [1000 * one for one in seconds]
