"""Where and when it is measured, in general words."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import datetime, timezone
from mmap import PAGESIZE, mmap
from pathlib import Path

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Run:
    """One run of the measurements.

    ``commit`` is of the product, and ends with ``+`` where that had changes; ``load`` is the mean of the last minute
    before it began: processes that ran or waited.
    """

    date: str
    commit: str
    cores: int
    kernel: str
    load: float

    @classmethod
    def now(cls) -> Run:
        """One that begins."""
        kernel = ".".join(os.uname().release.split(".")[:2])  # what comes after it may be somebody's name
        date = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%MZ")
        return cls(date, _commit(), len(os.sched_getaffinity(0)), f"Linux {kernel}", round(os.getloadavg()[0], 2))

    def __str__(self) -> str:
        return f"{self.date}, commit {self.commit}, {self.cores} cores, {self.kernel}, load {self.load:.1f}"


def populate(size: int) -> None:
    """Have the machine own so many bytes of memory, as far as half of what is free goes.

    A virtual machine gets each page from its host when it first writes to it, which takes as long as ten page faults of
    its own: whoever comes first to memory that nobody has used would pay for that.
    """
    with open("/proc/meminfo") as file:
        free = next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:"))
    with mmap(-1, min(size, free // 2)) as memory:
        for page in range(0, len(memory), PAGESIZE):
            memory[page] = 1


def _commit() -> str:
    """The last one that has changed what is measured."""
    name = _git("log", "-1", "--format=%h", "--abbrev=10", "--", "containerkit")
    return f"{name}+" if _git("status", "--porcelain", "--", "containerkit") else name


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", _ROOT, *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
