"""Which processes are below one, and above: a spawner's reliefs, spares, monitors, understudies, inits, programs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from containerkit import Container, Engine
from tests.waiting import eventually

__all__ = ["children", "descendants", "held", "is_handed_over", "kill_monitor", "own_memory", "parent", "spare_of"]


def children(pid: int | str) -> list[int]:
    """Those that any of its threads has forked; none when it has ended. ``pid`` may be ``"self"``."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        pass  # it, or a thread, has just ended
    return found


def descendants(pid: int) -> list[int]:
    """Its children, theirs, and so on."""
    found = children(pid)
    for child in found:  # which grows
        found += children(child)
    return found


def parent(pid: int) -> int:
    """The process that it is a child of."""
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def is_handed_over(container: Container) -> bool:
    """Whether its init is a child of the monitor that its row tells of, and that has no other child."""
    record = container._record()
    return children(record.monitor or 0) == [record.pid]


def kill_monitor(engine: Engine, container: Container) -> None:
    """Kill it, and wait until nobody looks after the container: who has started it may do so, for a moment more."""
    monitor = container._record().monitor
    assert monitor is not None
    os.kill(monitor, signal.SIGKILL)
    assert eventually(lambda: not engine.store.leases.is_held(container.id))


def spare_of(container: Container) -> int:
    """Who has started it, and has not handed it over yet: the relief's first child."""
    return children(container._record().monitor or 0)[0]


def own_memory(pid: int) -> int:
    """The memory that it shares with nobody and has written to, in KiB."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Private_Dirty:"))


@contextmanager
def held(start: Callable[[], Container]) -> Iterator[Container]:
    """A container that is not handed over, for somebody is attached to it, who came before; it is the caller's."""
    for _ in range(30):
        container = start()
        with container.attach():
            if not is_handed_over(container):
                yield container
                return
        container.remove(force=True)
    raise AssertionError("who attaches comes too late each time")
