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

from pathlib import Path

from containerkit.values import frozen


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
