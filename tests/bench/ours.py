"""The same works through the SDK."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from containerkit import Engine, Image
from tests.bench import files, webimage
from tests.bench.logload import LOAD
from tests.bench.side import Keeping, Work


class Ours(Keeping):
    """An engine of its own below ``scratch``, with the image ``bench`` and a container of it that goes on."""

    name = "containerkit"

    def __init__(self, rootfs_tar: Path, scratch: Path) -> None:
        self._scratch = scratch
        self.engine = Engine(root=scratch / "ours", run=scratch / "ours-run")
        Image.import_(rootfs_tar, tag="bench", engine=self.engine)
        self.engine.call("bench", "true")
        self.long = self.engine.run("bench", "sleep 3600", name="bench-long", network="none")

    def works(self) -> Mapping[str, Work]:
        listed = self.engine.containers.rows
        return {
            "P1": Work(lambda: self.engine.call("bench", "true")),
            "P2": Work(self._call),
            "P3": Work(lambda: self.engine.call("bench", "true", ports={80: 18080})),
            "P4": Work(lambda: self.long.exec("true")),
            "P5": Work(self.long.stats),
            "P6": Work(listed, around=lambda: self._filled(100)),
            "P6-1000": Work(listed, around=lambda: self._filled(1000)),
            "P7": Work(self._twenty),
            "P8": Work(self._log),
            "P9": Work(lambda: self._build(no_cache=True)),
            "P10": Work(self._build),
            "C1": Work(self.long.commit, before=self._change),
        }

    def start(self, network: str) -> str:
        return self.engine.run("bench", "sleep 3600", network=network).id

    def remove(self, ids: list[str]) -> None:
        for id in ids:
            self.engine.containers[id].remove(force=True)

    def keeper(self, id: str) -> int:
        """The monitor."""
        return self.engine.containers[id]._record().monitor or 0

    def close(self) -> None:
        """End what goes on, and take the bridge down."""
        self.long.remove(force=True)
        self.engine.prune()
        self.engine.close()

    def _call(self) -> None:
        self.engine.call("bench", "true", network="none")

    @contextlib.contextmanager
    def _filled(self, count: int) -> Iterator[None]:
        """So many containers to list, with the one that goes on."""
        made = [self.engine.create("bench", "true", network="none") for _ in range(count - 1)]
        yield
        for container in made:
            container.remove()

    def _twenty(self) -> None:
        threads = [threading.Thread(target=self._call) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _log(self) -> None:
        # All of it is kept, as the peers do.
        container = self.engine.run("bench", ["sh", "-c", LOAD], log_options={"max_size": -1}, network="none")
        container.wait()
        container.remove()

    def _build(self, *, no_cache: bool = False) -> None:
        place = webimage.context(self._scratch)
        Image.build(place, tag="bench-web", no_cache=no_cache, network="none", progress=None, engine=self.engine)

    def _change(self) -> None:
        """Something to commit; never twice the same."""
        if not self.long.path("/mixed").exists():
            self.long.copy_in(files.to_commit(self._scratch), "/mixed")
        self.long.path("/changed").write_text(str(time.monotonic()))
        os.sync()  # who writes to the disk in their work shall not write what others have left
