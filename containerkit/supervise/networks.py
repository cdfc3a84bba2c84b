"""Networks, from the SDK's side: made, removed, restored; and what a container wants of them, before its start.

What is done to the kernel is done by a child of the spawner (worker.py): a network namespace is a process's, and the
user's process has threads.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from containerkit.configuration import Configuration
from containerkit.errors import AlreadyExists, ContainerkitError, InvalidArgument, InvalidState, NotFound, Unsupported
from containerkit.linux import netlink, nftables
from containerkit.linux.routes import host_routes
from containerkit.net import etcfiles, links, outside
from containerkit.net.publishing import Wanted
from containerkit.oci.image_config import ContainerConfig
from containerkit.options import Settings
from containerkit.store import addresses, rights
from containerkit.store.addresses import Subnet
from containerkit.store.containers import ALIVE, ContainerRecord
from containerkit.store.netrows import DEFAULT_NETWORK, Endpoint, NetworkRecord, Wish, summary
from containerkit.store.store import Store
from containerkit.supervise import bridging, control, etc, linking, messages, names, segments, sharing
from containerkit.supervise.messages import Networked

DRIVERS = ("bridge", "macvlan", "vxlan")
#: Docker's names of options → ours.
_DOCKER = {
    "com.docker.network.bridge.name": "bridge_name",
    "com.docker.network.bridge.enable_icc": "icc",
    "com.docker.network.bridge.enable_ip_masquerade": "masquerade",
    "com.docker.network.driver.mtu": "mtu",
    "macvlan_mode": "mode",
}
#: Driver → its options.
_OPTIONS = {
    "bridge": {"bridge_name", "icc", "masquerade", "mtu"},
    "macvlan": {"parent", "mode", "mtu"},
    "vxlan": {"bridge_name", "icc", "masquerade", "mtu", "vni", "peers", "local", "device", "port"},
}
_TRUTHS = {"true": "true", "1": "true", "yes": "true", "false": "false", "0": "false", "no": "false"}


# -- making ------------------------------------------------------------------------------------------------------------


def create(
    store: Store,
    name: str,
    *,
    driver: str,
    subnets: Sequence[str],
    gateways: Sequence[str],
    ranges: Sequence[str],
    internal: bool,
    ipv6: bool,
    labels: Mapping[str, str] | None,
    options: Mapping[str, Any] | None,
) -> NetworkRecord:
    """A new network: its row; its bridge is made when the first container needs it.

    Raises:
        AlreadyExists: the name is taken.
        InvalidArgument: what cannot be right; a subnet that the host or another network has.
    """
    subject = f"network {name}"
    if driver not in DRIVERS:
        raise InvalidArgument(f"{subject}: driver {driver!r}: expected {', '.join(DRIVERS)}")
    if rights.is_needed and driver != "bridge":
        raise Unsupported(f"{subject}: driver {driver}: is root's: it takes links of this machine")
    records = store.networks.list()
    if any(record.name == name for record in records):
        raise AlreadyExists(f"{subject}: exists already (exist_ok=True takes it as it is)")
    chosen = _options(subject, driver, options or {})
    id = names.random_id()
    interface = chosen.pop("parent", "") or chosen.pop("bridge_name", "") or f"ck-{id[:10]}"
    _check_interface(subject, driver, interface)
    _refuse_others(subject, driver, interface, records)
    found = _subnets(store, subject, driver, interface, subnets, gateways, ranges, ipv6)
    record = NetworkRecord(
        0, id, name, driver, interface, summary_of(found), int(internal), summary(chosen), summary(labels), 0.0
    )
    return store.networks.insert(record)


def summary_of(subnets: Sequence[Subnet]) -> str:
    """Subnets as a row has them."""
    import json

    return json.dumps([[one.net, one.gateway, one.ip_range] for one in subnets])


def _options(subject: str, driver: str, given: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, value in given.items():
        short = _DOCKER.get(name, name)
        if short not in _OPTIONS[driver]:
            known = ", ".join(sorted(_OPTIONS[driver]))
            raise InvalidArgument(f"{subject}: option {name}: unknown to driver {driver} (known are {known})")
        text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        if short in ("icc", "masquerade"):
            if text.lower() not in _TRUTHS:
                raise InvalidArgument(f"{subject}: option {name} {value!r}: expected True or False")
            text = _TRUTHS[text.lower()]
        if short in ("mtu", "vni", "port"):
            low, high = {"mtu": (68, 65535), "vni": (1, 2**24 - 1), "port": (1, 65535)}[short]
            if not text.isdigit() or not low <= int(text) <= high:
                raise InvalidArgument(
                    f"{subject}: option {name} {value!r}: expected a whole number from {low} to {high}"
                )
        found[short] = text
    _check_driver(subject, driver, found)
    return found


def _check_driver(subject: str, driver: str, found: Mapping[str, str]) -> None:
    needed = {"macvlan": ("parent",), "vxlan": ("vni", "peers")}.get(driver, ())
    for name in needed:
        if not found.get(name):
            raise InvalidArgument(f"{subject}: driver {driver}: needs the option {name}")
    if found.get("mode", "bridge") not in netlink.MACVLAN_MODES:
        raise InvalidArgument(f"{subject}: option mode {found['mode']!r}: expected {', '.join(netlink.MACVLAN_MODES)}")
    for peer in found.get("peers", "").split(",") if driver == "vxlan" else ():
        if not peer.strip() or ":" in peer or not etcfiles.is_address(peer.strip()):
            raise InvalidArgument(f"{subject}: option peers: {peer!r}: not an IPv4 address")


def _refuse_others(subject: str, driver: str, name: str, records: Sequence[NetworkRecord]) -> None:
    """A bridge is one network's, and no link that is there already."""
    if driver == "macvlan":
        return
    if netlink.index_of(name):
        raise InvalidArgument(f"{subject}: option bridge_name: there is a link {name} already (choose another name)")
    for other in records:
        if other.interface == name:
            raise InvalidArgument(f"{subject}: option bridge_name: {name} is network {other.name}'s")


def _check_interface(subject: str, driver: str, name: str) -> None:
    if not 0 < len(name) < 16 or "/" in name or not name.isprintable() or " " in name or name in (".", ".."):
        raise InvalidArgument(f"{subject}: link {name!r}: not a name that a link can have")
    if driver == "macvlan" and not netlink.index_of(name):
        raise InvalidArgument(f"{subject}: option parent: there is no link {name}")


def _subnets(
    store: Store,
    subject: str,
    driver: str,
    interface: str,
    subnets: Sequence[str],
    gateways: Sequence[str],
    ranges: Sequence[str],
    ipv6: bool,
) -> list[Subnet]:
    found = [addresses.read(net, _of(net, gateways), _of(net, ranges), subject) for net in subnets]
    for text in (*gateways, *ranges):
        if not any((":" in text) == (one.version == 6) for one in found):
            raise InvalidArgument(f"{subject}: {text}: needs a subnet of its own kind")
    if len({one.version for one in found}) < len(found):
        raise InvalidArgument(f"{subject}: subnet: one of IPv4 and one of IPv6 at most")
    # A macvlan is in the subnet of its parent: that is what it is for.
    others = dict(taken(store, unless=interface if driver == "macvlan" else ""))
    for one in found:
        if other := addresses.clash(one.net, others):
            raise InvalidArgument(f"{subject}: subnet {one.net}: clashes with {other} ({others[other]})")
    if driver == "macvlan" and not found:
        raise InvalidArgument(f"{subject}: driver macvlan: needs the subnet of its parent, and the gateway there")
    if driver != "macvlan" and not any(one.version == 4 for one in found):
        found.insert(0, addresses.choose(list(others), str(store.paths.root)))
    if ipv6 and not any(one.version == 6 for one in found):
        found.append(addresses.choose6(f"{store.paths.root}/{subject}"))
    return found


def _of(net: str, texts: Sequence[str]) -> str:
    """The one that is of the same kind as the subnet."""
    return next((text for text in texts if (":" in text) == (":" in net)), "")


def taken(store: Store, unless: str = "") -> Iterator[tuple[str, str]]:
    """Subnets that are not free, and whose they are; those of the link ``unless`` are left out."""
    records = store.networks.list()
    for record in records:
        if record.interface != unless:
            yield from ((net, f"network {record.name}") for net, _, _ in record.subnets)
    known = {record.interface for record in records} | {unless}
    yield from ((net, f"this machine's link {link}") for net, link in host_routes() if link not in known)
    if rights.is_needed:
        yield outside.SUBNET, "the way out of an ordinary user's networks"


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
        return store.networks.insert(_default(store, configuration))
    except AlreadyExists:
        return store.networks.find(DEFAULT_NETWORK)


def _default(store: Store, configuration: Configuration) -> NetworkRecord:
    name, subject = configuration.bridge, f"network {DEFAULT_NETWORK}"
    options = {"mtu": configuration.bridge_mtu} if configuration.bridge_mtu else {}
    found = _of_existing(subject, name) if name and not rights.is_needed else None
    if found is not None:
        options["existing"] = "true"
    elif configuration.bridge_address:
        gateway, _, bits = configuration.bridge_address.partition("/")
        net = addresses.around(gateway, bits or "24", f"configuration: bridge_address {configuration.bridge_address}")
        found = addresses.read(net, gateway, "", subject)
        if other := addresses.clash(net, others := dict(taken(store))):
            raise InvalidArgument(f"{subject}: subnet {net}: clashes with {other} ({others[other]})")
    else:
        found = addresses.choose([net for net, _ in taken(store)], str(store.paths.root))
    if not name:
        name, options["movable"] = links.free_name(), "true"
    _check_interface(subject, "bridge", name)
    id = names.random_id()
    return NetworkRecord(
        0, id, DEFAULT_NETWORK, "bridge", name, summary_of([found]), 0, summary(options), summary({}), 0.0
    )


def _of_existing(subject: str, name: str) -> Subnet | None:
    """The subnet of a bridge that somebody has made; None when there is none of that name."""
    if not netlink.index_of(name):
        return None
    if not os.path.isdir(f"/sys/class/net/{name}/bridge"):
        raise InvalidArgument(f"configuration: bridge {name}: is a link, but no bridge")
    address = links.address_of(name)
    net = next((net for net, link in host_routes() if link == name and addresses.holds(net, address)), "")
    if not address or not net:
        raise InvalidArgument(f"configuration: bridge {name}: has no IPv4 address with a subnet")
    return addresses.read(net, address, "", subject)


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
