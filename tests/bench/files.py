"""Files to work on: of all kinds and sizes, from this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def mixed(target: Path, size: int) -> Path:
    """Copies of this machine's libraries, programs and documents below ``target``, together ``size`` bytes."""
    for directory in ("/usr/share/doc", "/usr/lib/python3", "/usr/share/perl", "/usr/bin", "/usr/lib"):
        share = size // 5
        for where, directories, names in os.walk(directory):
            directories.sort()
            for name in sorted(names):
                source = Path(where, name)
                if source.is_symlink() or not source.is_file() or source.stat().st_size > share:
                    continue
                share -= source.stat().st_size
                copy = target / source.relative_to("/")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, copy)
    return target


def to_commit(scratch: Path) -> Path:
    """C1: 100 MB of them below ``scratch``, made when they are not there."""
    place = scratch / "mixed"
    return place if place.exists() else mixed(place, 100_000_000)
