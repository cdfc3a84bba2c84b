"""The same works through the SDK."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from containerkit import Container, Engine, Image
from tests.bench import webimage
from tests.bench.peers import LOAD, pss

Work = Callable[[], object]

_FIRST = """
import time; began = time.perf_counter()
import containerkit as ck
imported = time.perf_counter()
engine = ck.Engine(root={root!r}, run={run!r})
engine.call("bench", "true", network="none")
print(imported - began, time.perf_counter() - began)
"""


class Ours:
    """An engine of its own below ``scratch``."""

    name = "containerkit"

    def __init__(self, rootfs_tar: Path, scratch: Path) -> None:
        self._scratch, self.mixed = scratch, scratch / "mixed"
        self.engine = Engine(root=scratch / "ours", run=scratch / "ours-run")
        Image.import_(rootfs_tar, tag="bench", engine=self.engine)
        self.engine.call("bench", "true")
        self.long = self.engine.run("bench", "sleep 3600", name="bench-long", network="none")
        self.listed: list[Container] = []

    def works(self) -> dict[str, Work]:
        return {
            "P1": lambda: self.engine.call("bench", "true"),
            "P2": lambda: self.engine.call("bench", "true", network="none"),
            "P3": lambda: self.engine.call("bench", "true", ports={80: 18080}),
            "P4": lambda: self.long.exec("true"),
            "P5": self.long.stats,
            "P6": self.engine.containers.rows,
            "P7": self.twenty,
            "P8": self.logged,
            "P9": lambda: self.build(no_cache=True),
            "P10": self.build,
            "C1": self.long.commit,
        }

    def build(self, *, no_cache: bool = False) -> None:
        place = webimage.context(self._scratch)
        Image.build(place, tag="bench-web", no_cache=no_cache, network="none", progress=None, engine=self.engine)

    def twenty(self) -> None:
        call = self.works()["P2"]
        threads = [threading.Thread(target=call) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def logged(self) -> None:
        # All of it is kept, as the peers do.
        container = self.engine.run("bench", ["sh", "-c", LOAD], log_options={"max_size": -1}, network="none")
        container.wait()
        container.remove()

    def before(self, figure: str) -> Work:
        """What is to be done before each work, uncounted."""
        return self.change if figure == "C1" else lambda: None

    def change(self) -> None:
        """Something to commit; never twice the same."""
        if not self.long.path("/mixed").exists():
            self.long.copy_in(self.mixed, "/mixed")
        self.long.path("/changed").write_text(str(time.monotonic()))
        os.sync()  # who writes to the disk in their work shall not write what others have left

    def fill(self, count: int) -> None:
        """So many containers to list."""
        for _ in range(count - len(self.listed)):
            self.listed.append(self.engine.create("bench", "true", network="none"))

    def grow(self, count: int, network: str) -> list[float]:
        """Milliseconds of each of so many starts in a row, on that network, while all go on running."""
        times, running = [], []
        for _ in range(count):
            began = time.perf_counter()
            running.append(self.engine.run("bench", "sleep 3600", network=network))
            times.append((time.perf_counter() - began) * 1000)
        for container in running:
            container.remove(force=True)
        return times

    def memory(self) -> float:
        """MB held per running container by its monitor, with twenty of them."""
        others = [self.engine.run("bench", "sleep 3600", network="none") for _ in range(20)]
        held = [pss(container._record().monitor or 0) for container in others]
        for container in others:
            container.remove(force=True)
        return sorted(held)[len(held) // 2]

    def first(self) -> tuple[float, float]:
        """Seconds to import, and from nothing to the end of a first container, in a fresh process."""
        script = _FIRST.format(root=str(self.engine.paths.root), run=str(self.engine.paths.run))
        out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
        imported, whole = out.split()
        return float(imported), float(whole)

    def close(self) -> None:
        for container in [self.long, *self.listed]:
            container.remove(force=True)
        self.engine.prune()  # the bridge
        self.engine.close()
