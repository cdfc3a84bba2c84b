"""P13: what a fresh process takes to import us, and to have had a first container."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from tests.bench.bench import Bench
from tests.bench.ours import Ours
from tests.bench.samples import Measurement

_PROGRAM = """
import time; began = time.perf_counter()
import containerkit as ck
imported = time.perf_counter()
engine = ck.Engine(root={root!r}, run={run!r})
engine.call("bench", "true", network="none")
print(imported - began, time.perf_counter() - began)
"""


def measure(bench: Bench) -> Iterator[Measurement]:
    """Both, from the same processes."""
    both = [_first(bench.ours) for _ in range(bench.runs + 1)][1:]  # the first one reads the modules from the disk
    for figure, values in zip(("P13", "P13-first"), zip(*both, strict=True), strict=True):
        yield bench.measurement(figure, {bench.ours.name: values})


def _first(ours: Ours) -> tuple[float, float]:
    """Milliseconds to import, and from nothing to the end of a first container."""
    script = _PROGRAM.format(root=str(ours.engine.paths.root), run=str(ours.engine.paths.run))
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    imported, whole = out.split()
    return float(imported) * 1000, float(whole) * 1000
