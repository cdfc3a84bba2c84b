"""P5-100: what it costs to look at many containers all the time."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.bench.bench import Bench
from tests.bench.samples import Measurement

_COUNT, _SECONDS, _INTERVAL = 100, 2.0, 0.1


def measure(bench: Bench) -> Iterator[Measurement]:
    """CPU time of this process while it records and does nothing else."""
    ours = bench.ours
    values = []
    with ours.running(_COUNT, "none") as (ids, _), ours.engine.record(*ids, interval=_INTERVAL):
        for _ in range(5):
            used, began = time.process_time(), time.perf_counter()
            time.sleep(_SECONDS)
            values.append(100 * (time.process_time() - used) / (time.perf_counter() - began))
    yield bench.measurement("P5-100", {ours.name: values})
