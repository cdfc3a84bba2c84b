"""Many containers in the list."""

from __future__ import annotations

import time
from collections.abc import Iterator

from containerkit import Container, Engine
from tests.load import machine
from tests.load.figures import Figure, compared, shortest, timed

#: How many there are → milliseconds that their list may take (P6).
_LISTS = {100: 2.0, 1000: 10.0}


def measure(engine: Engine, count: int, seconds: float) -> Iterator[Figure]:
    """So many are created, listed, looked at and removed."""
    deadline = time.monotonic() + seconds / 2
    made: list[Container] = []
    times = []
    while len(made) < count and time.monotonic() < deadline:
        times.append(timed(lambda: made.append(engine.create("load", "true", network="none"))))
        if len(made) in _LISTS:
            yield _list(engine, len(made))
    yield from compared("create", times, 100)
    yield _list(engine, len(made))
    yield Figure(f"those that run, none of {len(made)}", shortest(lambda: Container.list(engine=engine), 7), "ms")
    yield Figure(f"one of {len(made)}, inspected", shortest(made[len(made) // 2].inspect, 7), "ms")
    yield Figure("an engine opened", shortest(lambda: machine.opened(engine), 7), "ms")
    deadline = time.monotonic() + seconds / 2
    times = []
    while made and time.monotonic() < deadline:
        times.append(timed(made.pop(0).remove))
    yield from compared("remove", times, 100)
    yield Figure("left in the list", len(engine.containers), "", 0 if not made else None)


def _list(engine: Engine, count: int) -> Figure:
    return Figure(f"list of {count}", shortest(engine.containers.rows, 7), "ms", _LISTS.get(count))
