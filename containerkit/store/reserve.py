"""Room for the day when the disk is full: SQLite has to write before a prune can free anything.

``ROOT/reserve`` is a file that takes room and says nothing. A prune on a full disk begins without it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Bytes: a prune's transactions, until the first of them has freed more.
_SIZE = 1 << 20
#: On a disk with less than so many bytes it is others' room.
_ENOUGH = 16 << 20


def keep(root: Path) -> None:
    """Have a reserve, where there is room for it. Idempotent."""
    path = root / "reserve"
    if (path.exists() and path.stat().st_size >= _SIZE) or _free(root) < _ENOUGH:
        return
    with suppress(OSError), open(path, "wb") as file:  # full meanwhile, or not to be written
        os.posix_fallocate(file.fileno(), 0, _SIZE)


@contextmanager
def spent(root: Path) -> Iterator[None]:
    """What is done in the block may take the reserve, where the disk has little else."""
    if _free(root) < _SIZE:
        with suppress(OSError):
            (root / "reserve").unlink()
    try:
        yield
    finally:
        keep(root)


def _free(root: Path) -> int:
    try:
        found = os.statvfs(root)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize
