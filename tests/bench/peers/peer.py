"""A peer: which program of which Debian package, started in a ``with`` block."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from tests.bench.side import Side


class Peer(Side):
    """With the files of ``rootfs_tar`` as its image or root, and all that it keeps below ``scratch``."""

    program: str
    package: str

    def __init__(self, rootfs_tar: Path, scratch: Path) -> None:
        self.rootfs_tar, self.scratch = rootfs_tar, scratch

    @abstractmethod
    def __enter__(self) -> Peer:
        """Start.

        Raises:
            RuntimeError, OSError: it does not start.
        """

    def __exit__(self, *exception: object) -> None:
        """End it."""
