"""Engines of tests: ``emptied`` leaves no containers, bridges or firewall behind; one with a disk that is soon full."""

from __future__ import annotations

import gc
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from containerkit import Engine
from containerkit.testing import isolated_engine as emptied

__all__ = ["emptied", "loop_disk", "on_a_small_disk"]


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


@contextmanager
def loop_disk(place: Path, size: str) -> Iterator[None]:
    """An ext4 of ``size`` in a file beside ``place``, mounted there: a disk that containers can run on."""
    image = place.with_name(f"{place.name}.ext4")
    subprocess.run(["truncate", "-s", size, image], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-N", "4096", image], check=True)
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield
    finally:
        gc.collect()  # an error that a full disk has caused holds on to a connection of the store
        subprocess.run(["umount", place], check=True)
        place.rmdir()
        image.unlink()
