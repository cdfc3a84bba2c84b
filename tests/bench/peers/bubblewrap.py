"""bubblewrap: namespaces and nothing else, the floor."""

from __future__ import annotations

from collections.abc import Mapping

from tests.bench.peers.host import run
from tests.bench.peers.peer import Peer
from tests.bench.side import Work


class Bubblewrap(Peer):
    """No cgroup, no writable layer."""

    name = "bubblewrap"
    program, package = "bwrap", "bubblewrap"

    def __enter__(self) -> Bubblewrap:
        self._rootfs = self.scratch / "bwrap"
        self._rootfs.mkdir()
        run("tar", "-xf", self.rootfs_tar, "-C", self._rootfs)
        return self

    def works(self) -> Mapping[str, Work]:
        words = ("bwrap", "--unshare-all", "--ro-bind", self._rootfs, "/", "--proc", "/proc", "true")
        return {"P2": Work(lambda: run(*words))}
