"""Many containers at once, that all write to their logs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence

from containerkit import Container, Engine
from containerkit.measuring.recordings import Recordings
from tests.load import machine
from tests.load.figures import Figure, compared, timed
from tests.processes import children, parent

#: A line a second, without a process for it: what waits is a part of the shell.
_PROGRAM = ["sh", "-c", "mkfifo /pulse; exec 3<>/pulse; while :; do echo a line of the log; read -t 1 word <&3; done"]
#: MB that each may need, and that others are left.
_EACH, _OTHERS = 4.0, 2000.0
#: Seconds of each measurement.
_SPAN = 15.0
#: Seconds that a slow machine may be late.
_LATE = 30.0


def measure(engine: Engine, count: int, seconds: float, *, span: float = _SPAN) -> Iterator[Figure]:
    """So many are started, looked at, measured every second, and removed; as many as memory has room for."""
    deadline = time.monotonic() + seconds
    count = min(count, int((machine.available() - _OTHERS) / _EACH))
    running: list[Container] = []
    try:
        times, used = [], []
        while len(running) < count and time.monotonic() < deadline:
            before = time.process_time()
            times.append(timed(lambda: running.append(engine.run("load", _PROGRAM))))
            # Who starts it is a child of its monitor, as its init is.
            relief = parent(init := running[-1].pid or 0)
            used.append(1000 * (time.process_time() - before + machine.cpu({relief, *children(relief)} - {init})))
        yield from compared("start, while all go on running", times, 20)
        yield from compared("its processor time, here and in who starts it", used, 20)
        yield from _held(running)
        yield from _followed(engine, running, span)
        yield from _measured(engine, running[:100], 0.1, min(span, 10.0), goal=10.0)
    finally:
        times = [timed(lambda one=one: one.remove(force=True)) for one in running]  # type: ignore[misc]  # a default
    yield from compared("end and remove", times[::-1], 20)


def _held(running: Sequence[Container]) -> Iterator[Figure]:
    monitors = machine.monitors(running)
    memory = sum(map(machine.pss, monitors))
    yield Figure("running", len(running))
    yield Figure("memory of all monitors", memory, "MB")
    yield Figure("memory of each", memory / len(running), "MB", 3.0)
    yield Figure("memory of this process", machine.pss(os.getpid()), "MB")
    yield Figure("memory of the spawner", machine.pss(machine.spawner_pid()), "MB")
    yield Figure("descriptors of this process", machine.descriptors(os.getpid()))
    yield Figure("descriptors of the spawner", machine.descriptors(machine.spawner_pid()))
    yield Figure("descriptors of a monitor, the most", max(map(machine.descriptors, monitors)))


def _followed(engine: Engine, running: Sequence[Container], span: float) -> Iterator[Figure]:
    """Stats of all each second, while somebody follows what happens, and something does."""
    changed = running[:10]
    heard: list[str] = []
    until = time.time() + span + _LATE

    def follow() -> None:
        for event in engine.events(follow=True, until=until):
            if event.action in ("pause", "unpause"):
                heard.append(event.action)
            if len(heard) == 2 * len(changed):
                return

    follower = threading.Thread(target=follow)
    follower.start()
    monitors = machine.monitors(running)
    before = machine.cpu(monitors)
    yield from _measured(engine, running, 1.0, span)
    yield Figure("processor time of all monitors meanwhile", 100 * (machine.cpu(monitors) - before) / span, "% core")
    for container in changed:
        container.pause()
        container.unpause()
    follower.join()
    yield Figure("events that were not heard of", 2 * len(changed) - len(heard), "", 0)
    silent = sum(container.logs(tail=1) != "a line of the log\n" for container in running)
    yield Figure("logs with nothing in them", silent, "", 0)


def _measured(
    engine: Engine, chosen: Sequence[Container], interval: float, span: float, goal: float | None = None
) -> Iterator[Figure]:
    with engine.record(*chosen, interval=interval) as recordings:
        used, began = time.process_time(), time.monotonic()
        opened = machine.descriptors(os.getpid())
        time.sleep(span)
        share = 100 * (time.process_time() - used) / (time.monotonic() - began)
    what = f"stats of {len(chosen)} every {interval:g} s"
    yield Figure(f"{what}: processor time", share, "% core", goal)
    yield Figure(f"{what}: descriptors", opened)
    yield Figure(f"{what}: mean interval", _interval(recordings), "s", 1.25 * interval)


def _interval(recordings: Recordings) -> float:
    times = [[row["time"] for row in recording.rows()] for recording in recordings]
    spans = [((one[-1] - one[0]).total_seconds(), len(one) - 1) for one in times if len(one) > 1]
    return float(sum(whole for whole, _ in spans) / max(1, sum(count for _, count in spans)))
