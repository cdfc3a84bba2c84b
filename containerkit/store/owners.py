"""Layers in which two users have changed places, for an ordinary user's containers with ``userns="keep-id"``.

On an ordinary user's disk an image's root is that user. A container in which the two are different has copies, where
files that are root's in the image belong to a subordinate id, and those of the number that the person has inside to the
person. Overlayfs has no idmapped mounts, and an ordinary user may not make any of other file systems.

::

    layers/<chain id>/fs                      as it was unpacked
    layers/<chain id>/owners-1000-100/fs      the copy, made once for all containers in which 0 and 1000 (groups: 0 and
                                              100) have changed places; it goes with the layer
    containers/<id>/owners                    "1000 100", of a container on such layers
"""

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
from containerkit.values import frozen

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@frozen
class Exchange:
    """A user and a group that have changed places with 0, each by its number on the disk."""

    uid: int
    gid: int

    @property
    def name(self) -> str:
        """Of the directory beside a layer."""
        return f"owners-{self.uid}-{self.gid}"

    def of(self, uid: int, gid: int) -> tuple[int, int]:
        """Who they are on the other side; the other side's are those of this one."""
        return _other(uid, self.uid), _other(gid, self.gid)

    @classmethod
    def read(cls, snapshot: str) -> Exchange | None:
        """Of the container with that directory."""
        try:
            with open(f"{snapshot}/owners") as file:
                uid, gid = file.read().split()
        except FileNotFoundError:
            return None
        return cls(int(uid), int(gid))

    def write(self, snapshot: str) -> None:
        """Note it in a container's directory."""
        Path(snapshot, "owners").write_text(f"{self.uid} {self.gid}\n")


def _other(id: int, partner: int) -> int:
    return {0: partner, partner: 0}.get(id, id)


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
