"""Who is on which network, and by what address: written in the transactions of the containers' table.

An address is *leased* while its container is in a state that has an owner (``containers.OWNED``), in the transaction
that moves it there, and goes in the transaction that moves it on. So no address is held twice, whichever processes ask,
and none is lost however a container ends.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import TYPE_CHECKING

from containerkit.errors import InvalidState, NotFound
from containerkit.store.netrows import JOINED, Endpoint, NetworkRecord, Wish, endpoint

if TYPE_CHECKING:
    from containerkit.store.addresses import Subnet


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
        f"{JOINED} WHERE e.container = ? AND coalesce(e.address, e.address6) IS NULL", (container,)
    ).fetchall()
    for one in map(endpoint, rows):
        if one.network is None:
            raise NotFound(
                f"container {name}: one of its networks has been removed ({one.network_id[:12]}): disconnect it"
            )
        _lease_one(connection, one, one.network, name)


def _lease_one(connection: sqlite3.Connection, one: Endpoint, network: NetworkRecord, name: str) -> None:
    from containerkit.store.addresses import Subnet, mac_of

    found: dict[int, str | None] = {4: None, 6: None}
    last: int | None = None
    for subnet in (Subnet(*row) for row in network.subnets):
        wanted = one.wanted if subnet.version == 4 else one.wanted6
        if wanted is not None:
            _refuse_taken(connection, network, wanted, name)
            found[subnet.version] = wanted
        else:
            number, found[subnet.version] = _next_free(connection, network, subnet)
            last = number if last is None else last
    mac = one.wanted_mac or mac_of(found[4] or found[6] or "::")
    connection.execute(
        "UPDATE endpoints SET address = ?, address6 = ?, mac = ? WHERE container = ? AND network = ?",
        (found[4], found[6], mac, one.container, network.id),
    )
    if last is not None:
        connection.execute("UPDATE networks SET last = ? WHERE id = ?", (last, network.id))


_HELD = """
SELECT container FROM endpoints WHERE network = ?1 AND address = ?2
UNION ALL SELECT container FROM endpoints WHERE network = ?1 AND address6 = ?2
"""
_ASKED = """
UNION ALL SELECT container FROM endpoints WHERE network = ?1 AND wanted = ?2
UNION ALL SELECT container FROM endpoints WHERE network = ?1 AND wanted6 = ?2
"""


def _refuse_taken(connection: sqlite3.Connection, network: NetworkRecord, address: str, name: str) -> None:
    row = connection.execute(
        f"SELECT name FROM containers WHERE id IN ({_HELD})", (network.id, address)
    ).fetchone()  # fmt: skip
    if row is not None:
        raise InvalidState(f"container {name}: ip {address}: is container {row[0]}'s on network {network.name}")


def _next_free(connection: sqlite3.Connection, network: NetworkRecord, subnet: Subnet) -> tuple[int, str]:
    """The next after the last one: an address rests as long as it can before another container has it."""
    numbers = subnet.numbers()
    # Not limited to as many as can be held: to count those takes longer than to find the next one.
    for step in range(len(numbers)):
        number = numbers[(max(network.last - numbers.start, -1) + 1 + step) % len(numbers)]
        address = subnet.address(number)
        if address == subnet.gateway:
            continue
        if connection.execute(_HELD + _ASKED, (network.id, address)).fetchone() is None:
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
