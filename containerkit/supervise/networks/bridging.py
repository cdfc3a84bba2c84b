"""What the networks of an engine's containers share: bridges, and the firewall; made as the rows say, under one lock.

Done by monitors, when a start finds something missing, and by workers for the SDK. Nothing here is
remembered: what is to be there is in the rows, and what is there the kernel is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from containerkit.errors import RuntimeFailure
from containerkit.linux.files import locked
from containerkit.net import links
from containerkit.net.firewall import Firewall
from containerkit.store.containers import ALIVE, ContainerRecord, Containers
from containerkit.store.database import Database
from containerkit.store.leases import Leases
from containerkit.store.netrows import NetworkRecord, PublishedPort, ports_of
from containerkit.store.networks import Networks
from containerkit.supervise.networks import segments


def make(networks: Networks, root: str, id: str, *, again: bool = False) -> None:
    """Make a network's bridge, under the lock: with its place in the firewall, and the cables that hung on it before.

    Args:
        again: also when it seems to be ready.

    Raises:
        RuntimeFailure: the kernel refuses; a link of that name is somebody else's.
    """
    record = networks.read(id)
    if record is None or (links.is_ready(segments.segment(record)) and not again):
        return
    while segments.may_move(record) and links.is_foreign(segments.segment(record)):
        record = _move(networks, root, record)
    # First: what a bridge may route is safe with the firewall only.
    if not links.is_foreign(segments.segment(record)):
        _let(root, record, True)
    try:
        links.make(segments.segment(record))
    except RuntimeFailure:
        _let(root, record, False)
        if segments.may_move(record) and links.is_foreign(segments.segment(record)):
            make(networks, root, id)  # another engine was faster
            return
        raise
    serving = {container for _, container, _ in published(networks.database, root)}
    links.put_back(
        segments.segment(record),
        [plug for one in networks.of_network(id) for plug in segments.plugs([one], publishes=one.container in serving)],
    )


def _move(networks: Networks, root: str, record: NetworkRecord) -> NetworkRecord:
    """Another name for a bridge: the one that was free when its network was made is taken now."""
    _let(root, record, False)
    record = record._replace(interface=links.free_name())
    networks.use_interface(record.id, record.interface)
    return record


def _let(root: str, record: NetworkRecord, is_there: bool) -> None:
    """Have a network's bridge in the firewall, or not, where that is laid."""
    bridge, firewall = segments.bridge(record), Firewall(root)
    if bridge is not None and firewall.is_laid():
        firewall.add_bridge(bridge) if is_there else firewall.remove_bridge(bridge)


def lay(database: Database, root: str) -> None:
    """Lay the firewall anew, under the lock, as the rows say: the networks that are there, and what is published."""
    bridges = [
        bridge
        for record in Networks(database).list()
        if (bridge := segments.bridge(record)) is not None and links.is_ready(segments.segment(record))
    ]
    ports = [port for _, _, found in published(database, root) for port in found]
    Firewall(root).lay(bridges, segments.translations(ports))


def published(database: Database, root: str) -> Iterator[tuple[str, str, list[PublishedPort]]]:
    """Name, id and published ports of the containers that live, and whose monitor does."""
    for record, is_held in _publishing(database, root):
        if is_held:
            yield record.name, record.id, ports_of(record.ports)


def killed(database: Database, root: str) -> list[PublishedPort]:
    """The published ports of containers whose monitor was killed, and nobody has cleaned up yet."""
    return [port for record, is_held in _publishing(database, root) if not is_held for port in ports_of(record.ports)]


def _publishing(database: Database, root: str) -> Iterator[tuple[ContainerRecord, bool]]:
    """The containers with published ports that live by their rows, and whether somebody has their lease."""
    leases = Leases(f"{root}/leases")
    try:
        for record in Containers(database).publishing():
            if record.state in ALIVE:
                yield record, leases.is_held(record.id)
    finally:
        leases.close()


def restore(database: str, root: str, lock: str) -> None:
    """Everything as the rows say: bridges of networks that are in use, their cables, the firewall."""
    rows = Database(database)
    networks = Networks(rows)
    with locked(lock):
        lay(rows, root)
        for record in {one.network for one in networks.leased() if one.network is not None}:
            if record.driver != "macvlan":
                make(networks, root, record.id, again=True)


def missing(root: str, records: Sequence[NetworkRecord]) -> list[str]:
    """What networks that are in use need and is not there, in words."""
    found = [f"no bridge {record.interface}" for record in records if not links.is_ready(segments.segment(record))]
    if any(segments.bridge(record) is not None for record in records) and not Firewall(root).is_laid():
        found.append("our table is gone (somebody has reloaded the firewall)")
    return found


def forget(database: str, root: str, id: str, ports: Sequence[PublishedPort]) -> None:
    """What a container whose monitor was killed had published is translated no more, but what is another one's by now.

    Args:
        id: the container's: its lease is held by whoever cleans up after it.
    """
    firewall = Firewall(root)
    if not firewall.is_laid():
        return
    living = published(Database(database), root)
    taken = {one[:3] for _, other, found in living if other != id for one in found}
    for one in segments.translations([port for port in ports if port[:3] not in taken]):
        firewall.remove([one])


def take_down(database: str, root: str, lock: str, record: NetworkRecord) -> None:
    """Remove the bridge of a network whose row is gone, and what the firewall knows of it; with the last one, all."""
    with locked(lock):
        others = Networks(Database(database)).list()
        if any(other.interface == record.interface for other in others):
            return  # somebody has made a network since, which has this bridge now
        links.remove(segments.segment(record))
        if others:
            _let(root, record, False)
        elif Firewall(root).is_laid():
            Firewall(root).take_down()
