"""Backup: a handle on one backup of a volume, wherever it is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from containerkit.backup.items import Item
from containerkit.backup.place import Place
from containerkit.backup.snapshots import Summary
from containerkit.backup.sources import Source
from containerkit.errors import InvalidArgument
from containerkit.layers.diff import Change
from containerkit.progress import Choice
from containerkit.views import frames, html, text
from containerkit.views.shown import Shown
from containerkit.volumebackups import transfer

if TYPE_CHECKING:
    import pandas

    from containerkit.backup.manifest import Manifest
    from containerkit.engine import Engine
    from containerkit.volume import Volume


class Backup(Shown):
    """A backup of a volume: a file, one of a directory of backups, or something at a URL.

    Made by ``Volume.backup``; :meth:`open` and ``ck.Backups`` find what is there.
    """

    def __init__(self, place: Place, said: Manifest | Summary, engine: Engine | None = None) -> None:
        self._place, self._said, self._engine = place, said, engine

    @classmethod
    def open(cls, source: Source, *, passphrase: str | None = None) -> Backup:
        """The backup at a path or a URL; or an archive that ``tar`` wrote.

        Args:
            source: in a directory of backups, the path of the directory, a slash and the backup's id (or the first
                digits of it, or ``latest``).
            passphrase: of an encrypted one.

        Raises:
            NotFound: there is none.
            InvalidArgument: it is no backup and no archive; damaged; the passphrase is missing or wrong.
        """
        place = Place.find(source, passphrase)
        return cls(place, place.manifest())

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The digest of the whole: 64 hexadecimal digits, the same for the same files."""
        return self._said.id

    @property
    def place(self) -> str:
        """Where it is: a path or a URL."""
        return self._place.name

    path = place

    @property
    def volume(self) -> str:
        """The name of the volume that it is of."""
        return self._said.volume

    @property
    def created(self) -> datetime:
        """When it was made (UTC)."""
        return datetime.fromtimestamp(self._said.created, timezone.utc)

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(self._said.labels)

    @property
    def parent(self) -> str | None:
        """The id of the backup that it is incremental to."""
        return self._said.parent or None

    @property
    def consistency(self) -> str:
        """none; or pause: the containers that used the volume stood still while it was looked at."""
        return self._said.consistency

    @property
    def frozen_seconds(self) -> float:
        """How long they stood still, in seconds."""
        return self._said.frozen_seconds

    @property
    def files(self) -> int:
        """How many regular files it has."""
        return self._said.files

    @property
    def size(self) -> int:
        """Bytes of the files' contents."""
        return self._said.size

    @property
    def stored_size(self) -> int:
        """Bytes that it takes where it is; in a directory, those that it has added."""
        return self._said.added if self._place.id else self._place.file_size()

    @property
    def torn(self) -> list[str]:
        """Paths of the files that were written to while they were read."""
        return self._said.torn

    @property
    def items(self) -> list[Item]:
        """What it knows of each file, in order.

        Raises:
            NotFound: it is not there any more.
            InvalidArgument: it is damaged.
        """
        if isinstance(self._said, Summary):
            self._said = self._place.manifest()
        return self._said.items

    def frame(self) -> pandas.DataFrame:
        """Its files as a pandas frame: path, kind, size (bytes), mode, uid, gid, modified (UTC), digest."""
        return frames.frame(
            [_row(item) for item in self.items],
            ("path", "kind", "size", "mode", "uid", "gid", "modified", "digest"),
        )

    # -- what is done with it ----------------------------------------------------------------------------------------

    def verify(self, *, base: Source | None = None, progress: Choice = "auto") -> Backup:
        """Read all that a restore would read, and compare it with its digests; nothing is written.

        Args:
            base: where the backup is that it is incremental to, when that is not beside it.

        Raises:
            InvalidArgument: it is damaged or cut off.
            NotFound: its base is not there.
        """
        transfer.verify(self._place, self.volume, base, progress)
        return self

    def restore(
        self, name: str | None = None, *, paths: Iterable[str] | None = None, verify: bool = True,
        base: Source | None = None, progress: Choice = "auto", engine: Engine | None = None,
    ) -> Volume:  # fmt: skip
        """As ``Volume.restore``; without a name, to the volume that it is of.

        Args:
            engine: default: the one that has made it, in this process; else the default engine.
        """
        from containerkit.volume import Volume

        return Volume.restore(
            self,
            name or self.volume,
            paths=paths,
            verify=verify,
            base=base,
            progress=progress,
            engine=engine or self._engine,
        )

    def diff(self, other: Backup | Volume | str) -> Changes:
        """What it has changed of another backup or volume, sorted by path: files that only it has are ``added``."""
        return difference(self, other)

    def remove(self) -> Backup:
        """Delete it. One that others are incremental to is needed to restore these.

        Raises:
            NotFound: it is not there any more.
        """
        self._place.remove()
        return self

    # -- looks -------------------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Backup) and self._place == other._place and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        kind = ", incremental" if self.parent else ""
        return f"Backup({self.volume!r}, {self.files} files, {text.size(self.size)}{kind}, {self.place!r})"

    def _repr_html_(self) -> str:
        rows = {
            "id": self.id[:12], "place": self.place, "made": text.cell("created", self.created),
            "files": f"{self.files}, {text.size(self.size)}",
            "incremental to": self.parent[:12] if self.parent else None,
            "paused for": f"{self.frozen_seconds * 1000:.0f} ms" if self.consistency == "pause" else None,
            "labels": ", ".join(f"{name}={value}" for name, value in self.labels.items()) or None,
            "written to meanwhile": ", ".join(self.torn[:5]) or None,
        }  # fmt: skip
        return html.card(f"backup of {self.volume}", "", {k: v for k, v in rows.items() if v is not None})


def _row(item: Item) -> dict[str, Any]:
    return {
        "path": item.path, "kind": item.kind, "size": item.size, "mode": f"{item.mode:04o}", "uid": item.uid,
        "gid": item.gid, "modified": datetime.fromtimestamp(item.mtime_ns / 1e9, timezone.utc), "digest": item.digest,
    }  # fmt: skip


class Changes(Sequence[Change], Shown):
    """What one tree has changed of another, sorted by path; :meth:`frame` has it as a table."""

    def __init__(self, changes: Iterable[Change]) -> None:
        self._changes = tuple(changes)

    def __getitem__(self, index: Any) -> Any:
        return self._changes[index]

    def __len__(self) -> int:
        return len(self._changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self._changes)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, (Changes, list, tuple)) else NotImplemented

    def _rows(self) -> list[Mapping[str, Any]]:
        return [{"path": change.path, "kind": change.kind} for change in self]

    def frame(self) -> pandas.DataFrame:
        """The changes as a pandas frame: path, kind (added, changed, deleted)."""
        return frames.frame(self._rows(), ("path", "kind"))

    def __repr__(self) -> str:
        return text.table(self._rows(), ("path", "kind"), empty="no changes")

    def _repr_html_(self) -> str:
        return html.table(self._rows(), ("path", "kind"), empty="no changes")


def difference(new: Backup | Volume | str, old: Backup | Volume | str) -> Changes:
    """What one volume or backup has changed of another."""
    from containerkit.backup import compare

    return Changes(compare.changes(_items(old), _items(new)))


def _items(tree: Backup | Volume | str | os.PathLike[str]) -> list[Item]:
    from containerkit.volume import Volume

    if isinstance(tree, Backup):
        return tree.items
    if isinstance(tree, Volume):
        return transfer.items_of(tree._engine, tree.name)
    if isinstance(tree, (str, os.PathLike)):
        return Backup.open(tree).items
    raise InvalidArgument(f"diff {tree!r}: expected a Volume, a Backup or a path of one")
