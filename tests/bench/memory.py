"""P12: memory that is held for each running container, outside of it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.bench.bench import Bench
from tests.bench.peers.docker import Docker
from tests.bench.samples import Measurement
from tests.bench.side import Keeping

#: Containers that run at the same time; what their keepers share counts for each in part.
_COUNT = 20
#: Seconds in which what a start has needed is given back.
_SETTLING = 2.0


def measure(bench: Bench) -> Iterator[Measurement]:
    """Of monitor, shim and conmon; and of docker's daemons, which are there for all containers together."""
    values: dict[str, list[float]] = {side.name: [] for side in bench.keeping}
    for side in bench.keeping:
        with bench.may_miss(side.name, values):
            values[side.name] = _held(side)
            if isinstance(side, Docker):
                values["docker's daemons"] = [sum(map(pss, side.daemons()))]
    yield bench.measurement("P12", values)


def _held(side: Keeping) -> list[float]:
    with side.running(_COUNT, "none") as (ids, _):
        time.sleep(_SETTLING)
        return [pss(side.keeper(id)) for id in ids]


def pss(pid: int) -> float:
    """A process's proportional share of memory, in MB (proc_pid_smaps(5))."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024 / 1e6
