"""Layers and archives with other owners: who they are says an :class:`~containerkit.store.owners.Exchange`."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from containerkit.layers.compression import Readable
from containerkit.layers.copy import Copier
from containerkit.layers.pack import Archive
from containerkit.layers.tar import Entry
from containerkit.store.owners import Exchange

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def copy(layer: Path, place: Path, exchange: Exchange) -> None:
    """Make ``place`` a copy of the layer with these owners.

    Raises:
        OSError: the disk is full, and the like.
    """
    place.mkdir()
    source, target = os.open(layer, _DIRECTORY), os.open(place, _DIRECTORY)
    try:
        _Copier(exchange=exchange).lay(source, target)
    finally:
        os.close(source)
        os.close(target)


@dataclass
class _Copier(Copier):
    """A layer as it is, with overlayfs's marks."""

    dropped_xattrs: ClassVar[tuple[str, ...]] = ()
    exchange: Exchange = Exchange(0, 0)  # noqa: RUF009  # which nobody changes

    def lay(self, source: int, target: int) -> None:
        self.copy_content(source, target)
        self.dress(target, source, os.fstat(source))

    def _owner_of(self, found: os.stat_result) -> tuple[int, int]:
        return self.exchange.of(found.st_uid, found.st_gid)


class Exchanged(Archive):
    """Adds entries to another archive, with the owners of the other side."""

    def __init__(self, archive: Archive, exchange: Exchange) -> None:
        self._archive, self._exchange = archive, exchange
        self.root = exchange.of(*archive.root)

    def add(self, entry: Entry, content: Readable | bytes = b"") -> None:
        """As its base."""
        uid, gid = self._exchange.of(entry.uid, entry.gid)
        self._archive.add(dataclasses.replace(entry, uid=uid, gid=gid), content)
