"""What is measured: the table of figures, each with its goal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """At most so much: in the figure's unit, or times what somebody else took in the same run."""

    most: float
    of: str = ""

    def __str__(self) -> str:
        return f"≤ {self.most:.3g} × {self.of}" if self.of else f"≤ {self.most:g}"


@dataclass(frozen=True)
class Figure:
    """One thing that is measured; large ones on request.

    What is before the ``-`` of its id is its group: that is measured as a whole.
    """

    id: str
    title: str
    unit: str = "ms"
    goal: Goal | None = None
    more_is_better: bool = False
    is_large: bool = False

    @property
    def group(self) -> str:
        return self.id.partition("-")[0]


def _volume(id: str, size: str, *, is_large: bool = False) -> tuple[Figure, ...]:
    """P14 is against the recipe with tar; what has not changed, against its compressed backup."""
    third, fiftieth = Goal(1 / 3, "docker"), Goal(1 / 50, "docker")
    return (
        Figure(id, f"back up a volume of {size}, compressed", "s", third, is_large=is_large),
        Figure(f"{id}-restore", f"restore {size}", "s", third, is_large=is_large),
        Figure(f"{id}-plain", f"back up {size}, not compressed", "s", is_large=is_large),
        Figure(f"{id}-directory", f"back up {size} into a directory of backups", "s", is_large=is_large),
        Figure(f"{id}-again", f"once more {size}, with nothing changed", "s", fiftieth, is_large=is_large),
    )


#: What the last start is compared with, as growth.py names it.
FIRST = "the 1st"

_ALL = (
    Figure("P1", "run true to the end and remove, bridge network", goal=Goal(15)),
    Figure("P1-cold", "the same, when another one has just had its turn"),
    Figure("P2", "the same as P1 without a network", goal=Goal(12)),
    Figure("P2-cold", "the same, when another one has just had its turn"),
    Figure("P3", "the same as P1 with a published port", goal=Goal(17)),
    Figure("P3-cold", "the same, when another one has just had its turn"),
    Figure("P4", "exec true in a running container", goal=Goal(4)),
    Figure("P4-cold", "the same, when another one has just had its turn"),
    Figure("P5", "stats of a running container", goal=Goal(1)),
    Figure("P5-100", "record 100 containers, 10 times a second", "% CPU", Goal(10)),
    Figure("P6", "list 100 containers", goal=Goal(2)),
    Figure("P6-1000", "list 1,000 containers", goal=Goal(10)),
    Figure("P7", "20 runs at once, ended and removed", goal=Goal(400)),
    Figure("P8", "200 MB of output through the log", goal=Goal(500)),
    Figure("P9", "build the course's web image, no cache", goal=Goal(100)),
    Figure("P10", "the same, all from the cache", goal=Goal(5)),
    Figure("P11", "pull 206 MB in one layer from a local registry", "s", Goal(0.5, "docker")),
    Figure("P11-10", "the same in ten layers", "s", Goal(0.5, "docker")),
    Figure("P12", "memory held per running container (PSS)", "MB", Goal(3)),
    Figure("P13", "import containerkit in a fresh process", goal=Goal(100)),
    Figure("P13-first", "the same, and a first container", goal=Goal(150)),
    *_volume("P14", "200 MB"),
    *_volume("P14-1GB", "1 GB", is_large=True),
    Figure("P15", "the 500th start, all go on running, no network", goal=Goal(1.2, FIRST)),
    Figure("P15-bridge", "the same on a bridge network", goal=Goal(1.2, FIRST)),
    Figure("P15-50", "the 50th start beside the peers, no network", goal=Goal(1.2, FIRST)),
    Figure("C1", "commit 100 MB"),
    Figure("N1", "bytes between two containers on a bridge", "Gbit/s", more_is_better=True),
    Figure("N1-host", "bytes from the host to a container's address", "Gbit/s", more_is_better=True),
    Figure("N1-port", "bytes from the host to a published port", "Gbit/s", more_is_better=True),
)

#: id → figure, in the order in which they are measured and shown.
FIGURES = {figure.id: figure for figure in _ALL}
