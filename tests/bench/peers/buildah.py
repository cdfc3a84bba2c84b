"""buildah: builds alone."""

from __future__ import annotations

from collections.abc import Mapping

from tests.bench import webimage
from tests.bench.peers.host import HOST, run
from tests.bench.peers.peer import Peer
from tests.bench.peers.storage import unmount
from tests.bench.side import Work


class Buildah(Peer):
    """With the cache of layers that it has only when asked."""

    name = "buildah"
    program, package = "buildah", "buildah"

    def __enter__(self) -> Buildah:
        container = self._call("from", "scratch").strip()
        self._call("add", container, str(self.rootfs_tar), "/")
        self._call("commit", "--rm", container, "bench")
        return self

    def __exit__(self, *exception: object) -> None:
        unmount(self.scratch / "buildah/root/overlay")

    def works(self) -> Mapping[str, Work]:
        return {"P9": Work(lambda: self._build("--no-cache")), "P10": Work(self._build)}

    def _call(self, *arguments: str) -> str:
        state = self.scratch / "buildah"
        return run(*HOST, "buildah", "--root", f"{state}/root", "--runroot", f"{state}/run", *arguments)

    def _build(self, *options: str) -> None:
        context = str(webimage.context(self.scratch))
        self._call("build", "--layers", "--runtime", "runc", *options, "--network", "none", "-t", "bench-web", context)
