"""The metadata: one SQLite file, many processes at once.

WAL lets readers go on while one writer commits; every write is one short ``BEGIN IMMEDIATE`` transaction that waits
its turn (30 s). Connections belong to one thread of one process: a connection carried across a fork corrupts the
file, so a forked process opens its own.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import ENOSPC
from typing import TYPE_CHECKING

from containerkit.errors import ContainerkitError, StorageError, from_os_error

if TYPE_CHECKING:
    from pathlib import Path

_VERSION = 6
#: Seconds that a write waits for its turn.
_PATIENCE = 30.0
#: What SQLite fails with on a full disk (its results' first bytes), and the bytes that it needs to begin.
_OF_FULL_DISKS = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
_LEAST = 128 << 10
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
CREATE TABLE IF NOT EXISTS digests (  -- what registries know images by
    reference TEXT PRIMARY KEY,       -- docker.io/library/busybox@sha256:…: a manifest's digest, or an index's
    image     TEXT NOT NULL REFERENCES images(id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS digests_image ON digests(image);
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
    error    TEXT NOT NULL DEFAULT '',
    stopped  INTEGER NOT NULL DEFAULT 0,            -- by hand: its restart policy rests until it is started again
    restarts INTEGER NOT NULL DEFAULT 0,            -- by its restart policy, since somebody started it
    health   TEXT NOT NULL DEFAULT '',              -- JSON (store/containers.py: Health); empty for none
    ports    TEXT NOT NULL DEFAULT '[]'             -- JSON: what is published while it runs (store/networks.py)
);
CREATE INDEX IF NOT EXISTS containers_nocase ON containers(name COLLATE NOCASE);
CREATE INDEX IF NOT EXISTS containers_image ON containers(image);
-- Few rows of many: what starts, ends and openings ask for. The conditions are those of the queries, word for word.
CREATE INDEX IF NOT EXISTS containers_owned ON containers(number) WHERE status NOT IN ('created', 'exited');
CREATE INDEX IF NOT EXISTS containers_publishing ON containers(number) WHERE ports != '[]';
CREATE INDEX IF NOT EXISTS containers_speaking ON containers(number)
    WHERE instr(spec, '"links"') OR instr(spec, '": "container:');
CREATE INDEX IF NOT EXISTS containers_mounting ON containers(number) WHERE instr(spec, 'sha256:');
CREATE INDEX IF NOT EXISTS containers_session ON containers(number) WHERE instr(spec, '"session"');
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
CREATE TABLE IF NOT EXISTS networks (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    id       TEXT NOT NULL UNIQUE,
    name     TEXT NOT NULL UNIQUE,
    driver   TEXT NOT NULL,
    interface TEXT NOT NULL,          -- the bridge, or what containers' interfaces are on top of
    subnets  TEXT NOT NULL,           -- JSON: [[subnet, gateway, range], …]
    internal INTEGER NOT NULL,
    options  TEXT NOT NULL,           -- JSON
    labels   TEXT NOT NULL,           -- JSON
    created  REAL NOT NULL,
    last     INTEGER NOT NULL DEFAULT -1  -- of its range: what was leased last
);
CREATE INDEX IF NOT EXISTS networks_session ON networks(number) WHERE instr(labels, '"containerkit.session"');
CREATE TABLE IF NOT EXISTS endpoints (
    container TEXT NOT NULL,
    network  TEXT NOT NULL,           -- its id; the network may be gone
    place    INTEGER NOT NULL,        -- eth0, eth1 …
    wanted   TEXT, wanted6 TEXT,      -- addresses that were asked for
    wanted_mac TEXT NOT NULL DEFAULT '',
    aliases  TEXT NOT NULL,           -- JSON
    address  TEXT, address6 TEXT, mac TEXT,   -- leased; NULL otherwise
    PRIMARY KEY (container, network)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS endpoints_address ON endpoints(network, address) WHERE address IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS endpoints_address6 ON endpoints(network, address6) WHERE address6 IS NOT NULL;
CREATE INDEX IF NOT EXISTS endpoints_wanted ON endpoints(network, wanted) WHERE wanted IS NOT NULL;
CREATE INDEX IF NOT EXISTS endpoints_wanted6 ON endpoints(network, wanted6) WHERE wanted6 IS NOT NULL;
CREATE INDEX IF NOT EXISTS endpoints_network ON endpoints(network);
CREATE TABLE IF NOT EXISTS aliases (
    network  TEXT NOT NULL,
    alias    TEXT NOT NULL COLLATE NOCASE,
    container TEXT NOT NULL,
    PRIMARY KEY (network, alias, container)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS aliases_container ON aliases(container);
CREATE TABLE IF NOT EXISTS volumes (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    name     TEXT NOT NULL UNIQUE,
    driver   TEXT NOT NULL,
    options  TEXT NOT NULL,           -- JSON
    labels   TEXT NOT NULL,           -- JSON
    anonymous INTEGER NOT NULL,       -- nobody has named it
    created  REAL NOT NULL,
    size     INTEGER, sized REAL      -- bytes, when somebody last counted them
);
CREATE INDEX IF NOT EXISTS volumes_session ON volumes(number) WHERE instr(labels, '"containerkit.session"');
CREATE INDEX IF NOT EXISTS volumes_other ON volumes(number) WHERE driver != 'local' OR options != '{}';
CREATE TABLE IF NOT EXISTS volume_uses (
    container TEXT NOT NULL,
    volume   TEXT NOT NULL,           -- its name
    PRIMARY KEY (container, volume)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS volume_uses_volume ON volume_uses(volume);
CREATE TABLE IF NOT EXISTS build_steps (   -- the build cache (store/buildsteps.py)
    key      TEXT PRIMARY KEY,        -- the digest of all that the step depends on
    place    TEXT NOT NULL,           -- which instruction of which build
    slot     TEXT NOT NULL,           -- which step of it, by its number
    instruction TEXT NOT NULL,        -- as written
    inputs   BLOB NOT NULL,           -- JSON, zstd: what it depends on, by name
    layer    TEXT, media_type TEXT, layer_size INTEGER,  -- the blob; NULL: no file is another one
    diff_id  TEXT NOT NULL,
    chain_id TEXT NOT NULL,
    size     INTEGER NOT NULL,        -- unpacked bytes
    created  REAL NOT NULL,
    used     REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS build_steps_place ON build_steps(place, used);
CREATE INDEX IF NOT EXISTS build_steps_slot ON build_steps(slot, used);
CREATE TABLE IF NOT EXISTS file_digests (  -- of contexts' files (store/filedigests.py)
    path     BLOB NOT NULL UNIQUE,
    size     INTEGER NOT NULL, mtime INTEGER NOT NULL, ctime INTEGER NOT NULL, inode INTEGER NOT NULL,
    digest   TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS build_reports ( -- how an image was built
    image    TEXT PRIMARY KEY,        -- its id
    report   BLOB NOT NULL            -- JSON, zstd (builder/report.py)
) WITHOUT ROWID;
"""


class _Held:
    """A connection, closed with this object: sqlite3's own are in a reference cycle, and end when the collector comes.

    Not closed in another process than the one that opened it: that would disturb the one it belongs to.
    """

    def __init__(self, connection: sqlite3.Connection, generation: int) -> None:
        self.connection = connection
        self.pid = os.getpid()
        self.generation = generation

    def __del__(self, getpid: Callable[[], int] = os.getpid) -> None:
        # An argument, for at the end of the interpreter modules are empty.
        if self.pid == getpid():
            self.connection.close()


def _turn_to_wal(connection: sqlite3.Connection) -> None:
    """Alone among all statements this one does not wait for another process, which may be making the same file."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)


#: Connections that came along with a fork.
_FOREIGN: list[sqlite3.Connection] = []


class Database:
    """The metadata file at ``path``; made with its tables when absent. For any thread: each has its own connection."""

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self._local = threading.local()  # in it, each thread's connection, which goes when the thread does
        self._lock = threading.Lock()
        self._ready = False
        self._generation = 0

    def connection(self) -> sqlite3.Connection:
        """This thread's connection, in autocommit: a single SELECT needs nothing else."""
        held: _Held | None = getattr(self._local, "held", None)
        if held is not None and held.pid != os.getpid():
            _FOREIGN.append(held.connection)
            held = None
        if held is None or held.generation != self._generation:
            held = self._local.held = _Held(self._open(), self._generation)
        return held.connection

    def _open(self) -> sqlite3.Connection:
        try:
            # Used by one thread; which one lets it go last is not known.
            connection = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._refusal(error) from error
        try:
            connection.row_factory = sqlite3.Row
            # NORMAL: a crash of the machine may lose the last transactions, never the file.
            connection.execute("PRAGMA synchronous=NORMAL")
            if not self._ready:
                with self._lock:
                    self._prepare(connection, self.path)
                    self._ready = True
            return connection
        except sqlite3.Error as error:
            connection.close()
            raise self._refusal(error) from error

    @staticmethod
    def _prepare(connection: sqlite3.Connection, path: Path | str) -> None:
        # Looking first keeps a plain start of a process free of the write lock.
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found == _VERSION:
            return
        if found:
            raise StorageError(
                f"store {path}: made by another version of containerkit (its tables: {found}, not {_VERSION})"
            )
        _turn_to_wal(connection)
        connection.executescript(f"BEGIN IMMEDIATE;{SCHEMA}PRAGMA user_version={_VERSION}; COMMIT;")

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
            raise self._refusal(error) from error

    def _refusal(self, error: sqlite3.Error) -> ContainerkitError:
        """What SQLite says; of a full disk it may say "disk I/O error" or "unable to open database file"."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_FULL_DISKS:
            disk = os.statvfs(os.path.dirname(self.path) or ".")
            if disk.f_bavail * disk.f_frsize < _LEAST:
                return from_os_error(OSError(ENOSPC, ""), f"store {self.path}")
        return StorageError(f"store {self.path}: {error}")

    def close(self) -> None:
        """Close this thread's connection; another thread's closes when it ends or asks next. The next use opens one."""
        self._generation += 1
        self._local.__dict__.pop("held", None)
