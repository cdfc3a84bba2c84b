"""What is in a layer: its entries as rows, deletions among them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from containerkit.layers.whiteouts import is_opaque, is_whiteout

_KINDS = {
    stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link", stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "device", stat.S_IFBLK: "device",
}  # fmt: skip


class LayerEntry(NamedTuple):
    """One path of a layer.

    Args:
        kind: file, directory, link, fifo, device; ``deleted``: the layer takes away what is below; ``replaced``: a
            directory that shows nothing of the one below.
        mode: as ``ls -l`` shows it.
        owner: ``uid:gid``.
        size: bytes of a file.
        target: where a link leads.
    """

    path: str
    kind: str
    mode: str
    owner: str
    size: int
    target: str = ""


def entries(root: str) -> list[LayerEntry]:
    """Everything below ``root``, sorted by path."""
    return sorted(_walk(root, ""))


def _walk(root: str, path: str) -> Iterator[LayerEntry]:
    for entry in os.scandir(f"{root}{path}"):
        name = f"{path}/{entry.name}"
        found = entry.stat(follow_symlinks=False)
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "other")
        if is_whiteout(found, in_layer=True):
            kind = "deleted"
        elif stat.S_ISDIR(found.st_mode) and is_opaque(entry.path):
            kind = "replaced"
        target = os.readlink(entry.path) if kind == "link" else ""
        size = found.st_size if kind == "file" else 0
        yield LayerEntry(name, kind, stat.filemode(found.st_mode), f"{found.st_uid}:{found.st_gid}", size, target)
        if stat.S_ISDIR(found.st_mode):
            yield from _walk(root, name)
