"""runc alone on a bundle: no image, no storage, no log."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from tests.bench.peers.host import run
from tests.bench.peers.peer import Peer
from tests.bench.side import Work


class Runc(Peer):
    """A runtime and nothing around it."""

    name = "runc"
    program, package = "runc", "runc"

    def __enter__(self) -> Runc:
        self._bundle = self.scratch / "bundle"
        (self._bundle / "rootfs").mkdir(parents=True)
        run("tar", "-xf", self.rootfs_tar, "-C", self._bundle / "rootfs")
        run("runc", "spec", cwd=self._bundle)
        config = json.loads((self._bundle / "config.json").read_text())
        config["process"].update(terminal=False, args=["true"])
        (self._bundle / "config.json").write_text(json.dumps(config))
        return self

    def works(self) -> Mapping[str, Work]:
        root = str(self.scratch / "runc")
        return {"P2": Work(lambda: run("runc", "--root", root, "run", f"bench-{os.getpid()}", cwd=self._bundle))}
