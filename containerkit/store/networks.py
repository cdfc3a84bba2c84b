"""The networks' rows, and what is asked of them: which there are, who is there, whose name and address that is."""

from __future__ import annotations

import builtins
import sqlite3
import time
from collections.abc import Sequence

from containerkit.errors import AlreadyExists, InvalidState, NotFound, suggestion
from containerkit.store import events, leasing
from containerkit.store.containers import OWNED
from containerkit.store.database import Database
from containerkit.store.netrows import DEFAULT_NETWORK, JOINED, SESSION, Endpoint, NetworkRecord, Wish, endpoint

_RESOLVE = """
SELECT e.address, e.address6 FROM endpoints e JOIN containers c ON c.id = e.container
WHERE e.network IN ({marks}) AND c.status IN ('running', 'paused') AND e.container IN (
    SELECT id FROM containers WHERE name = ? COLLATE NOCASE
    UNION SELECT id FROM containers WHERE length(?) >= 12 AND id >= ? AND id < ?
    UNION SELECT container FROM aliases WHERE network IN ({marks}) AND alias = ?)
ORDER BY e.address, e.address6
"""
_NAME_OF = """
SELECT c.name, n.name FROM endpoints e JOIN containers c ON c.id = e.container JOIN networks n ON n.id = e.network
WHERE e.network IN ({marks}) AND c.status IN ('running', 'paused') AND (e.address = ? OR e.address6 = ?)
"""


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))


class Networks:
    """The tables. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database

    # -- networks ----------------------------------------------------------------------------------------------------

    def insert(self, record: NetworkRecord) -> NetworkRecord:
        """A new row; its number and time are filled in here.

        Raises:
            AlreadyExists: the name is taken.
        """
        row = record._replace(created=time.time())
        try:
            with self.database.transaction() as connection:
                connection.execute(
                    "INSERT INTO networks (id, name, driver, interface, subnets, internal, options, labels, created)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    row[1:10],
                )
                events.add(connection, "network", "create", row.id, row.name, {"type": row.driver, **row.labels})
        except sqlite3.IntegrityError as error:
            raise AlreadyExists(f"network {row.name}: exists already (exist_ok=True takes it as it is)") from error
        events.tell(self.database)
        return self.find(row.id)

    def find(self, name_or_id: str) -> NetworkRecord:
        """The row of that name, id, or unique prefix of an id.

        Raises:
            NotFound: none, or several.
        """
        connection = self.database.connection()
        row = connection.execute("SELECT * FROM networks WHERE name = ?1 OR id = ?1", (name_or_id,)).fetchone()
        if row is not None:
            return NetworkRecord._make(row)
        rows = []
        if len(name_or_id) > 3 and name_or_id.isalnum():
            rows = connection.execute(
                "SELECT * FROM networks WHERE id >= ?1 AND id < ?2 LIMIT 2", (name_or_id, name_or_id + "g")
            ).fetchall()
        if len(rows) != 1:
            near = suggestion(name_or_id, (DEFAULT_NETWORK, "host", "none", *(record.name for record in self.list())))
            raise NotFound(f"network {name_or_id}: " + ("several ids begin like this" if rows else f"not found{near}"))
        return NetworkRecord._make(rows[0])

    def read(self, id: str) -> NetworkRecord | None:
        """The row of that full id, or None."""
        row = self.database.connection().execute("SELECT * FROM networks WHERE id = ?", (id,)).fetchone()
        return None if row is None else NetworkRecord._make(row)

    def list(self) -> builtins.list[NetworkRecord]:
        """All rows, in the order of creation."""
        rows = self.database.connection().execute("SELECT * FROM networks ORDER BY number")
        return [NetworkRecord._make(row) for row in rows]

    def of_sessions(self) -> builtins.list[NetworkRecord]:
        """Those that belong to a session, in the order of creation."""
        rows = self.database.connection().execute(
            f"SELECT * FROM networks WHERE instr(labels, '\"{SESSION}\"') ORDER BY number"
        )
        return [record for record in map(NetworkRecord._make, rows) if SESSION in record.labels]

    def use_interface(self, id: str, interface: str) -> None:
        """Its bridge has another name now."""
        with self.database.transaction() as connection:
            connection.execute("UPDATE networks SET interface = ? WHERE id = ?", (interface, id))

    def delete(self, id: str) -> None:
        """Forget a network; what it is made of is the caller's to remove, before.

        Raises:
            InvalidState: a container has an address there.
        """
        with self.database.transaction() as connection:
            row = connection.execute("SELECT name, driver FROM networks WHERE id = ?", (id,)).fetchone()
            if row is None:
                return
            _refuse_used(connection, id, row["name"])
            connection.execute("DELETE FROM networks WHERE id = ?", (id,))
            events.add(connection, "network", "destroy", id, row["name"], {"type": row["driver"]})
        events.tell(self.database)

    # -- endpoints ---------------------------------------------------------------------------------------------------

    def of_container(self, container: str) -> builtins.list[Endpoint]:
        """Where a container is, in order."""
        rows = self.database.connection().execute(f"{JOINED} WHERE e.container = ? ORDER BY e.place", (container,))
        return [endpoint(row) for row in rows]

    def of_network(self, id: str) -> builtins.list[Endpoint]:
        """Who is there now, by address: those with a lease."""
        rows = self.database.connection().execute(
            f"{JOINED} WHERE e.network = ? AND coalesce(e.address, e.address6) IS NOT NULL", (id,)
        )
        return [endpoint(row) for row in rows]

    def has_members(self, id: str) -> bool:
        """Whether a container is on that network, running or not."""
        found = self.database.connection().execute("SELECT 1 FROM endpoints WHERE network = ? LIMIT 1", (id,))
        return found.fetchone() is not None

    def leased(self) -> builtins.list[Endpoint]:
        """Every endpoint that has an address now."""
        rows = self.database.connection().execute(f"{JOINED} WHERE coalesce(e.address, e.address6) IS NOT NULL")
        return [endpoint(row) for row in rows]

    def resolve(self, networks: Sequence[str], name: str) -> builtins.list[str] | None:
        """The addresses, on those networks, of whoever runs and has that name, alias or short id; None for nobody."""
        query = _RESOLVE.format(marks=_marks(networks))
        values = (*networks, name, name, name.lower(), name.lower() + "g", *networks, name)
        rows = self.database.connection().execute(query, values).fetchall()
        if not rows:
            return None
        return list(dict.fromkeys(address for row in rows for address in row if address is not None))

    def name_of(self, networks: Sequence[str], address: str) -> str | None:
        """Whose address that is, on one of those networks: ``NAME.NETWORK``."""
        query = _NAME_OF.format(marks=_marks(networks))
        row = self.database.connection().execute(query, (*networks, address, address)).fetchone()
        return None if row is None else f"{row[0]}.{row[1]}"

    def connect(self, container: str, name: str, wish: Wish) -> None:
        """Put a container on one more network.

        Args:
            name: the container's, for errors and the event.

        Raises:
            AlreadyExists: it is on that network.
            InvalidState: no address is free, or not the one that was asked for.
        """
        with self.database.transaction() as connection:
            state = connection.execute("SELECT status FROM containers WHERE id = ?", (container,)).fetchone()
            if state is None:
                raise NotFound(f"container {name}: not found (removed)")
            row = connection.execute(
                "SELECT max(place), max(network = ?) FROM endpoints WHERE container = ?", (wish.network, container)
            ).fetchone()
            if row[1]:
                raise AlreadyExists(f"container {name}: is on this network already")
            leasing.attach(connection, container, [wish], first=0 if row[0] is None else row[0] + 1)
            # By the state of this moment: who is about to end has nobody to give an address back.
            if state[0] in OWNED:
                leasing.lease(connection, container, name)
            self._tell(connection, "connect", container, wish.network)
        events.tell(self.database)

    def disconnect(self, container: str, network: str) -> bool:
        """Take a container off a network. False: it was not there."""
        with self.database.transaction() as connection:
            cursor = connection.execute(
                "DELETE FROM endpoints WHERE container = ? AND network = ?", (container, network)
            )
            connection.execute("DELETE FROM aliases WHERE container = ? AND network = ?", (container, network))
            if cursor.rowcount:
                self._tell(connection, "disconnect", container, network)
        events.tell(self.database)
        return bool(cursor.rowcount)

    @staticmethod
    def _tell(connection: sqlite3.Connection, action: str, container: str, network: str) -> None:
        row = connection.execute("SELECT name, driver FROM networks WHERE id = ?", (network,)).fetchone()
        if row is not None:
            events.add(connection, "network", action, network, row[0], {"container": container, "type": row[1]})


def _refuse_used(connection: sqlite3.Connection, id: str, name: str) -> None:
    rows = connection.execute(
        "SELECT c.name FROM endpoints e JOIN containers c ON c.id = e.container"
        " WHERE e.network = ? AND coalesce(e.address, e.address6) IS NOT NULL ORDER BY c.name",
        (id,),
    ).fetchall()
    if rows:
        users = ", ".join(row[0] for row in rows[:5]) + (" …" if len(rows) > 5 else "")
        raise InvalidState(f"network {name}: in use by {users} (stop or disconnect them first)")
