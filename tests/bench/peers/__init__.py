"""The peers, one per file; ``client.py`` has what docker, podman and buildah have in common, their words.

Their bridges and rules are in a network namespace of their own (``host.py``), in nobody's way.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from tests.bench.peers.bubblewrap import Bubblewrap
from tests.bench.peers.buildah import Buildah
from tests.bench.peers.docker import Docker
from tests.bench.peers.host import host
from tests.bench.peers.peer import Peer
from tests.bench.peers.podman import Podman
from tests.bench.peers.runc import Runc

KINDS: tuple[type[Peer], ...] = (Docker, Podman, Buildah, Runc, Bubblewrap)


def started(rootfs_tar: Path, scratch: Path, stack: contextlib.ExitStack) -> tuple[list[Peer], dict[str, str]]:
    """Those that are installed and start, until ``stack`` is closed; and name → why, of those that do not."""
    peers: list[Peer] = []
    absent = {kind.name: reason for kind in KINDS if (reason := _lacks(kind))}
    stack.enter_context(host())
    for kind in KINDS:
        if kind.name not in absent:
            try:
                peers.append(stack.enter_context(kind(rootfs_tar, scratch)))
            except (RuntimeError, OSError) as error:
                absent[kind.name] = f"does not start: {error}"
    return peers, absent


def _lacks(kind: type[Peer]) -> str:
    if shutil.which(kind.program):
        return ""
    return f"{kind.program} is not installed (Debian package {kind.package})"
