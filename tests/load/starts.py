"""One start after the other, as in a day: nothing of any of them stays."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from containerkit import Engine
from containerkit.store import events
from tests.load import machine
from tests.load.figures import Figure, quartile, slope, timed

#: As many events as are kept, and more: from the first sample on the table is as long as it gets.
_EVENTS = 11_000
#: What may grow by how much with a thousand starts; by nothing, all else. The database's pages are as many as were ever
#: needed at once, which chance brings up more and more slowly: 10,000 to 11,000 events, of more or fewer bytes.
_NOISE = {
    "memory of this process, MB": 0.3, "memory of the spawner, MB": 0.1, "disk below the root, KB": 20.0,
    "pages of the database": 1.0,
}  # fmt: skip


def measure(engine: Engine, count: int, seconds: float) -> Iterator[Figure]:
    """So many starts, of which every twentieth part is looked at; what grows from then on grows for ever."""
    deadline = time.monotonic() + seconds
    with engine.store.database.transaction() as connection:
        for _ in range(_EVENTS):
            events.add(connection, "load", "filled", "", "", {})
    samples: list[dict[str, float]] = []
    times: list[float] = []
    step = max(1, count // 20)
    for number in range(1, count + 1):
        times.append(timed(lambda: engine.call("load", "true")))
        if number % step == 0:
            samples.append({"starts": number, **_look(engine), "a start, ms": quartile(times[-step:])})
        if time.monotonic() > deadline:
            break
    yield Figure("starts", len(times))
    # The first ones fill caches, and the allocator's.
    later = samples[len(samples) // 4 :]
    for name in later[0]:
        if name != "starts":
            yield Figure(name, later[-1][name])
            growth = 1000 * slope([(one["starts"], one[name]) for one in later]) if len(later) > 1 else 0.0
            yield Figure("  … and with a thousand starts more", growth, "", _NOISE.get(name, 0.5))


def _look(engine: Engine) -> dict[str, float]:
    machine.settle(engine)
    me, spawner = os.getpid(), machine.spawner_pid()
    connection = engine.store.database.connection()
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    rows = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
    root, files = machine.usage(engine.paths.root)
    run, sockets = machine.usage(engine.paths.run)
    return {
        "memory of this process, MB": machine.pss(me),
        "memory of the spawner, MB": machine.pss(spawner),
        "descriptors of this process": machine.descriptors(me),
        "descriptors of the spawner": machine.descriptors(spawner),
        "disk below the root, KB": root,
        "files below the root": files,
        "disk below the run directory, KB": run,
        "files below the run directory": sockets,
        "pages of the database": connection.execute("PRAGMA page_count").fetchone()[0],
        # Of those the oldest thousand go at a time.
        "events, thousands": rows.pop("events") // 1000,
        "rows of all other tables": sum(rows.values()),
    }
