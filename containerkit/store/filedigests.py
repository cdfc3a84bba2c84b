"""Digests of files of this machine that have been read before: a build's context is not hashed anew each time.

A file is known by its path, size, inode and times; whoever asks sees to it that these tell of every change
(builder/tree.py).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import suppress

from containerkit.errors import StorageError
from containerkit.store.database import Database

Key = tuple[str, int, int, int, int]
#: So many stay, those that were written last.
_MOST = 500_000
_WHERE = "path = ? AND size = ? AND mtime = ? AND ctime = ? AND inode = ?"


class FileDigests(MutableMapping[Key, str]):
    """The table as a mapping. What is added is written by :meth:`flush`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._new: dict[Key, str] = {}
        self._lock = threading.Lock()

    def __getitem__(self, key: Key) -> str:
        with self._lock:
            if key in self._new:
                return self._new[key]
        query = f"SELECT digest FROM file_digests WHERE {_WHERE}"
        row = self._database.connection().execute(query, _columns(key)).fetchone()
        if row is None:
            raise KeyError(key)
        return str(row["digest"])

    def __setitem__(self, key: Key, digest: str) -> None:
        with self._lock:
            self._new[key] = digest

    def __delitem__(self, key: Key) -> None:
        with self._lock:
            self._new.pop(key, None)
        with self._database.transaction() as connection:
            connection.execute(f"DELETE FROM file_digests WHERE {_WHERE}", _columns(key))

    def __iter__(self) -> Iterator[Key]:
        rows = self._database.connection().execute("SELECT path, size, mtime, ctime, inode FROM file_digests")
        return iter([(os.fsdecode(row[0]), row[1], row[2], row[3], row[4]) for row in rows])

    def __len__(self) -> int:
        return int(self._database.connection().execute("SELECT count(*) FROM file_digests").fetchone()[0])

    def flush(self) -> None:
        """Write what is new; on a full disk it is forgotten."""
        with self._lock:
            new, self._new = self._new, {}
        if not new:
            return
        with suppress(StorageError), self._database.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO file_digests (path, size, mtime, ctime, inode, digest)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [(*_columns(key), digest) for key, digest in new.items()],
            )
            connection.execute(
                "DELETE FROM file_digests WHERE rowid <= (SELECT max(rowid) FROM file_digests) - ?", (_MOST,)
            )


def _columns(key: Key) -> tuple[bytes, int, int, int, int]:
    """As it is kept: a path is bytes, which need not be text."""
    return (os.fsencode(key[0]), *key[1:])
