"""Backups: a directory of backups, as a collection."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from containerkit.backup.directory import Directory
from containerkit.backup.place import Place
from containerkit.backup.retention import Retention
from containerkit.errors import ContainerkitError, InvalidArgument, NotFound
from containerkit.progress import Choice
from containerkit.views import frames, html, text
from containerkit.views.shown import Shown
from containerkit.volumebackups.backup import Backup

if TYPE_CHECKING:
    import pandas


class Backups(Shown):
    """The backups of a directory, the oldest first: iterable, ``len``, ``["id"]``, ``in``, ``frame()``.

    ``Volume.backup(DIR + "/")`` makes the directory, and adds to it. Each backup is a whole one, and may be removed by
    itself; what several have is kept once.

    Args:
        directory: its path.
        volume: only those of that volume.
        passphrase: of an encrypted one.

    Raises:
        NotFound: it is not a directory of backups.
        InvalidArgument: the passphrase is missing or wrong.
    """

    _COLUMNS = ("volume", "created", "files", "size", "added", "id")

    def __init__(
        self, directory: str | os.PathLike[str], *, volume: str | None = None, passphrase: str | None = None
    ) -> None:
        self.path = os.path.abspath(directory)
        self._volume, self._passphrase = volume, passphrase
        with self._opened():
            pass

    def _opened(self, *, alone: bool = False) -> Directory:
        return Directory(self.path, passphrase=self._passphrase, alone=alone)

    def __iter__(self) -> Iterator[Backup]:
        with self._opened() as directory:
            found = [(one, directory.summary(one)) for one in directory.list(self._volume)]
        for one, said in found:
            yield Backup(Place(self.path, self._passphrase, one.volume, one.id), said)

    def __len__(self) -> int:
        with self._opened() as directory:
            return len(directory.list(self._volume))

    def __getitem__(self, id: str) -> Backup:
        """The backup of that id, or whose digest begins so; ``"latest"`` for the last."""
        if not isinstance(id, str):
            raise InvalidArgument(f"backups {self.path}: {id!r}: expected an id")
        with self._opened() as directory:
            one = directory.find(id, self._volume)
            return Backup(Place(self.path, self._passphrase, one.volume, one.id), directory.summary(one))

    def __contains__(self, id: object) -> bool:
        try:
            return isinstance(id, str) and self[id] is not None
        except ContainerkitError:
            return False

    @property
    def latest(self) -> Backup | None:
        """The last one; None where there is none."""
        try:
            return self["latest"]
        except NotFound:
            return None

    @property
    def size(self) -> int:
        """Bytes that the directory takes."""
        return sum(os.path.getsize(os.path.join(path, name)) for path, _, names in os.walk(self.path) for name in names)

    def verify(self, *, progress: Choice = "auto") -> Backups:
        """Read every backup and compare it with its digests.

        Raises:
            InvalidArgument: the first that is damaged.
        """
        for backup in self:
            backup.verify(progress=progress)
        return self

    def prune(
        self, *, keep_last: int = 0, keep_daily: int = 0, keep_weekly: int = 0, keep_monthly: int = 0,
        keep_yearly: int = 0, dry_run: bool = False,
    ) -> list[Backup]:  # fmt: skip
        """Remove backups, of each volume by itself, and free what none of the others consists of.

        Kept are the last ones, and the newest of each of the last days, weeks, months and years that have one.

        Args:
            keep_last, keep_daily, keep_weekly, keep_monthly, keep_yearly: how many of each.
            dry_run: say what would be removed, and remove nothing.

        Returns:
            What was removed.

        Raises:
            InvalidArgument: nothing is said of what is to be kept; a backup that stays is damaged, and nothing goes.
        """
        wanted = Retention(keep_last, keep_daily, keep_weekly, keep_monthly, keep_yearly)
        with self._opened(alone=not dry_run) as directory:
            expired = directory.expired(wanted, self._volume)
            found = [
                Backup(Place(self.path, self._passphrase, one.volume, one.id), directory.summary(one))
                for one in expired
            ]
            if not dry_run:
                directory.collect(expired)
        return found

    def collect(self) -> int:
        """Free what no backup consists of any more, after ``Backup.remove``; bytes."""
        with self._opened(alone=True) as directory:
            return directory.collect()

    def rows(self) -> list[dict[str, Any]]:
        """A row per backup."""
        return [
            {
                "volume": one.volume, "created": one.created, "files": one.files, "size": one.size,
                "added": one.stored_size, "id": one.id[:12],
            }
            for one in self
        ]  # fmt: skip

    def frame(self) -> pandas.DataFrame:
        """The backups as a pandas frame: volume, created (UTC), files, size and added (bytes), id."""
        return frames.frame(self.rows(), self._COLUMNS)

    def __repr__(self) -> str:
        return text.table(self.rows(), self._COLUMNS, empty="no backups")

    def _repr_html_(self) -> str:
        return html.table(self.rows(), self._COLUMNS, empty="no backups")
