"""The rows of networks and endpoints, as values.

A *network* is a row of its own; an *endpoint* is one container on one network, with the address it leases while it has
one; a *published port* is part of its container's row.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

#: The network of containers that name no other.
DEFAULT_NETWORK = "bridge"
#: The label of networks and volumes that belong to a session, with its id.
SESSION = "containerkit.session"


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
        return list(_subnets(self.subnet_rows))

    @property
    def options(self) -> dict[str, str]:
        """The driver's options."""
        return dict(json.loads(self.option_row))

    @property
    def labels(self) -> dict[str, str]:
        return dict(json.loads(self.label_row))


@lru_cache(1024)
def _subnets(rows: str) -> tuple[tuple[str, str, str], ...]:
    # Kept: a new network's subnet is compared with those of all others.
    return tuple((net, gateway, ip_range) for net, gateway, ip_range in json.loads(rows))


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


JOINED = """
SELECT e.container, e.network, e.place, e.wanted, e.wanted6, e.wanted_mac, e.aliases, e.address, e.address6, e.mac, n.*
FROM endpoints e LEFT JOIN networks n ON n.id = e.network
"""


def endpoint(row: sqlite3.Row) -> Endpoint:
    values = tuple(row)
    network = None if values[10] is None else NetworkRecord._make(values[10:])
    aliases = tuple(json.loads(values[6]))
    return Endpoint._make((*values[:2], network, *values[2:6], aliases, *values[7:10]))


class PublishedPort(NamedTuple):
    """A port of the host that leads to one of a container. ``host_ip`` is empty for all addresses of the host."""

    protocol: str
    host_ip: str
    host_port: int
    container_port: int
    address: str = ""
    address6: str = ""


def ports_of(text: str) -> list[PublishedPort]:
    """What :func:`written_ports` wrote."""
    return [PublishedPort._make(row) for row in json.loads(text)]


def written_ports(ports: Iterable[PublishedPort]) -> str:
    """Published ports as a container's row has them."""
    return json.dumps(list(ports))


def summary(labels: Mapping[str, str] | None) -> str:
    """Labels, or options, as a row has them."""
    return json.dumps(dict(labels or {}), sort_keys=True)
