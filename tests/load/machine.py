"""What processes hold, and what directories do."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from containerkit import Container, Engine
from containerkit.supervise.client import spawner
from tests.bench.memory import pss

__all__ = ["available", "cpu", "descriptors", "monitors", "opened", "pss", "settle", "spawner_pid", "usage"]


def available() -> float:
    """MB of memory that are not in use."""
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) / 1000 for line in file if line.startswith("MemAvailable:"))


def cpu(pids: Iterable[int]) -> float:
    """Seconds of processor that they, of one thread each, have used in all; nothing, of those that have ended."""
    used = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            used += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    return used / 1e9


def descriptors(pid: int) -> int:
    """How many it has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def monitors(containers: Iterable[Container]) -> list[int]:
    """The pids of those that look after them."""
    return [container._record().monitor or 0 for container in containers]


def spawner_pid() -> int:
    """Of this process's spawner."""
    return spawner.pid


def usage(directory: Path) -> tuple[float, int]:
    """KB on the disk, and how many files, directories and the like."""
    blocks = count = 0
    for place, directories, files in os.walk(directory):
        for name in (*directories, *files):
            try:
                blocks += os.lstat(os.path.join(place, name)).st_blocks
            except FileNotFoundError:
                continue
            count += 1
    return blocks * 512 / 1000, count


def settle(engine: Engine) -> None:
    """Wait until what was removed is gone: a monitor tells the end of its container before that."""
    deadline = time.monotonic() + 10
    while any(os.scandir(engine.paths.removed)) and time.monotonic() < deadline:
        time.sleep(0.005)


def opened(engine: Engine) -> None:
    """As by another process that has imported everything: an engine with the same root, and its store."""
    other = Engine(engine.paths.root, engine.paths.run)
    _ = other.store
    other.close()
