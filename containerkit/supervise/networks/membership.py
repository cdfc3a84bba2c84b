"""Networks, from the SDK's side: removed, restored; and what a container wants of them, before its start and after.

A new one is designed in ``design.py``.

What is done to the kernel is done by a worker (worker.py): a network namespace is a process's, and the
user's process has threads.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from containerkit.configuration import Configuration
from containerkit.errors import AlreadyExists, ContainerkitError, InvalidArgument, InvalidState, NotFound, Unsupported
from containerkit.linux import nftables
from containerkit.net import etcfiles
from containerkit.net.publishing import Wanted
from containerkit.oci.image_config import ContainerConfig
from containerkit.options import Settings
from containerkit.store.addresses import Subnet
from containerkit.store.containers import ALIVE, ContainerRecord
from containerkit.store.netrows import DEFAULT_NETWORK, Endpoint, NetworkRecord, Wish
from containerkit.store.store import Store
from containerkit.supervise import control, etc, linking, messages
from containerkit.supervise.messages import Networked
from containerkit.supervise.networks import bridging, design, segments, sharing

# -- the default -------------------------------------------------------------------------------------------------------


def default(store: Store, configuration: Configuration) -> NetworkRecord:
    """The network ``bridge``, made when it is not there: what containers are on that name no other.

    Raises:
        InvalidArgument: the configuration names a bridge that has no address, or one that cannot be.
    """
    try:
        record = store.networks.find(DEFAULT_NETWORK)
    except NotFound:
        record = None
    if record is not None and (not configuration.bridge or configuration.bridge == record.interface):
        return record
    if record is not None:
        # The configuration has changed: it moves when nobody is there.
        try:
            remove(store, record, built_in=True)
        except InvalidState:
            return record
    try:
        return store.networks.insert(design.default(store, configuration))
    except AlreadyExists:
        return store.networks.find(DEFAULT_NETWORK)


# -- removing, restoring -----------------------------------------------------------------------------------------------


def remove(store: Store, record: NetworkRecord, *, built_in: bool = False) -> None:
    """Remove a network that no running container is on.

    Raises:
        InvalidState: one is; or it is the default.
    """
    if record.name == DEFAULT_NETWORK and not built_in:
        raise InvalidState(f"network {record.name}: is built in (ck.prune() takes its bridge down when it is not used)")
    store.networks.delete(record.id)
    places = (str(store.paths.database), str(store.paths.root), store.paths.network_lock)
    sharing.call(store, bridging.take_down, *places, record)


def restore(store: Store) -> None:
    """Bridges, cables and firewall as the rows say."""
    paths = store.paths
    sharing.call(store, bridging.restore, str(paths.database), str(paths.root), paths.network_lock)


def prune(store: Store) -> list[str]:
    """Remove the networks that no container is on; the default's bridge, too, and with the last of them the firewall.

    Returns:
        The names of those that were removed, but the default.
    """
    found = []
    for record in store.networks.list():
        if store.networks.has_members(record.id):
            continue
        try:
            remove(store, record, built_in=True)
        except InvalidState:
            continue  # somebody has just started a container there
        found.append(record.name)
    return [name for name in found if name != DEFAULT_NETWORK]


# -- a container's -----------------------------------------------------------------------------------------------------


def possible(settings: Settings) -> Settings:
    """Of a container that names no network: on the default one, or on none where there can be no networks.

    What it wants of a network is not passed over: that it cannot be had is an error then.
    """
    wants = (settings.ports, settings.publish_all, settings.links, settings.ip, settings.network_aliases)
    if any(wants) or nftables.is_installed():
        return settings
    _warn_of_networks()
    return replace(settings, network="none", networks=())


@cache
def _warn_of_networks() -> None:
    """Once in a process."""
    warnings.warn(
        "containers are on no network: libnftables is not installed (apt-get install libnftables1)", RuntimeWarning,
        stacklevel=2,
    )  # fmt: skip


def wishes(store: Store, configuration: Configuration, settings: Settings) -> list[Wish]:
    """What a container wants of its networks.

    Raises:
        NotFound: there is no such network.
        InvalidArgument: an address that is not of the network.
    """
    found = []
    if settings.network in ("host", "none") and (settings.ports or settings.publish_all):
        why = "its ports are the host's already" if settings.network == "host" else "nothing reaches it"
        warnings.warn(f"ports: nothing is published: with network {settings.network!r} {why}", RuntimeWarning, 4)
    for place, name in enumerate(settings.networks if settings.network == "bridge" else ()):
        record = default(store, configuration) if name == DEFAULT_NETWORK else store.networks.find(name)
        ip = settings.ip if place == 0 else ()
        found.append(wish(record, ip, settings.network_aliases, settings.mac_address if place == 0 else ""))
    return found


def wish(record: NetworkRecord, ips: Sequence[str], aliases: Sequence[str], mac: str = "") -> Wish:
    """What a container wants of one network.

    Raises:
        InvalidArgument: an address that is not of the network; names on the default network.
    """
    if aliases and record.name == DEFAULT_NETWORK:
        raise InvalidArgument(f"network {record.name}: aliases: it has no names (create a network, and be there)")
    subnets = {one.version: one for one in (Subnet(*row) for row in record.subnets)}
    checked: dict[int, str] = {}
    for ip in ips:
        version = 6 if ":" in ip else 4
        if version not in subnets:
            raise InvalidArgument(f"network {record.name}: ip {ip}: it has no IPv{version}")
        checked[version] = subnets[version].check(ip, f"network {record.name}")
    return Wish(record.id, checked.get(4), checked.get(6), mac, tuple(aliases))


def networked(
    store: Store, settings: Settings, image: ContainerConfig, endpoints: Sequence[Endpoint]
) -> Networked | None:
    """What its monitor is told; None when it is on no network."""
    if settings.network != "bridge":
        return None
    return Networked(
        root=str(store.paths.root),
        lock=store.paths.network_lock,
        ports=tuple(wanted_ports(settings, image)),
        has_names=etc.has_resolver(settings, endpoints),
        servers=tuple(etcfiles.upstreams(etc.host_servers(), settings.dns)),
        links=tuple((alias, name) for name, alias in settings.links),
        serves_names=any(port == 53 for port, _ in linking.exposed(settings, image)),
    )


def wanted_ports(settings: Settings, image: ContainerConfig) -> Iterator[Wanted]:
    """What shall be published: what is said, and with publish_all every port that is exposed and not yet there."""
    for one in settings.ports:
        first = one.host_port or 0
        yield Wanted(one.protocol, one.host_ip, first, one.host_port_end or first, one.container_port)
    if settings.publish_all:
        there = {(one.container_port, one.protocol) for one in settings.ports}
        for port, protocol in linking.exposed(settings, image):
            if (port, protocol) not in there and protocol in ("tcp", "udp"):
                yield Wanted(protocol, "", 0, 0, port)


def check(record: ContainerRecord, settings: Settings, endpoints: Sequence[Endpoint]) -> None:
    """Refuse to publish where nothing passes this machine's firewall.

    Raises:
        Unsupported: ports of a container that is on macvlans, or internal networks, alone.
    """
    if not settings.ports or not endpoints:
        return
    serving = segments.serving(endpoints)
    if serving is None:
        raise Unsupported(
            f"container {record.name}: ports: on a macvlan it has an address of the outer network: it is reached there"
        )
    if serving.network is not None and serving.network.internal:
        raise Unsupported(
            f"container {record.name}: ports: network {serving.network.name} is internal: nothing from outside gets in"
            " (put it on another network, too)"
        )


# -- while it runs -----------------------------------------------------------------------------------------------------


def connect(store: Store, record: ContainerRecord, wish: Wish) -> None:
    """Put a container on one more network.

    Raises:
        InvalidState: its network is the host's, none or another container's; no address is free.
        RuntimeFailure: it could not be done; it is not on that network then.
    """
    settings = Settings.read(record.options)
    if settings.network != "bridge":
        raise InvalidState(f"container {record.name}: cannot connect: its network is {settings.network!r}")
    store.networks.connect(record.id, record.name, wish)
    try:
        _refresh(store, record, settings)
    except BaseException:
        store.networks.disconnect(record.id, wish.network)
        with contextlib.suppress(ContainerkitError):
            _refresh(store, record, settings)  # what it has of it already goes
        raise


def disconnect(store: Store, record: ContainerRecord, network: NetworkRecord) -> None:
    """Take a container off a network.

    Raises:
        NotFound: it is not there.
    """
    if not store.networks.disconnect(record.id, network.id):
        raise NotFound(f"container {record.name}: is not on network {network.name}")
    _refresh(store, record, Settings.read(record.options))


def _refresh(store: Store, record: ContainerRecord, settings: Settings) -> None:
    """Have its monitor, when there is one, do what the rows say, and its files say it."""
    try:
        with control.connect(store.paths.control(record.id)) as connection:
            messages.send_reply(connection, messages.Refresh())
            reply, _ = messages.receive_reply(connection)
    except OSError:
        reply = None
    if isinstance(reply, messages.Failed):
        raise reply.error(f"container {record.name}")
    if reply is not None:
        etc.write(store, record, settings)
        tell_linked(store, record)


def tell_linked(store: Store, record: ContainerRecord) -> None:
    """Its address may be another one now: those that are linked to it, and run, learn it."""
    for other in store.containers.linked():
        if other.state in ALIVE and other.id != record.id:
            settings = Settings.read(other.options)
            if any(name == record.name or record.id.startswith(name) for name, _ in settings.links):
                etc.write(store, other, settings)
