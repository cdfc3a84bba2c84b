"""Volumes: which there are, who uses them, and their directories.

Words: a *volume* is a directory that outlives containers; an *anonymous* one got its name by itself, and goes with the
container that it was made for, or the last that took it from there, when that is removed so. A *use* says that a
container has been made with it, running or not. A *driver* says where the content is; of the plain ``local`` one it is
``volumes/NAME/data``. How rows and directories come and go is :mod:`~containerkit.store.volumerows`.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping

from containerkit.errors import AlreadyExists, InvalidState, NotFound, about, suggestion
from containerkit.store import events, volumerows
from containerkit.store.database import Database
from containerkit.store.netrows import SESSION
from containerkit.store.volumerows import VolumeRecord


class Volumes:
    """The table, and the directories below the root's ``volumes``."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def insert(
        self, name: str, driver: str, options: Mapping[str, str], labels: Mapping[str, str], *, anonymous: bool = False
    ) -> VolumeRecord:
        """A new volume, empty.

        Raises:
            AlreadyExists: the name is taken.
        """
        try:
            with self.database.transaction() as connection, about(f"volume {name}"):
                volumerows.insert(connection, self.database, name, driver, options, labels, anonymous=anonymous)
        except sqlite3.IntegrityError as error:
            raise AlreadyExists(f"volume {name}: exists already (exist_ok=True takes it as it is)") from error
        events.tell(self.database)
        self.make(name)
        return self.find(name)

    def directory(self, name: str) -> str:
        """What belongs to the volume on the disk."""
        return volumerows.directory(self.database, name)

    def make(self, name: str) -> str:
        """The directory of the volume's content, made when it is not there.

        Raises:
            NotFound: the volume is gone, maybe since the caller has read of it.
        """
        path = f"{self.directory(name)}/data"
        if os.path.isdir(path):
            return path
        # Within a transaction, as it is taken away: whoever comes late makes no empty volume of one that is gone.
        with self.database.transaction() as connection:
            if connection.execute("SELECT 1 FROM volumes WHERE name = ?", (name,)).fetchone() is None:
                raise NotFound(f"volume {name}: not found (removed)")
            with about(f"volume {name}"):
                for directory, mode in ((os.path.dirname(path), 0o711), (path, 0o755)):
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(directory)
                        os.chmod(directory, mode)  # whatever the umask is
        return path

    def read(self, name: str) -> VolumeRecord | None:
        """The row of that name, or None."""
        row = self.database.connection().execute("SELECT * FROM volumes WHERE name = ?", (name,)).fetchone()
        return None if row is None else VolumeRecord._make(row)

    def find(self, name: str) -> VolumeRecord:
        """The row of that name, or of a unique beginning of an anonymous one's.

        Raises:
            NotFound: none, or several.
        """
        if (found := self.read(name)) is not None:
            return found
        rows = []
        if len(name) > 3 and name.isalnum():
            rows = (
                self.database.connection()
                .execute(
                    "SELECT * FROM volumes WHERE anonymous AND name >= ?1 AND name < ?2 LIMIT 2", (name, name + "g")
                )
                .fetchall()
            )
        if len(rows) != 1:
            near = suggestion(name, (record.name for record in self.list()))
            raise NotFound(f"volume {name}: " + ("several names begin like this" if rows else f"not found{near}"))
        return VolumeRecord._make(rows[0])

    def list(self) -> builtins.list[VolumeRecord]:
        """All rows, by name, those with a name of their own first."""
        rows = self.database.connection().execute("SELECT * FROM volumes ORDER BY anonymous, name")
        return [VolumeRecord._make(row) for row in rows]

    def of_sessions(self) -> builtins.list[VolumeRecord]:
        """Those that belong to a session."""
        return [one for one in self._where(f"instr(labels, '\"{SESSION}\"')") if SESSION in one.labels]

    def others(self) -> builtins.list[VolumeRecord]:
        """Those that are not plain directories of ours."""
        return self._where("(driver != 'local' OR options != '{}')")

    def _where(self, condition: str) -> builtins.list[VolumeRecord]:
        """Those of a condition that is an index's, too (database.py)."""
        rows = self.database.connection().execute(f"SELECT * FROM volumes WHERE {condition} ORDER BY number")
        return [VolumeRecord._make(row) for row in rows]

    def users(self, name: str) -> builtins.list[tuple[str, str]]:
        """(id, name) of the containers that were made with it, by name."""
        return _users(self.database.connection(), name)

    def running(self, name: str) -> builtins.list[tuple[str, str]]:
        """As :meth:`users`, of those that are alive, or about to be."""
        return _users(self.database.connection(), name, alive=True)

    def used(self) -> set[str]:
        """The names of the volumes that some container was made with."""
        return {row[0] for row in self.database.connection().execute("SELECT DISTINCT volume FROM volume_uses")}

    def user_counts(self) -> dict[str, int]:
        """How many containers were made with each volume; without those that none was."""
        return dict(
            self.database.connection().execute("SELECT volume, count(*) FROM volume_uses GROUP BY volume").fetchall()
        )

    def note_size(self, name: str, size: int) -> None:
        """Write down how large it is now, in bytes."""
        with self.database.transaction() as connection:
            connection.execute("UPDATE volumes SET size = ?, sized = ? WHERE name = ?", (size, time.time(), name))

    def delete(self, name: str, *, force: bool = False, before: Callable[[VolumeRecord], object] | None = None) -> None:
        """Forget a volume, and take its directory away.

        Args:
            force: also when containers that do not run were made with it.
            before: called with it once nothing speaks against it; what it raises does.

        Raises:
            InvalidState: it is in use.
            NotFound: it is not there.
        """
        with self.database.transaction() as connection:
            row = connection.execute("SELECT * FROM volumes WHERE name = ?", (name,)).fetchone()
            if row is None:
                raise NotFound(f"volume {name}: not found (removed)")
            _refuse_used(connection, name, force)
            if before is not None:
                before(VolumeRecord._make(row))
            volumerows.delete(connection, VolumeRecord._make(row))
        events.tell(self.database)
        with about(f"volume {name}"):
            volumerows.discard(self.database, [name])

    def prune(self, names: Iterable[str], before: Callable[[VolumeRecord], object] | None = None) -> builtins.list[str]:
        """Remove those of the volumes that nobody uses; their names. ``before`` as for :meth:`delete`."""
        gone = []
        for name in names:
            try:
                self.delete(name, before=before)
            except (InvalidState, NotFound):
                continue  # somebody has just begun to use it, or removed it
            gone.append(name)
        return gone

    def sweep(self) -> None:
        """Take away the directories of all volumes whose rows are gone."""
        found = os.listdir(self.directory(""))
        if found:
            known = {row[0] for row in self.database.connection().execute("SELECT name FROM volumes")}
            volumerows.discard(self.database, set(found) - known)


def _users(connection: sqlite3.Connection, name: str, *, alive: bool = False) -> list[tuple[str, str]]:
    states = " AND c.status NOT IN ('created', 'exited')" if alive else ""
    rows = connection.execute(
        "SELECT c.id, c.name FROM volume_uses u JOIN containers c ON c.id = u.container WHERE u.volume = ?"
        f"{states} ORDER BY c.name",
        (name,),
    )
    return [(row[0], row[1]) for row in rows]


def _refuse_used(connection: sqlite3.Connection, name: str, force: bool) -> None:
    users = _users(connection, name, alive=force)
    if users:
        shown = ", ".join(user for _, user in users[:5]) + (" …" if len(users) > 5 else "")
        hint = "stop them first" if force else "remove them first"
        raise InvalidState(f"volume {name}: in use by {shown} ({hint})")
