"""The networks' rows, and the endpoints': which container is on which network, by what address and names.

An address is *leased* while its container is in a state that has an owner (``containers.OWNED``), in the transaction
that moves it there, and goes in the transaction that moves it on. So no address is held twice, whichever processes ask,
and none is lost however a container ends.
"""

from __future__ import annotations

import builtins
import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from containerkit.errors import AlreadyExists, InvalidState, NotFound
from containerkit.store import events
from containerkit.store.database import Database

#: The network of containers that name no other.
DEFAULT_NETWORK = "bridge"


class NetworkRecord(NamedTuple):
    """One row. ``created`` in epoch seconds."""

    number: int
    id: str
    name: str
    driver: str
    interface: str
    subnet_rows: str
    internal: int
    option_row: str
    label_row: str
    created: float
    last: int = -1

    @property
    def subnets(self) -> list[tuple[str, str, str]]:
        """(subnet, gateway, range) of each."""
        return [tuple(row) for row in json.loads(self.subnet_rows)]

    @property
    def options(self) -> dict[str, str]:
        """The driver's options."""
        return dict(json.loads(self.option_row))

    @property
    def labels(self) -> dict[str, str]:
        return dict(json.loads(self.label_row))


class Wish(NamedTuple):
    """What somebody wants of one network: its id, and addresses and names there where they matter."""

    network: str
    ip: str | None = None
    ip6: str | None = None
    mac: str = ""
    aliases: tuple[str, ...] = ()


class Endpoint(NamedTuple):
    """One container on one network; addresses are None while it does not run, ``network`` when that is gone."""

    container: str
    network_id: str
    network: NetworkRecord | None
    place: int
    wanted: str | None
    wanted6: str | None
    wanted_mac: str
    aliases: tuple[str, ...]
    address: str | None
    address6: str | None
    mac: str | None


_JOINED = """
SELECT e.container, e.network, e.place, e.wanted, e.wanted6, e.wanted_mac, e.aliases, e.address, e.address6, e.mac, n.*
FROM endpoints e LEFT JOIN networks n ON n.id = e.network
"""


def _endpoint(row: sqlite3.Row) -> Endpoint:
    values = tuple(row)
    network = None if values[10] is None else NetworkRecord._make(values[10:])
    aliases = tuple(json.loads(values[6]))
    return Endpoint._make((*values[:2], network, *values[2:6], aliases, *values[7:10]))


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
            raise NotFound(f"network {name_or_id}: " + ("several ids begin like this" if rows else "not found"))
        return NetworkRecord._make(rows[0])

    def read(self, id: str) -> NetworkRecord | None:
        """The row of that full id, or None."""
        row = self.database.connection().execute("SELECT * FROM networks WHERE id = ?", (id,)).fetchone()
        return None if row is None else NetworkRecord._make(row)

    def list(self) -> builtins.list[NetworkRecord]:
        """All rows, in the order of creation."""
        rows = self.database.connection().execute("SELECT * FROM networks ORDER BY number")
        return [NetworkRecord._make(row) for row in rows]

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
        rows = self.database.connection().execute(f"{_JOINED} WHERE e.container = ? ORDER BY e.place", (container,))
        return [_endpoint(row) for row in rows]

    def of_network(self, id: str) -> builtins.list[Endpoint]:
        """Who is there now, by address: those with a lease."""
        rows = self.database.connection().execute(
            f"{_JOINED} WHERE e.network = ? AND coalesce(e.address, e.address6) IS NOT NULL", (id,)
        )
        return [_endpoint(row) for row in rows]

    def has_members(self, id: str) -> bool:
        """Whether a container is on that network, running or not."""
        found = self.database.connection().execute("SELECT 1 FROM endpoints WHERE network = ? LIMIT 1", (id,))
        return found.fetchone() is not None

    def leased(self) -> builtins.list[Endpoint]:
        """Every endpoint that has an address now."""
        rows = self.database.connection().execute(f"{_JOINED} WHERE coalesce(e.address, e.address6) IS NOT NULL")
        return [_endpoint(row) for row in rows]

    def resolve(self, networks: Sequence[str], name: str) -> builtins.list[str] | None:
        """The addresses, on those networks, of whoever runs and has that name, alias or short id; None for nobody."""
        marks = ",".join("?" * len(networks))
        rows = (
            self.database.connection()
            .execute(
                f"""
            SELECT e.address, e.address6 FROM endpoints e JOIN containers c ON c.id = e.container
            WHERE e.network IN ({marks}) AND c.status IN ('running', 'paused') AND e.container IN (
                SELECT id FROM containers WHERE name = ? COLLATE NOCASE
                UNION SELECT id FROM containers WHERE length(?) >= 12 AND id >= ? AND id < ?
                UNION SELECT container FROM aliases WHERE network IN ({marks}) AND alias = ?)
            ORDER BY e.address, e.address6
            """,
                (*networks, name, name, name.lower(), name.lower() + "g", *networks, name),
            )
            .fetchall()
        )
        if not rows:
            return None
        return list(dict.fromkeys(address for row in rows for address in row if address is not None))

    def name_of(self, networks: Sequence[str], address: str) -> str | None:
        """Whose address that is, on one of those networks: ``NAME.NETWORK``."""
        marks = ",".join("?" * len(networks))
        row = (
            self.database.connection()
            .execute(
                f"""
            SELECT c.name, n.name FROM endpoints e JOIN containers c ON c.id = e.container
            JOIN networks n ON n.id = e.network
            WHERE e.network IN ({marks}) AND c.status IN ('running', 'paused') AND ? IN (e.address, e.address6)
            """,
                (*networks, address),
            )
            .fetchone()
        )
        return None if row is None else f"{row[0]}.{row[1]}"

    def connect(self, container: str, name: str, wish: Wish, *, runs: bool) -> None:
        """Put a container on one more network.

        Args:
            name: the container's, for errors and the event.
            runs: it needs an address now.

        Raises:
            AlreadyExists: it is on that network.
            InvalidState: no address is free, or not the one that was asked for.
        """
        with self.database.transaction() as connection:
            if connection.execute("SELECT 1 FROM containers WHERE id = ?", (container,)).fetchone() is None:
                raise NotFound(f"container {name}: not found (removed)")
            row = connection.execute(
                "SELECT max(place), max(network = ?) FROM endpoints WHERE container = ?", (wish.network, container)
            ).fetchone()
            if row[1]:
                raise AlreadyExists(f"container {name}: is on this network already")
            attach(connection, container, [wish], first=0 if row[0] is None else row[0] + 1)
            if runs:
                lease(connection, container, name)
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


# -- within a transaction of the containers' table ---------------------------------------------------------------------


def attach(connection: sqlite3.Connection, container: str, wishes: Iterable[Wish], first: int = 0) -> None:
    """Write down on which networks a container is, in that order."""
    for place, wish in enumerate(wishes, first):
        connection.execute(
            "INSERT INTO endpoints (container, network, place, wanted, wanted6, wanted_mac, aliases)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (container, wish.network, place, wish.ip, wish.ip6, wish.mac, json.dumps(wish.aliases)),
        )
        connection.executemany(
            "INSERT OR IGNORE INTO aliases (network, alias, container) VALUES (?, ?, ?)",
            [(wish.network, alias, container) for alias in wish.aliases],
        )


def lease(connection: sqlite3.Connection, container: str, name: str) -> None:
    """Give a container an address on every network that it is on and has none.

    Raises:
        NotFound: one of the networks is gone.
        InvalidState: no address is free, or not the one that was asked for.
    """
    rows = connection.execute(
        f"{_JOINED} WHERE e.container = ? AND coalesce(e.address, e.address6) IS NULL", (container,)
    ).fetchall()
    for endpoint in map(_endpoint, rows):
        if endpoint.network is None:
            raise NotFound(
                f"container {name}: one of its networks has been removed ({endpoint.network_id[:12]}): disconnect it"
            )
        _lease_one(connection, endpoint, endpoint.network, name)


def _lease_one(connection: sqlite3.Connection, endpoint: Endpoint, network: NetworkRecord, name: str) -> None:
    from containerkit.store.addresses import Subnet, mac_of

    found: dict[int, str | None] = {4: None, 6: None}
    last: int | None = None
    for subnet in (Subnet(*row) for row in network.subnets):
        wanted = endpoint.wanted if subnet.version == 4 else endpoint.wanted6
        if wanted is not None:
            _refuse_taken(connection, network, wanted, name)
            found[subnet.version] = wanted
        else:
            number, found[subnet.version] = _next_free(connection, network, subnet)
            last = number if last is None else last
    mac = endpoint.wanted_mac or mac_of(found[4] or found[6] or "::")
    connection.execute(
        "UPDATE endpoints SET address = ?, address6 = ?, mac = ? WHERE container = ? AND network = ?",
        (found[4], found[6], mac, endpoint.container, network.id),
    )
    if last is not None:
        connection.execute("UPDATE networks SET last = ? WHERE id = ?", (last, network.id))


_HELD = """
SELECT container FROM endpoints WHERE network = ?1 AND address = ?2
UNION ALL SELECT container FROM endpoints WHERE network = ?1 AND address6 = ?2
"""


def _refuse_taken(connection: sqlite3.Connection, network: NetworkRecord, address: str, name: str) -> None:
    row = connection.execute(
        f"SELECT name FROM containers WHERE id IN ({_HELD})", (network.id, address)
    ).fetchone()  # fmt: skip
    if row is not None:
        raise InvalidState(f"container {name}: ip {address}: is container {row[0]}'s on network {network.name}")


def _next_free(connection: sqlite3.Connection, network: NetworkRecord, subnet: Any) -> tuple[int, str]:
    """The next after the last one: an address rests as long as it can before another container has it."""
    numbers = subnet.numbers()
    sought = f"{_HELD} UNION ALL SELECT container FROM endpoints WHERE network = ?1 AND wanted = ?2"
    # No more than so many can be held: among one more, one is free.
    held = connection.execute("SELECT count(*) FROM endpoints WHERE network = ?", (network.id,)).fetchone()[0]
    for step in range(min(len(numbers), held + 3)):
        number = numbers[(max(network.last - numbers.start, -1) + 1 + step) % len(numbers)]
        address = subnet.address(number)
        if address == subnet.gateway:
            continue
        if connection.execute(sought, (network.id, address)).fetchone() is None:
            return number, address
    raise InvalidState(
        f"network {network.name}: no free address is left in {subnet.ip_range or subnet.net}: all are in use"
    )


def release(connection: sqlite3.Connection, container: str) -> None:
    """Give a container's addresses back."""
    connection.execute(
        "UPDATE endpoints SET address = NULL, address6 = NULL, mac = NULL"
        " WHERE container = ? AND coalesce(address, address6) IS NOT NULL",
        (container,),
    )


def detach(connection: sqlite3.Connection, container: str) -> None:
    """Forget where a container was."""
    connection.execute("DELETE FROM endpoints WHERE container = ?", (container,))
    connection.execute("DELETE FROM aliases WHERE container = ?", (container,))


def ports_of(text: str) -> builtins.list[PublishedPort]:
    """What :func:`written_ports` wrote."""
    return [PublishedPort._make(row) for row in json.loads(text)]


def written_ports(ports: Iterable[PublishedPort]) -> str:
    """Published ports as a container's row has them."""
    return json.dumps(list(ports))


class PublishedPort(NamedTuple):
    """A port of the host that leads to one of a container. ``host_ip`` is empty for all addresses of the host."""

    protocol: str
    host_ip: str
    host_port: int
    container_port: int
    address: str = ""
    address6: str = ""


def summary(labels: Mapping[str, str] | None) -> str:
    """Labels, or options, as a row has them."""
    return json.dumps(dict(labels or {}), sort_keys=True)
