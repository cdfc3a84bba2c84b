"""Links (``docker run --link``): what a container learns of another in its environment, and who starts first.

Its name in ``/etc/hosts`` is etc.py's, on networks with names the resolver's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from containerkit.errors import InvalidState, NotFound
from containerkit.oci.image_config import ContainerConfig
from containerkit.options import Settings
from containerkit.store.containers import ALIVE, ContainerRecord
from containerkit.store.store import Store
from containerkit.supervise import configjson, recover

#: Of the other's variables, those that mean nothing elsewhere.
_OWN = ("PATH", "HOME", "HOSTNAME", "TERM")


def targets(store: Store, record: ContainerRecord, settings: Settings) -> list[tuple[ContainerRecord, str]]:
    """The containers that it is linked to, and their aliases.

    Raises:
        NotFound: there is no such container.
        InvalidState: one does not run, or is on none of its networks.
    """
    found = []
    mine = {one.network_id for one in store.networks.of_container(record.id)}
    for name, alias in settings.links:
        other = recover.truth(store, store.containers.find(name))
        if other is None or other.state not in ALIVE:
            raise InvalidState(f"container {record.name}: cannot link to {name}: it does not run (start it first)")
        if not mine & {one.network_id for one in store.networks.of_container(other.id)}:
            raise InvalidState(f"container {record.name}: cannot link to {name}: they are on no network together")
        found.append((other, alias))
    return found


def environment(store: Store, record: ContainerRecord, links: Sequence[tuple[ContainerRecord, str]]) -> dict[str, str]:
    """Docker's variables of links on the default network: addresses, ports, and the other's own variables."""
    found: dict[str, str] = {}
    for other, alias in links:
        address = next((one.address for one in store.networks.of_container(other.id) if one.address), None)
        if address is not None:
            found.update(_of_one(store, record, other, alias, address))
    return found


def _of_one(
    store: Store, record: ContainerRecord, other: ContainerRecord, alias: str, address: str
) -> Iterator[tuple[str, str]]:
    prefix = alias.upper().replace("-", "_").replace(".", "_")
    try:
        image = store.images.get(other.image)
    except NotFound:
        image = None  # removed by force
    ports = exposed(Settings.read(other.options), None if image is None else image.config.config)
    for place, (port, protocol) in enumerate(ports):
        url = f"{protocol}://{address}:{port}"
        if place == 0:
            yield f"{prefix}_PORT", url
        name = f"{prefix}_PORT_{port}_{protocol.upper()}"
        yield name, url
        yield f"{name}_ADDR", address
        yield f"{name}_PORT", str(port)
        yield f"{name}_PROTO", protocol
    yield f"{prefix}_NAME", f"/{record.name}/{alias}"
    for pair in configjson.read(store, other.id).process.env:
        variable, _, value = pair.partition("=")
        if variable not in _OWN:
            yield f"{prefix}_ENV_{variable}", value


def exposed(settings: Settings, image: ContainerConfig | None) -> list[tuple[int, str]]:
    """The ports that a container says it serves: the image's, its own, and those it publishes; (port, protocol)."""
    config = (image.exposed_ports if image is not None else None) or {}
    found = {
        (int(port), protocol or "tcp")
        for text in (*config, *settings.expose)
        for port, _, protocol in (text.partition("/"),)
        if re.fullmatch(r"[0-9]{1,5}", port)
    }
    found |= {(one.container_port, one.protocol) for one in settings.ports}
    return sorted(found, key=lambda one: (one[0], one[1]))


def in_order(records: Sequence[ContainerRecord]) -> list[ContainerRecord]:
    """Those that others are linked to, or whose network they join, before these."""
    by_name = {name: record for record in records for name in (record.name, record.id)}
    found: dict[str, ContainerRecord] = {}

    def visit(record: ContainerRecord, above: tuple[str, ...]) -> None:
        if record.id in found or record.id in above:
            return
        settings = Settings.read(record.options)
        needed = [name for name, _ in settings.links]
        for choice in (settings.network, settings.pid, settings.ipc, settings.uts):
            kind, _, name = choice.partition(":")
            needed += [name] if kind == "container" else []
        for name in needed:
            if name in by_name:
                visit(by_name[name], (*above, record.id))
        found[record.id] = record

    for record in records:
        visit(record, ())
    return list(found.values())
