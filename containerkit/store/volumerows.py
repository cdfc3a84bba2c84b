"""Rows of volumes and of their uses, within the transactions that move containers; and directories that lost their row.

A row comes before its directory, and goes before it: a directory without a row is what somebody was killed over, and
whoever comes next takes it away (:func:`discard`), in a transaction: nobody makes a volume of that name meanwhile.

Monitors import this: it is light.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from containerkit.errors import NotFound
from containerkit.store import events
from containerkit.store.database import Database
from containerkit.store.netrows import summary
from containerkit.store.trees import remove_tree, set_aside


class VolumeRecord(NamedTuple):
    """One row. ``created`` and ``sized`` in epoch seconds; ``size`` in bytes, as it was ``sized``."""

    number: int
    name: str
    driver: str
    option_row: str
    label_row: str
    anonymous: int
    created: float
    size: int | None = None
    sized: float | None = None

    @property
    def options(self) -> dict[str, str]:
        """The driver's options."""
        return dict(json.loads(self.option_row))

    @property
    def labels(self) -> dict[str, str]:
        return dict(json.loads(self.label_row))


class Use(NamedTuple):
    """A container that is to be made with a volume.

    Args:
        volume: its name.
        anonymous: made for it, or for the container that it takes it from; nobody has named it.
        exists: it has to be there; otherwise it is made.
    """

    volume: str
    anonymous: bool = False
    exists: bool = False


def directory(database: Database, name: str) -> str:
    """Where a volume's files are: below the root that the database is in (store/paths.py)."""
    return os.path.join(os.path.dirname(database.path), "volumes", name)


def attach(connection: sqlite3.Connection, database: Database, container: str, uses: Iterable[Use]) -> None:
    """Write down what a new container is made with; volumes that are not there yet are made.

    Raises:
        NotFound: one that has to be there is not.
    """
    for use in uses:
        if connection.execute("SELECT 1 FROM volumes WHERE name = ?", (use.volume,)).fetchone() is None:
            if use.exists:
                raise NotFound(f"volume {use.volume}: removed meanwhile")
            insert(connection, database, use.volume, anonymous=use.anonymous)
        connection.execute("INSERT OR IGNORE INTO volume_uses VALUES (?, ?)", (container, use.volume))


def release(connection: sqlite3.Connection, container: str, volumes: Iterable[str]) -> list[str]:
    """A container goes: it uses nothing any more. The names of the volumes that went with it.

    Args:
        volumes: those that go with it, where no other container uses them.
    """
    connection.execute("DELETE FROM volume_uses WHERE container = ?", (container,))
    rows = connection.execute(
        "SELECT * FROM volumes WHERE anonymous AND name IN (SELECT value FROM json_each(?))"
        " AND NOT EXISTS (SELECT 1 FROM volume_uses WHERE volume = name)",
        (json.dumps(list(volumes)),),
    ).fetchall()
    for row in rows:
        delete(connection, VolumeRecord._make(row))
    return [row["name"] for row in rows]


def insert(
    connection: sqlite3.Connection, database: Database, name: str, driver: str = "local",
    options: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None, *, anonymous: bool = False,
) -> None:  # fmt: skip
    """A new row. A directory that a killed process left of another volume of that name is moved away."""
    connection.execute(
        "INSERT INTO volumes (name, driver, options, labels, anonymous, created) VALUES (?, ?, ?, ?, ?, ?)",
        (name, driver, summary(options), summary(labels), int(anonymous), time.time()),
    )
    events.add(connection, "volume", "create", name, name, {"driver": driver, **(labels or {})})
    _move_away(database, name)


def delete(connection: sqlite3.Connection, record: VolumeRecord) -> None:
    """The row goes; the directory is :func:`discard`'s."""
    connection.execute("DELETE FROM volumes WHERE name = ?", (record.name,))
    events.add(connection, "volume", "destroy", record.name, record.name, {"driver": record.driver, **record.labels})


def discard(database: Database, names: Iterable[str]) -> None:
    """Take away the directories of volumes that are not there any more. Idempotent."""
    for name in names:
        if not os.path.isdir(directory(database, name)):
            continue
        moved = ""
        with database.transaction() as connection:
            if connection.execute("SELECT 1 FROM volumes WHERE name = ?", (name,)).fetchone() is None:
                moved = _move_away(database, name)
        if moved:
            remove_tree(moved)


def _move_away(database: Database, name: str) -> str:
    """Where it is now; ``""`` when it is gone."""
    try:
        return set_aside(directory(database, name), os.path.join(os.path.dirname(database.path), "tmp"))
    except FileNotFoundError:
        return ""
