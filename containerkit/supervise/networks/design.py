"""A new network's row: what a person asks for is checked, and what nobody says is chosen. Nothing is made here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from containerkit.configuration import Configuration
from containerkit.errors import AlreadyExists, InvalidArgument, Unsupported
from containerkit.linux import netlink
from containerkit.linux.routes import host_routes
from containerkit.net import etcfiles, links, outside
from containerkit.store import addresses, rights
from containerkit.store.addresses import Subnet
from containerkit.store.netrows import DEFAULT_NETWORK, NetworkRecord, summary
from containerkit.store.store import Store
from containerkit.supervise import names

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


def row(
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
    """The row of a new network; nothing is written yet.

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
    found = _subnets(store, records, subject, driver, interface, subnets, gateways, ranges, ipv6)
    record = NetworkRecord(
        0, id, name, driver, interface, _summary_of(found), int(internal), summary(chosen), summary(labels), 0.0
    )
    return record


def _summary_of(subnets: Sequence[Subnet]) -> str:
    """Subnets as a row has them."""
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
            if not re.fullmatch(r"[0-9]{1,8}", text) or not low <= int(text) <= high:
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
    records: Sequence[NetworkRecord],
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
    others = dict(_taken(records, unless=interface if driver == "macvlan" else ""))
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


def _taken(records: Sequence[NetworkRecord], unless: str = "") -> Iterator[tuple[str, str]]:
    """Subnets that are not free, and whose they are; those of the link ``unless`` are left out."""
    for record in records:
        if record.interface != unless:
            yield from ((net, f"network {record.name}") for net, _, _ in record.subnets)
    known = {record.interface for record in records} | {unless}
    yield from ((net, f"this machine's link {link}") for net, link in host_routes() if link not in known)
    if rights.is_needed:
        yield outside.SUBNET, "the way out of an ordinary user's networks"


def default(store: Store, configuration: Configuration) -> NetworkRecord:
    """The row of the default network: as the configuration says, or a free bridge and subnet.

    Raises:
        InvalidArgument: the configuration names a bridge that has no address, or one that cannot be.
    """
    name, subject = configuration.bridge, f"network {DEFAULT_NETWORK}"
    options = {"mtu": configuration.bridge_mtu} if configuration.bridge_mtu else {}
    found = _of_existing(subject, name) if name and not rights.is_needed else None
    if found is not None:
        options["existing"] = "true"
    elif configuration.bridge_address:
        gateway, _, bits = configuration.bridge_address.partition("/")
        net = addresses.around(gateway, bits or "24", f"configuration: bridge_address {configuration.bridge_address}")
        found = addresses.read(net, gateway, "", subject)
        if other := addresses.clash(net, others := dict(_taken(store.networks.list()))):
            raise InvalidArgument(f"{subject}: subnet {net}: clashes with {other} ({others[other]})")
    else:
        found = addresses.choose([net for net, _ in _taken(store.networks.list())], str(store.paths.root))
    if not name:
        name, options["movable"] = links.free_name(), "true"
    _check_interface(subject, "bridge", name)
    id = names.random_id()
    return NetworkRecord(
        0, id, DEFAULT_NETWORK, "bridge", name, _summary_of([found]), 0, summary(options), summary({}), 0.0
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
