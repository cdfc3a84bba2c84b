"""What a network namespace looks like: its interfaces, routes and neighbours, read with pyroute2.

The only module that imports pyroute2, and only when it is asked: the path of a start is written by hand (netlink.py).
To be called in a process of its own: it enters the namespace and stays there, and pyroute2 runs an event loop.

Sources: rtnetlink(7), include/uapi/linux/{if,if_arp,if_link,rtnetlink,neighbour}.h.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from containerkit.linux.namespaces import CLONE_NEWNET, setns
from containerkit.values import frozen

_IFF_UP = 0x1
_RT_TABLE_MAIN = 254
_ARPHRD = {1: "ethernet", 772: "loopback", 65534: "tun"}
_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
_ORIGINS = {2: "kernel", 3: "boot", 4: "static", 9: "ra", 16: "dhcp"}
_STATES = {1: "incomplete", 2: "reachable", 4: "stale", 8: "delay", 16: "probe", 32: "failed", 128: "permanent"}
_RTN_UNICAST = 1
_REFUSALS = {6: "blackhole", 7: "unreachable", 8: "prohibit"}


@frozen
class Interface:
    """A link of a container, as ``ip address`` shows it.

    Args:
        name: ``eth0``.
        kind: ``loopback``, ``veth`` (one end of a cable), ``macvlan``, ``bridge`` … ``ethernet`` for a device.
        up: whether it is switched on.
        mac: its hardware address; empty for those that have none.
        mtu: the most bytes of a packet.
        addresses: with the bits of their subnet: ``10.1.0.2/24``; IPv4 first.
        master: the bridge that it is a port of.
        peer: this machine's link at the other end of the cable, or the one that it is on top of.
    """

    name: str
    kind: str
    up: bool
    mac: str
    mtu: int
    addresses: tuple[str, ...]
    master: str | None
    peer: str | None


@frozen
class Route:
    """A way that a container knows, as ``ip route`` shows it.

    Args:
        destination: a subnet, or ``default`` for everything else.
        gateway: who takes it on from there; None: the destination is on that link itself.
        interface: by which link.
        source: the address that what leaves has, where that is said.
        scope: ``global``, ``link``, ``host``.
        origin: who made it: ``kernel``, ``boot`` (at the start), ``static``, ``ra``, ``dhcp``.
        metric: of two ways, the one with less is gone.
    """

    destination: str
    gateway: str | None
    interface: str | None
    source: str | None
    scope: str
    origin: str
    metric: int


@frozen
class Neighbour:
    """Whose hardware address a container knows, as ``ip neighbour`` shows it.

    Args:
        address: the neighbour's.
        mac: its hardware address; None: nobody has answered.
        interface: by which link.
        state: ``reachable``, ``stale``, ``incomplete``, ``failed``, ``permanent`` …
    """

    address: str
    mac: str | None
    interface: str
    state: str


def interfaces(pid: int) -> list[Interface]:
    """The links in the network namespace of a process, in the order of their making, loopback first."""
    # Before: an ordinary user who has gone in does not come back.
    outside = [] if _is_ours(pid) else _links()
    with _kernel(pid) as kernel:
        links = sorted(kernel.get_links(), key=lambda one: one["index"])
        # What leads far comes first, what is local to the link last.
        addresses = sorted(kernel.get_addr(), key=lambda one: (one["family"], one["scope"]))
    names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in links}
    return [
        Interface(
            name=names[link["index"]],
            kind=_kind(link),
            up=bool(link["flags"] & _IFF_UP),
            mac=_mac(link),
            mtu=link.get_attr("IFLA_MTU"),
            addresses=tuple(_address(one) for one in addresses if one["index"] == link["index"]),
            master=names.get(link.get_attr("IFLA_MASTER")),
            peer=_peer(link, names, outside),
        )
        for link in links
    ]


def routes(pid: int) -> list[Route]:
    """The ways of the main table, IPv4 first, the default one first; not what is local or for many."""
    with _kernel(pid) as kernel:
        names = _names(kernel)
        table = kernel.get_routes(table=_RT_TABLE_MAIN)
        found = [one for one in table if one["type"] in (_RTN_UNICAST, *_REFUSALS)]
    found.sort(key=lambda one: (one["family"], one["dst_len"] > 0, one.get_attr("RTA_DST") or "", _metric(one)))
    return [
        Route(
            destination=_destination(one),
            gateway=one.get_attr("RTA_GATEWAY"),
            interface=names.get(one.get_attr("RTA_OIF")),
            source=one.get_attr("RTA_PREFSRC"),
            scope=_SCOPES.get(one["scope"], str(one["scope"])),
            origin=_ORIGINS.get(one["proto"], str(one["proto"])),
            metric=_metric(one),
        )
        for one in found
    ]


def neighbours(pid: int) -> list[Neighbour]:
    """Those that were spoken to of late, IPv4 first, by address; not groups, and not loopback's."""
    with _kernel(pid) as kernel:
        names = _names(kernel)
        found = [one for one in kernel.get_neighbours() if one["state"] in _STATES]
    rows = [
        Neighbour(
            address=one.get_attr("NDA_DST"),
            mac=one.get_attr("NDA_LLADDR"),
            interface=names.get(one["ifindex"], ""),
            state=_STATES[one["state"]],
        )
        for one in found
    ]
    return sorted(rows, key=lambda one: (":" in one.address, _packed(one.address)))


# -- reading -----------------------------------------------------------------------------------------------------------


@contextmanager
def _kernel(pid: int) -> Iterator[Any]:
    """pyroute2's socket, in the network namespace of a process; that is where we are afterwards."""
    from pyroute2 import IPRoute

    # An ordinary user may not enter the machine's network, and need not: that of a container with network="host".
    if not _is_ours(pid):
        network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(network, CLONE_NEWNET)
        finally:
            os.close(network)
    with IPRoute() as kernel:
        yield kernel


def _is_ours(pid: int) -> bool:
    return os.path.samestat(os.stat(f"/proc/{pid}/ns/net"), os.stat("/proc/self/ns/net"))


def _links() -> list[Any]:
    from pyroute2 import IPRoute

    with IPRoute() as kernel:
        return list(kernel.get_links())


def _names(kernel: Any) -> dict[int, str]:
    return {link["index"]: link.get_attr("IFLA_IFNAME") for link in kernel.get_links()}


def _peer(link: Any, names: dict[int, str], outside: list[Any]) -> str | None:
    index = link.get_attr("IFLA_LINK")
    if not index or index == link["index"]:
        return None
    if link.get_attr("IFLA_LINK_NETNSID") is None:
        return names.get(index)
    for other in outside:
        # The two ends of a cable know each other's index; of a third namespace's link, the same index is another one.
        ends = ("veth", link["index"])
        if other["index"] == index and (_kind(link) != "veth" or (_kind(other), other.get_attr("IFLA_LINK")) == ends):
            return str(other.get_attr("IFLA_IFNAME"))
    return None


def _kind(link: Any) -> str:
    return link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or _ARPHRD.get(link["ifi_type"], "other")


def _mac(link: Any) -> str:
    text = str(link.get_attr("IFLA_ADDRESS") or "")
    return text if text.strip("0:") else ""


def _address(one: Any) -> str:
    # Of a link to one other (tun), IFA_ADDRESS is the other's.
    return f"{one.get_attr('IFA_LOCAL') or one.get_attr('IFA_ADDRESS')}/{one['prefixlen']}"


def _destination(route: Any) -> str:
    bits, target = route["dst_len"], route.get_attr("RTA_DST")
    text = f"{target}/{bits}" if bits else "default"
    return f"{_REFUSALS[route['type']]} {text}" if route["type"] in _REFUSALS else text


def _metric(route: Any) -> int:
    return route.get_attr("RTA_PRIORITY") or 0


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
