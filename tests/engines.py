"""Engines of tests: whatever they leave, containers, bridges, the firewall, is removed at the end."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from containerkit import Engine


@contextmanager
def emptied(root: Path, run: Path, **options: Any) -> Iterator[Engine]:
    """An engine, with nothing of it left on the machine at the end.

    Args:
        options: as for ``Engine``.
    """
    engine = Engine(root, run, **options)
    try:
        yield engine
    finally:
        for container in engine.containers:
            container.remove(force=True, volumes=True)
        engine.prune()  # the networks' bridges and firewall
        for volume in engine.volumes:
            volume.remove()
        engine.close()


@contextmanager
def on_a_small_disk(place: Path, size: str) -> Iterator[Engine]:
    """An engine on a disk of ``size`` (``"4m"``), mounted at ``place``/small. For images: no containers run there."""
    disk = place / "small"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", disk], check=True)
    try:
        engine = Engine(disk / "root", place / "run")
        yield engine
        engine.close()
    finally:
        subprocess.run(["umount", disk], check=True)
