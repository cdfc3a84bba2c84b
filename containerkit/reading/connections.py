"""Where a container is to be reached: its endpoints on networks, and its published ports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from containerkit.errors import InvalidArgument
from containerkit.options.ports import expose
from containerkit.values import frozen

if TYPE_CHECKING:
    from containerkit.store.containers import ContainerRecord
    from containerkit.store.netrows import Endpoint as Row
    from containerkit.store.netrows import PublishedPort
    from containerkit.store.store import Store


@frozen
class Endpoint:
    """A container on one network.

    Args:
        network: the network's name.
        interface: its link in the container: ``eth0``.
        ip_address, ip6_address: while it runs; None otherwise, and where the network has none of the kind.
        mac_address: of that link, while it runs.
        gateway: the network's.
        aliases: its names there besides its own.
    """

    network: str
    interface: str
    ip_address: str | None
    ip6_address: str | None
    mac_address: str | None
    gateway: str | None
    aliases: tuple[str, ...]


def of(store: Store, record: ContainerRecord) -> dict[str, Endpoint]:
    """Network's name → endpoint, in the order of its interfaces."""
    return {found.network: found for found in map(_endpoint, store.networks.of_container(record.id))}


def _endpoint(row: Row) -> Endpoint:
    name = row.network.name if row.network is not None else row.network_id[:12]
    subnets = row.network.subnets if row.network is not None else []
    gateway = next((gateway for _, gateway, _ in subnets), None)
    return Endpoint(name, f"eth{row.place}", row.address, row.address6, row.mac, gateway, row.aliases)


def ports(published: Iterable[PublishedPort]) -> dict[str, list[tuple[str, int]]]:
    """``"80/tcp"`` → (address of the host, port), sorted. ``0.0.0.0`` is every address, of IPv6 too."""
    found: dict[str, list[tuple[str, int]]] = {}
    for one in sorted(published, key=lambda one: (one.container_port, one.protocol, one.host_ip, one.host_port)):
        key = f"{one.container_port}/{one.protocol}"
        found.setdefault(key, []).append((one.host_ip or "0.0.0.0", one.host_port))
    return found


def port(record: ContainerRecord, wanted: int | str) -> list[tuple[str, int]]:
    """Where one port of the container is published."""
    try:
        (key,) = expose([wanted], "port")
    except ValueError:
        raise InvalidArgument(f'port {wanted!r}: write one port, as 80 or "53/udp"') from None
    return ports(record.published).get(key, [])
