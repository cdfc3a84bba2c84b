"""The metadata: one SQLite file, many processes at once.

WAL lets readers go on while one writer commits; every write is one short ``BEGIN IMMEDIATE`` transaction that waits
its turn (30 s). Connections belong to one thread of one process: a connection carried across a fork corrupts the
file, so each is looked up by process and thread.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from containerkit.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    id       TEXT PRIMARY KEY,        -- digest of the config blob, as docker's image id
    manifest TEXT NOT NULL,           -- digest of the manifest blob
    media_type TEXT NOT NULL,
    manifest_size INTEGER NOT NULL,
    size     INTEGER NOT NULL,        -- unpacked bytes of all layers
    created  REAL NOT NULL            -- epoch seconds
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uses (     -- what an image keeps from being collected
    image    TEXT NOT NULL REFERENCES images(id),
    kind     TEXT NOT NULL,           -- 'blob' (digest) or 'layer' (chain id)
    digest   TEXT NOT NULL,
    PRIMARY KEY (image, kind, digest)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uses_digest ON uses(kind, digest);
CREATE TABLE IF NOT EXISTS tags (
    reference TEXT PRIMARY KEY,       -- familiar form is a view; this is the full one: docker.io/library/busybox:1
    image     TEXT NOT NULL REFERENCES images(id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tags_image ON tags(image);
CREATE TABLE IF NOT EXISTS containers (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,   -- the order of creation
    id       TEXT NOT NULL UNIQUE,
    name     TEXT NOT NULL UNIQUE,
    image    TEXT NOT NULL,           -- image id
    image_reference TEXT NOT NULL,    -- as the user wrote it
    command  TEXT NOT NULL,           -- what runs: its arguments, NUL between them
    spec     TEXT NOT NULL,           -- the normalised options, JSON
    auto_remove INTEGER NOT NULL,
    created  REAL NOT NULL,
    status   TEXT NOT NULL,
    pid      INTEGER, pid_started INTEGER,          -- the init, and its start time in clock ticks since boot
    monitor  INTEGER, monitor_started INTEGER,
    boot_id  TEXT,
    started  REAL, finished REAL,
    exit_code INTEGER,
    oom_killed INTEGER NOT NULL DEFAULT 0,
    error    TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS containers_image ON containers(image);
CREATE TABLE IF NOT EXISTS events (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    time     REAL NOT NULL,
    type     TEXT NOT NULL,
    action   TEXT NOT NULL,
    id       TEXT NOT NULL,
    name     TEXT NOT NULL,
    attributes TEXT NOT NULL          -- JSON
);
CREATE INDEX IF NOT EXISTS events_id ON events(id);
"""


class Database:
    """The metadata file at ``path``; made with its tables when absent."""

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self._connections: dict[tuple[int, int], sqlite3.Connection] = {}  # by process and thread
        self._lock = threading.Lock()
        self._ready = False

    def connection(self) -> sqlite3.Connection:
        """This thread's connection, in autocommit: a single SELECT needs nothing else."""
        key = (os.getpid(), threading.get_ident())
        found = self._connections.get(key)
        if found is None:
            found = self._open()
            self._forget_ended_threads()
            self._connections[key] = found
        return found

    def _forget_ended_threads(self) -> None:
        living = {thread.ident for thread in threading.enumerate()}
        with self._lock:
            for pid, thread in list(self._connections):
                if pid == os.getpid() and thread not in living:
                    self._connections.pop((pid, thread)).close()

    def _open(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            connection.row_factory = sqlite3.Row
            # NORMAL: a crash of the machine may lose the last transactions, never the file.
            connection.execute("PRAGMA synchronous=NORMAL")
            if not self._ready:
                with self._lock:
                    self._prepare(connection)
                    self._ready = True
            return connection
        except sqlite3.Error as error:
            raise StorageError(f"store {self.path}: {error}") from error

    @staticmethod
    def _prepare(connection: sqlite3.Connection) -> None:
        # Looking first keeps a plain start of a process free of the write lock.
        if connection.execute("PRAGMA user_version").fetchone()[0] == 1:
            return
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript("BEGIN IMMEDIATE;" + SCHEMA + "PRAGMA user_version=1; COMMIT;")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed at the end of the block, rolled back when it raises."""
        connection = self.connection()
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.execute("COMMIT")
        except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.IntegrityError):
                raise
            if connection.in_transaction:
                connection.rollback()
            raise StorageError(f"store {self.path}: {error}") from error

    def close(self) -> None:
        """Close this process's connections; the next use opens new ones."""
        with self._lock:
            for (pid, _), connection in list(self._connections.items()):
                if pid == os.getpid():
                    connection.close()
            self._connections.clear()
