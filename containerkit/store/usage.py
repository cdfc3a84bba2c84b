"""How much room images take on the disk, as du(1) counts: blobs, and what they are unpacked to."""

from __future__ import annotations

import os
from collections import Counter

from containerkit.store import rights, trees
from containerkit.store.buildsteps import BUILD
from containerkit.store.store import Store
from containerkit.store.workspace import Workspace
from containerkit.values import frozen


@frozen
class Usage:
    """Bytes on the disk. ``shared`` of them other images use, too: they stay when this one is removed."""

    total: int
    shared: int

    @property
    def unique(self) -> int:
        """Bytes that are free when it is removed."""
        return self.total - self.shared


def of_images(store: Store) -> dict[str, Usage]:
    """What each image takes, by id; what builds keep (store/buildsteps.py) is shared with them."""
    rows = store.database.connection().execute("SELECT image, kind, digest FROM uses").fetchall()
    users = Counter((row["kind"], row["digest"]) for row in rows)
    sizes = {used: _size(store, *used) for used in users}
    found: dict[str, Usage] = {}
    for row in rows:
        if row["image"].startswith(BUILD):
            continue
        used = (row["kind"], row["digest"])
        before = found.get(row["image"], Usage(0, 0))
        shared = sizes[used] if users[used] > 1 else 0
        found[row["image"]] = Usage(before.total + sizes[used], before.shared + shared)
    return found


def _size(store: Store, kind: str, digest: str) -> int:
    try:
        if kind == "blob":
            return os.stat(store.blobs.path(digest)).st_blocks * 512
        return _layer_size(store, digest)
    except FileNotFoundError:
        return 0  # removed meanwhile


def _layer_size(store: Store, chain_id: str) -> int:
    # A layer never changes: it is walked through once, and the sum is kept beside it.
    directory = store.layers.path(chain_id).parent
    kept = directory / "usage"
    try:
        return int(kept.read_text())
    except (FileNotFoundError, ValueError):
        pass
    size = rights.call(trees.disk_usage, directory)
    with Workspace(store.paths.tmp) as space:
        partial = space.path / "usage"
        partial.write_text(str(size))
        size += os.stat(partial).st_blocks * 512  # it takes room, too
        partial.write_text(str(size))
        os.rename(partial, kept)
    return size
