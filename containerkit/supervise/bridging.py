"""What the networks of an engine's containers share: bridges, and the firewall; made as the rows say, under one lock.

Done by monitors, when a start finds something missing, and by children of the spawner for the SDK. Nothing here is
remembered: what is to be there is in the rows, and what is there the kernel is asked.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from containerkit.errors import ContainerkitError, RuntimeFailure
from containerkit.net import links
from containerkit.net.firewall import Firewall
from containerkit.store.containers import ALIVE, Containers
from containerkit.store.database import Database
from containerkit.store.netrows import NetworkRecord, PublishedPort, ports_of
from containerkit.store.networks import Networks
from containerkit.supervise import segments


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold the lock of those who make bridges or lay the firewall: a file of the run directory."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make(networks: Networks, root: str, id: str) -> None:
    """Make a network's bridge, under the lock: with its place in the firewall, and the cables that hung on it before.

    Raises:
        RuntimeFailure: the kernel refuses; a link of that name is somebody else's.
    """
    record = networks.read(id)
    if record is None or links.is_ready(segments.segment(record)):
        return
    while True:
        try:
            links.make(segments.segment(record))
            break
        except RuntimeFailure:
            if not segments.may_move(record) or not links.is_foreign(segments.segment(record)):
                raise
        # Another engine was faster with the name that was free when the network was made.
        _let(root, record, False)
        record = record._replace(interface=links.free_name())
        networks.use_interface(id, record.interface)
    _let(root, record, True)
    serving = {container for _, container, _ in published(networks.database)}
    links.put_back(
        segments.segment(record),
        [plug for one in networks.of_network(id) for plug in segments.plugs([one], publishes=one.container in serving)],
    )


def _let(root: str, record: NetworkRecord, is_there: bool) -> None:
    """Have a network's bridge in the firewall, or not, where that is laid."""
    bridge, firewall = segments.bridge(record), Firewall(root)
    if bridge is not None and firewall.is_laid():
        firewall.add_bridge(bridge) if is_there else firewall.remove_bridge(bridge)


def lay(database: Database, root: str) -> None:
    """Lay the firewall anew, under the lock, as the rows say: all networks, and what is published."""
    bridges = [bridge for record in Networks(database).list() if (bridge := segments.bridge(record)) is not None]
    ports = [port for _, _, found in published(database) for port in found]
    Firewall(root).lay(bridges, segments.translations(ports))


def published(database: Database) -> Iterator[tuple[str, str, list[PublishedPort]]]:
    """Name, id and published ports of the containers that live."""
    for record in Containers(database).list():
        if record.state in ALIVE and record.ports != "[]":
            yield record.name, record.id, ports_of(record.ports)


def restore(database: str, root: str, lock: str) -> None:
    """Everything as the rows say: bridges of networks that are in use, their cables, the firewall."""
    rows = Database(database)
    networks = Networks(rows)
    with locked(lock):
        for record in {one.network for one in networks.leased() if one.network is not None}:
            try:
                make(networks, root, record.id)
            except ContainerkitError:
                if record.driver != "macvlan":
                    raise
        lay(rows, root)


def missing(root: str, records: Sequence[NetworkRecord]) -> list[str]:
    """What networks that are in use need and is not there, in words."""
    found = [f"no bridge {record.interface}" for record in records if not links.is_ready(segments.segment(record))]
    if any(segments.bridge(record) is not None for record in records) and not Firewall(root).is_laid():
        found.append("our table is gone (somebody has reloaded the firewall)")
    return found


def forget(root: str, ports: Sequence[PublishedPort]) -> None:
    """What a killed monitor had published is translated no more."""
    firewall = Firewall(root)
    if firewall.is_laid():
        for one in segments.translations(ports):
            firewall.remove([one])


def take_down(database: str, root: str, lock: str, record: NetworkRecord) -> None:
    """Remove the bridge of a network whose row is gone, and what the firewall knows of it; with the last one, all."""
    with locked(lock):
        links.remove(segments.segment(record))
        if Networks(Database(database)).list():
            _let(root, record, False)
        elif Firewall(root).is_laid():
            Firewall(root).take_down()
