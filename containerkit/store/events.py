"""What happened: rows that are written in the same transaction as the change they tell of.

Whoever has added one touches the database file (its times, nothing in it), after the commit: that wakes those who
follow, in any process, through inotify(7). A writer that is killed between the two leaves an event that is seen with
the next.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from containerkit.store.database import Database

#: How many are kept: a notebook that runs containers for a year does not fill the disk with their history.
_KEPT = 10_000


class EventRecord(NamedTuple):
    """One row. ``time`` in epoch seconds; ``attributes`` as JSON."""

    number: int
    time: float
    type: str
    action: str
    id: str
    name: str
    attributes: str


def add(
    connection: sqlite3.Connection, type: str, action: str, id: str, name: str, attributes: Mapping[str, Any]
) -> None:
    """Write down that something happened, in the transaction that ``connection`` is in."""
    number = connection.execute(
        "INSERT INTO events (time, type, action, id, name, attributes) VALUES (?, ?, ?, ?, ?, ?)",
        (time.time(), type, action, id, name, json.dumps(attributes)),
    ).lastrowid
    if number is not None and number % 1000 == 0:
        connection.execute("DELETE FROM events WHERE number <= ?", (number - _KEPT,))


def tell(database: Database) -> None:
    """Wake those who follow. To be called after the commit."""
    try:
        os.utime(database.path)
    except OSError:
        pass  # a database in memory, or not ours to touch: who follows sees it with the next


class Events:
    """The events of one store, oldest first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def last(self) -> int:
        """The number of the last event; 0 when there is none."""
        row = self._database.connection().execute("SELECT max(number) FROM events").fetchone()
        return int(row[0] or 0)

    def after(self, number: int, since: float | None = None) -> list[EventRecord]:
        """Those with a higher number, and not older than ``since`` (epoch seconds)."""
        rows = self._database.connection().execute(
            "SELECT number, time, type, action, id, name, attributes FROM events WHERE number > ? AND time >= ?"
            " ORDER BY number",
            (number, float("-inf") if since is None else since),
        )
        return [EventRecord._make(row) for row in rows]

    def last_exit(self, id: str) -> int | None:
        """The exit code in the last ``die`` event of a container, which may be removed by now."""
        row = self._database.connection().execute(
            "SELECT attributes FROM events WHERE id = ? AND action = 'die' ORDER BY number DESC LIMIT 1", (id,)
        ).fetchone()  # fmt: skip
        if row is None:
            return None
        code = json.loads(row["attributes"]).get("exitCode")
        return code if isinstance(code, int) else None
