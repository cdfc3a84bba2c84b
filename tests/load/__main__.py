"""Print the figures: ``python -m tests.load [NAME[=COUNT]…]``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from containerkit import Engine, Image
from tests.busybox import build_tar
from tests.engines import emptied
from tests.load import among, created, running, starts
from tests.load.figures import Figure

Measure = Callable[[Engine, int, float], Iterator[Figure]]
#: Name → what measures it, how many there are when nothing else is said, and the most seconds that they are made for.
SCENARIOS: dict[str, tuple[Measure, int, float]] = {
    "running": (running.measure, 500, 300),
    "created": (created.measure, 2000, 300),
    "starts": (starts.measure, 2000, 1800),
    "layers": (among.layers, 120, 300),
    **{kind: (partial(among.measure, kind), 200 if kind == "networks" else 1000, 300) for kind in among.KINDS},
}


def main() -> int:
    """Measure and print; how many goals were missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wanted", nargs="*", metavar="NAME[=COUNT]", help=f"of {', '.join(SCENARIOS)}; default: all")
    missed = 0
    for text in parser.parse_args().wanted or SCENARIOS:
        name, _, said = text.partition("=")
        if name not in SCENARIOS:
            parser.error(f"{name}: unknown; known are {', '.join(SCENARIOS)}")
        measure, count, seconds = SCENARIOS[name]
        print(f"\n{name}", flush=True)
        with tempfile.TemporaryDirectory(prefix="containerkit-load-") as place:
            scratch = Path(place)
            with emptied(scratch / "root", scratch / "run", configuration={}) as engine:
                Image.import_(build_tar(scratch / "busybox.tar"), tag="load", engine=engine)
                engine.call("load", "true")
                for figure in measure(engine, int(said or count), seconds):
                    print(figure, flush=True)
                    missed += not figure.is_reached
    return missed


if __name__ == "__main__":
    sys.exit(min(main(), 1))
