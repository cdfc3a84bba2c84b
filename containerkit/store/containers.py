"""The containers' rows: what is written down about each, and every move between its states.

The states and moves are one table, :data:`MOVES`. ``creating`` and ``starting`` last for the time of one call, whose
process holds the container's lease; seen from outside both are ``created``. Invariant: whatever belongs to a container
(directories, cgroup, processes) exists only while its row does, so nothing can be left that no row tells of.
"""

from __future__ import annotations

import builtins
import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from containerkit.errors import AlreadyExists, InvalidState, NotFound, suggestion
from containerkit.linux.process import boot_id
from containerkit.store import events, leasing, volumerows
from containerkit.store.database import Database
from containerkit.store.netrows import PublishedPort, Wish, ports_of
from containerkit.store.volumerows import Use

#: (state, move) → state. A move that is not here is refused.
MOVES: dict[tuple[str, str], str] = {
    ("creating", "create"): "created",
    ("creating", "run"): "running",
    ("created", "start"): "starting",
    ("exited", "start"): "starting",
    ("starting", "run"): "running",
    # The first start of a container failed: it is as created. One that has run before has ended once more.
    ("starting", "fail"): "created",
    ("running", "fail"): "created",
    ("starting", "exit"): "exited",
    ("running", "exit"): "exited",
    ("running", "pause"): "paused",
    ("paused", "unpause"): "running",
    ("paused", "exit"): "exited",
    # It ended, and its restart policy will start it again.
    ("running", "retry"): "restarting",
    ("paused", "retry"): "restarting",
    ("restarting", "retry"): "restarting",
    ("restarting", "run"): "running",
    ("restarting", "exit"): "exited",
}

#: States in which there may be processes of it, or will be without anybody's doing.
ALIVE = frozenset({"running", "paused", "restarting"})
#: States in which some process holds the lease.
OWNED = ALIVE | {"creating", "starting"}

#: What an event calls a move; the others happen unseen.
_ACTIONS = {"run": "start", "exit": "die", "retry": "die", "pause": "pause", "unpause": "unpause"}
_SHOWN = {"creating": "created", "starting": "created"}
#: Options that may be ``container:NAME``.
_JOINING = ("network", "pid", "ipc", "uts", "cgroupns", "userns")


class ContainerRecord(NamedTuple):
    """One row, read at one moment. Times are epoch seconds, truths 0 and 1; ``pid_started`` is in ticks since boot."""

    number: int
    id: str
    name: str
    image: str
    image_reference: str
    arguments: str
    spec: str
    auto_remove: int
    created: float
    state: str
    pid: int | None = None
    pid_started: int | None = None
    monitor: int | None = None
    monitor_started: int | None = None
    boot_id: str | None = None
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    oom_killed: int = 0
    error: str = ""
    stopped: int = 0
    restarts: int = 0
    health: str = ""
    ports: str = "[]"

    @property
    def published(self) -> list[PublishedPort]:
        """Its published ports, while it runs."""
        return ports_of(self.ports)

    @property
    def status(self) -> str:
        """The state as a user knows it."""
        return _SHOWN.get(self.state, self.state)

    @property
    def command(self) -> tuple[str, ...]:
        """What runs: the entry point and its arguments."""
        return tuple(self.arguments.split("\0"))

    @property
    def options(self) -> dict[str, Any]:
        """The normalised options the container was created with."""
        return dict(json.loads(self.spec))


class Containers:
    """The table. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def insert(
        self,
        id: str,
        name: str,
        image: str,
        image_reference: str,
        command: Sequence[str],
        spec: Mapping[str, Any],
        auto_remove: bool,
        wishes: Sequence[Wish] = (),
        uses: Sequence[Use] = (),
        *,
        starts: bool = False,
    ) -> ContainerRecord:
        """A new row in state ``creating``.

        Args:
            image: its id; empty: of layers that are no image yet, which somebody else keeps.
            wishes: the networks it is on.
            uses: the volumes it is made with; those that are not there are made.
            starts: it is made to be started: its addresses are leased.

        Raises:
            AlreadyExists: the name is taken.
            InvalidState: a network has no address for it.
            NotFound: the image, or a volume that has to be there, has been removed meanwhile.
        """
        now = time.time()
        labels = spec.get("labels") or {}
        row = (id, name, image, image_reference, "\0".join(command), json.dumps(spec), int(auto_remove), now)
        try:
            with self.database.transaction() as connection:
                # Here and not before: a removal of the image is one transaction too.
                if image and connection.execute("SELECT 1 FROM images WHERE id = ?", (image,)).fetchone() is None:
                    raise NotFound(f"image {image_reference}: removed meanwhile")
                cursor = connection.execute(
                    "INSERT INTO containers (id, name, image, image_reference, command, spec, auto_remove, created,"
                    " status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'creating')",
                    row,
                )
                leasing.attach(connection, id, wishes)
                volumerows.attach(connection, self.database, id, uses)
                if starts and wishes:
                    leasing.lease(connection, id, name)
                events.add(connection, "container", "create", id, name, {"image": image_reference, **labels})
        except sqlite3.IntegrityError as error:
            raise AlreadyExists(
                f"container {name}: the name is in use (remove that container, or pass replace=True)"
            ) from error
        events.tell(self.database)
        number = cursor.lastrowid
        assert number is not None
        return ContainerRecord(number, id, name, image, image_reference, row[4], row[5], row[6], now, "creating")

    def find(self, name_or_id: str) -> ContainerRecord:
        """The row of that name, id, or unique prefix of an id.

        Raises:
            NotFound: none, or several.
        """
        connection = self.database.connection()
        row = connection.execute("SELECT * FROM containers WHERE name = ?1 OR id = ?1", (name_or_id,)).fetchone()
        if row is not None:
            return ContainerRecord._make(row)
        if name_or_id and name_or_id.isalnum():
            rows = connection.execute(
                "SELECT * FROM containers WHERE id >= ?1 AND id < ?2 LIMIT 2", (name_or_id, name_or_id + "g")
            ).fetchall()
            if len(rows) == 1:
                return ContainerRecord._make(rows[0])
            if rows:
                raise NotFound(f"container {name_or_id}: several ids begin like this")
        names = (row["name"] for row in connection.execute("SELECT name FROM containers"))
        raise NotFound(f"container {name_or_id}: not found{suggestion(name_or_id, names)}")

    def read(self, id: str) -> ContainerRecord | None:
        """The row of that full id, or None."""
        row = self.database.connection().execute("SELECT * FROM containers WHERE id = ?", (id,)).fetchone()
        return None if row is None else ContainerRecord._make(row)

    def list(self) -> list[ContainerRecord]:
        """All rows, newest first."""
        rows = self.database.connection().execute("SELECT * FROM containers ORDER BY number DESC")
        return [ContainerRecord._make(row) for row in rows]

    def ids(self) -> builtins.list[str]:
        """Those of all rows."""
        return [row[0] for row in self.database.connection().execute("SELECT id FROM containers")]

    def owned(self) -> builtins.list[ContainerRecord]:
        """Those in a state of :data:`OWNED`, newest first: few, however many have ended."""
        return self._where("status NOT IN ('created', 'exited')")

    def publishing(self) -> builtins.list[ContainerRecord]:
        """Those with published ports, newest first; all of them live, by their rows."""
        return self._where("ports != '[]'")

    def linked(self) -> builtins.list[ContainerRecord]:
        """Those that are linked to others."""
        return [record for record in self._where(_SPEAKING) if "links" in record.options]

    def of_sessions(self) -> builtins.list[ContainerRecord]:
        """Those that belong to a session, newest first."""
        return [record for record in self._where("instr(spec, '\"session\"')") if record.options.get("session")]

    def _where(self, condition: str) -> builtins.list[ContainerRecord]:
        """Those of a condition that is an index's, too (database.py)."""
        rows = self.database.connection().execute(
            f"SELECT * FROM containers WHERE {condition} ORDER BY number DESC"
        )  # fmt: skip
        return [ContainerRecord._make(row) for row in rows]

    def has_joiners(self, id: str) -> bool:
        """Whether another container that lives may be in this one's network namespace."""
        row = self.read(id)
        found = self.database.connection().execute(
            "SELECT spec FROM containers WHERE id != ? AND status IN ('running', 'paused', 'restarting', 'starting')"
            f' AND {_SPEAKING} AND instr(spec, \'"network": "container:\')',
            (id,),
        )
        names = () if row is None else (row.name, id)
        joined = (str(json.loads(spec)["network"]).partition(":")[2] for (spec,) in found)
        return any(name in names or (len(name) > 3 and id.startswith(name)) for name in joined)

    def move(self, id: str, move: str, **values: Any) -> str:
        """Change the state by a move of the table, with the columns that change with it. Returns the new state.

        Raises:
            NotFound: no such row any more.
            InvalidState: the table has no such move from where the container is.
        """
        with self.database.transaction() as connection:
            row = connection.execute(f"SELECT status, {_TOLD} FROM containers WHERE id = ?", (id,)).fetchone()
            if row is None:
                raise NotFound(f"container {id[:12]}: not found")
            state = MOVES.get((row["status"], move))
            if state is None:
                shown = _SHOWN.get(row["status"], row["status"])
                raise InvalidState(f"container {row['name']}: cannot {move}: it is {shown}")
            if state not in OWNED:
                leasing.release(connection, id)
                values["ports"] = "[]"
            elif state == "starting":
                leasing.lease(connection, id, row["name"])
            _assign(connection, id, {"status": state, **values})
            if move in _ACTIONS:
                told = {"exitCode": values["exit_code"]} if "exit_code" in values and move != "run" else {}
                _event(connection, _ACTIONS[move], id, row, told)
        events.tell(self.database)
        return state

    def amend(self, id: str, action: str = "", told: Mapping[str, Any] | None = None, **values: Any) -> None:
        """Write columns that are no part of the state, and an event where ``action`` names one, with what it tells.

        Nothing happens when the container is gone.
        """
        with self.database.transaction() as connection:
            row = connection.execute(f"SELECT {_TOLD} FROM containers WHERE id = ?", (id,)).fetchone()
            if row is None:
                return
            if values:
                _assign(connection, id, values)
            if action:
                _event(connection, action, id, row, told or {})
        if action:
            events.tell(self.database)

    def rename(self, id: str, name: str) -> None:
        """Another name, also in the options of those that are linked to it or share its namespaces.

        Nothing happens when the container is gone.

        Raises:
            AlreadyExists: it is the name of another.
        """
        try:
            with self.database.transaction() as connection:
                row = connection.execute("SELECT name FROM containers WHERE id = ?", (id,)).fetchone()
                if row is None:
                    return
                _assign(connection, id, {"name": name})
                _follow(connection, row["name"], name)
                now = connection.execute(f"SELECT {_TOLD} FROM containers WHERE id = ?", (id,)).fetchone()
                _event(connection, "rename", id, now, {"oldName": row["name"]})
        except sqlite3.IntegrityError as error:
            raise AlreadyExists(f"container {name}: the name is in use") from error
        events.tell(self.database)

    def delete(self, id: str, exit_code: int | None = None, *, volumes: bool = False) -> None:
        """Forget a container whose belongings are gone already. Idempotent.

        Args:
            exit_code: how it ended, when that was not written down before: kept in its last event.
            volumes: its anonymous volumes go with it, where no other container uses them. One that it was given by
                its name is nobody's but who gave it, as docker has it.
        """
        with self.database.transaction() as connection:
            row = connection.execute(f"DELETE FROM containers WHERE id = ? RETURNING {_TOLD}", (id,)).fetchone()
            if row is None:
                return
            leasing.detach(connection, id)
            anonymous = json.loads(row["spec"]).get("anonymous", ()) if volumes else ()
            gone = volumerows.release(connection, id, anonymous)
            if exit_code is not None:
                _event(connection, "die", id, row, {"exitCode": exit_code})
            _event(connection, "destroy", id, row, {})
        events.tell(self.database)
        volumerows.discard(self.database, gone)


#: Which speak of others in their options: links, and namespaces that they share.
_SPEAKING = "(instr(spec, '\"links\"') OR instr(spec, '\": \"container:'))"
#: What every event of a container tells.
_TOLD = "name, image_reference, spec"


def _event(connection: sqlite3.Connection, action: str, id: str, row: sqlite3.Row, told: Mapping[str, Any]) -> None:
    labels = json.loads(row["spec"]).get("labels") or {}
    events.add(connection, "container", action, id, row["name"], {"image": row["image_reference"], **labels, **told})


def _follow(connection: sqlite3.Connection, old: str, new: str) -> None:
    """Let those that speak of the container ``old`` speak of ``new``: else their next start would not find it."""
    rows = connection.execute(
        f"SELECT id, spec FROM containers WHERE {_SPEAKING} AND instr(spec, ?)", (f'{old}"',)
    ).fetchall()
    for row in rows:
        spec = json.loads(row["spec"])
        for option in _JOINING:
            if spec.get(option) == f"container:{old}":
                spec[option] = f"container:{new}"
        if "links" in spec:
            spec["links"] = [(new if name == old else name, alias) for name, alias in spec["links"]]
        connection.execute("UPDATE containers SET spec = ? WHERE id = ?", (json.dumps(spec), row["id"]))


def _assign(connection: sqlite3.Connection, id: str, values: Mapping[str, Any]) -> None:
    assignments = ", ".join(f"{column} = ?" for column in values)
    connection.execute(f"UPDATE containers SET {assignments} WHERE id = ?", (*values.values(), id))


def process_columns(pid: int, pid_started: int | None, monitor: int, monitor_started: int | None) -> dict[str, Any]:
    """The columns that name a container's processes so that they are never mistaken for others."""
    return {
        "pid": pid, "pid_started": pid_started, "monitor": monitor, "monitor_started": monitor_started,
        "boot_id": boot_id(),
    }  # fmt: skip
