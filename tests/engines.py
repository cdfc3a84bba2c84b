"""Engines of tests: ``emptied`` leaves no containers, bridges or firewall behind; one with a disk that is soon full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from containerkit import Engine
from containerkit.testing import isolated_engine as emptied

__all__ = ["emptied", "on_a_small_disk"]


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
