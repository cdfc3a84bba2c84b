"""Bridges and cables: links of the kernel, as the rows want them.

A bridge of ours is known by its hardware address, which it has from its first moment; ready it is when it has the
gateway's address. One that a person has made is taken as it is. A cable is named after its network and address: of two
that would have one address, the kernel makes only one, and the one that was left over by a namespace that is still
dying is cut.

Sources: ip-link(8), bridge(8), Documentation/networking/{bridge,vxlan,ip-sysctl}.rst.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Sequence

from containerkit.errors import RuntimeFailure, reason
from containerkit.linux import loopback, netlink
from containerkit.linux.namespaces import inside_network
from containerkit.values import frozen

_SIOCGIFADDR, _SIOCGIFHWADDR = 0x8915, 0x8927
_VXLAN_PORT = 4789


@frozen
class Vxlan:
    """A bridge that goes on at other hosts: its number, and where they are.

    Args:
        local: this host's address towards them; empty: as routes say.
        link: the link that leads there; empty: as routes say.
        port: of UDP.
    """

    number: int
    peers: tuple[str, ...]
    local: str = ""
    link: str = ""
    port: int = _VXLAN_PORT


@frozen
class Segment:
    """What containers of one network are plugged into.

    Args:
        kind: ``bridge`` or ``macvlan``.
        name: the bridge, or the link that macvlans are on top of.
        network: the network's id.
        gateways: (address, bits of the subnet) that the bridge has.
        mtu: of every link, 0 for the kernel's choice.
        isolated: its containers do not see each other.
        is_ours: we make it, and remove it.
        mode: of a macvlan.
    """

    kind: str
    name: str
    network: str
    gateways: tuple[tuple[str, int], ...] = ()
    mtu: int = 0
    isolated: bool = False
    is_ours: bool = True
    mode: str = "bridge"
    vxlan: Vxlan | None = None


@frozen
class Plug:
    """A container's end of a cable.

    Args:
        segment: where the other end is.
        name: ``eth0``.
        addresses: (address, bits of its subnet), leased.
        mac: its hardware address.
        routes: gateways of its default routes.
        hairpin: its bridge may send back to it what came from it: to a port that it publishes itself, where bridges'
            packets pass the firewall, too (module br_netfilter).
    """

    segment: Segment
    name: str
    addresses: tuple[tuple[str, int], ...]
    mac: str
    routes: tuple[str, ...] = ()
    hairpin: bool = False

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes it the same cable: routes come and go."""
        return self.name, self.segment.network, self.addresses, self.mac

    @property
    def cable(self) -> str:
        """The name of the end on this machine: 15 characters at most."""
        address = self.addresses[0][0]
        if ":" in address:
            return f"ck{self.segment.network[:5]}{socket.inet_pton(socket.AF_INET6, address)[-4:].hex()}"
        return f"ck{self.segment.network[:5]}{socket.inet_aton(address).hex()}"


# -- bridges -----------------------------------------------------------------------------------------------------------


def address_of(name: str) -> str:
    """The first IPv4 address of a link; empty when it has none or is not there."""
    answer = _asked(_SIOCGIFADDR, name)
    return socket.inet_ntoa(answer[20:24]) if answer else ""


def _asked(request: int, name: str) -> bytes:
    """What the kernel says of a link: netdevice(7); empty for nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as handle:
        try:
            return fcntl.ioctl(handle, request, struct.pack("16s24x", name.encode()[:15]))
        except OSError:
            return b""


def free_name() -> str:
    """A name that no bridge has: ``ck0``, ``ck1`` …"""
    return next(name for number in range(1 << 16) if not netlink.index_of(name := f"ck{number}"))


def is_foreign(segment: Segment) -> bool:
    """Whether a link of that name is there that is not ours."""
    there = _asked(_SIOCGIFHWADDR, segment.name)[18:24]
    return segment.is_ours and bool(there) and there.hex(":") != _mac(segment)


def _mac(segment: Segment) -> str:
    """A bridge's own: one that is not said would change with its ports, and neighbours would lose it."""
    address = segment.gateways[0][0]
    return "02:6b:" + socket.inet_pton(_family(address), address)[-4:].hex(":")


def is_ready(segment: Segment) -> bool:
    """Whether containers can be plugged in: the bridge is there, and is the one that is meant."""
    if segment.kind == "macvlan":
        return bool(netlink.index_of(segment.name))
    if not segment.is_ours:
        return _read(f"ipv4/conf/{segment.name}/route_localnet") == "1"
    first = next((address for address, _ in segment.gateways if ":" not in address), "")
    return address_of(segment.name) == first if first else bool(netlink.index_of(segment.name))


def make(segment: Segment) -> None:
    """Make the bridge, and whatever of it is missing. By the gateway's address, which comes last, it is known as ready.

    To be called when the firewall knows the bridge.

    Raises:
        RuntimeFailure: the kernel refuses; a link of that name is there and is not ours.
    """
    if segment.kind == "macvlan" or not (segment.is_ours or netlink.index_of(segment.name)):
        raise RuntimeFailure(f"network: link {segment.name}: there is none (its options name it)")
    try:
        _forward(segment)
        # For answers to 127.0.0.1, which was translated. The firewall keeps others out.
        if segment.is_ours:
            with netlink.Netlink() as kernel:
                _make_bridge(kernel, segment)
        else:
            _write(f"ipv4/conf/{segment.name}/route_localnet", "1")
    except OSError as error:
        raise RuntimeFailure(f"network: bridge {segment.name}: {reason(error)}", errno=error.errno) from error


def _make_bridge(kernel: netlink.Netlink, segment: Segment) -> None:
    bridge = netlink.new_link(segment.name, "bridge", mac=_mac(segment), mtu=segment.mtu, up=False, exist_ok=True)
    kernel.run(bridge)
    if is_foreign(segment):
        held = address_of(segment.name) or "without an address"
        raise RuntimeFailure(f"network: link {segment.name}: is there already ({held}), and somebody else's")
    _write(f"ipv4/conf/{segment.name}/route_localnet", "1")
    _believe_no_router(segment.name)
    if segment.vxlan is not None:
        _make_vxlan(kernel, segment, segment.vxlan)
    index = netlink.index_of(segment.name)
    kernel.run(
        netlink.set_link(segment.name, up=True),
        *(netlink.add_address(index, *one) for one in sorted(segment.gateways, key=lambda one: ":" not in one[0])),
    )


def _believe_no_router(name: str) -> None:
    """Take no addresses and routes from whoever says on that link that it is a router (CVE-2020-13401)."""
    for setting in ("accept_ra", "autoconf"):
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            _write(f"ipv6/conf/{name}/{setting}", "0")


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _make_vxlan(kernel: netlink.Netlink, segment: Segment, vxlan: Vxlan) -> None:
    data = [
        netlink.attribute(netlink.IFLA_VXLAN_ID, vxlan.number),
        netlink.attribute(netlink.IFLA_VXLAN_PORT, struct.pack("!H", vxlan.port)),
    ]
    if vxlan.local:
        data.append(netlink.attribute(netlink.IFLA_VXLAN_LOCAL, socket.inet_aton(vxlan.local)))
    if vxlan.link:
        data.append(netlink.attribute(netlink.IFLA_VXLAN_LINK, netlink.index_of(vxlan.link)))
    name = tunnel_of(segment)
    master = netlink.index_of(segment.name)
    kernel.run(netlink.new_link(name, "vxlan", data, master=master, mtu=segment.mtu, exist_ok=True))
    kernel.run(*(netlink.flood_to(netlink.index_of(name), peer) for peer in vxlan.peers))


def tunnel_of(segment: Segment) -> str:
    """The name of the vxlan on a bridge."""
    return f"ckx{segment.network[:10]}"


def _forward(segment: Segment) -> None:
    """Let this machine route for its containers."""
    if _read("ipv4/ip_forward") == "0":
        _write("ipv4/ip_forward", "1")
    if any(":" in address for address, _ in segment.gateways) and _read("ipv6/conf/all/forwarding") == "0":
        # A router takes no advertisements any more: whoever took some until now goes on.
        for name in os.listdir("/proc/sys/net/ipv6/conf"):
            if name not in ("all", "default", "lo") and _read(f"ipv6/conf/{name}/accept_ra") == "1":
                _write(f"ipv6/conf/{name}/accept_ra", "2")
        _write("ipv6/conf/all/forwarding", "1")


def _read(name: str) -> str:
    try:
        with open(f"/proc/sys/net/{name}") as file:
            return file.read().strip()
    except OSError:
        return ""


def _write(name: str, value: str) -> None:
    with open(f"/proc/sys/net/{name}", "w") as file:
        file.write(value)


def remove(segment: Segment) -> None:
    """Remove what :func:`make` made."""
    if segment.kind == "macvlan":
        return
    if not segment.is_ours:
        if netlink.index_of(segment.name):
            _write(f"ipv4/conf/{segment.name}/route_localnet", "0")
        return
    with netlink.Netlink() as kernel:
        if segment.vxlan is not None:
            kernel.run(netlink.delete_link(tunnel_of(segment)))
        if not is_foreign(segment):
            kernel.run(netlink.delete_link(segment.name))


# -- cables ------------------------------------------------------------------------------------------------------------


def plug_in(network: int, plugs: Sequence[Plug]) -> None:
    """Connect a container's network namespace, a descriptor: links, addresses, routes, in this order.

    Raises:
        OSError: the kernel refuses.
    """
    with netlink.Netlink() as kernel:
        for plug in plugs:
            _lay(kernel, network, plug)
    with inside_network(network):
        configure(plugs)


def _lay(kernel: netlink.Netlink, network: int, plug: Plug) -> None:
    segment = plug.segment
    if segment.kind == "macvlan":
        mode = netlink.attribute(netlink.IFLA_MACVLAN_MODE, netlink.MACVLAN_MODES[segment.mode])
        link = netlink.index_of(segment.name)
        # Two containers' eth0 would be one name, while they are still here: it gets its name over there.
        kernel.run(
            netlink.new_link(
                plug.name, "macvlan", [mode], link=link, mac=plug.mac, mtu=segment.mtu, up=False, network=network
            )
        )
        return
    peer = netlink.veth_peer(plug.name, network, mac=plug.mac, mtu=segment.mtu)
    index = netlink.index_of(segment.name)
    # Up when it is quiet: every packet to all is one to each of some hundred others on the bridge.
    cable = [
        netlink.new_link(plug.cable, "veth", [peer], master=index, mtu=segment.mtu, up=False),
        netlink.set_quiet(plug.cable),
        netlink.set_link(plug.cable, up=True),
    ]
    cable += _as_port(plug)
    try:
        kernel.run(*cable)
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
        kernel.run(netlink.delete_link(plug.cable))
        kernel.run(*cable)


def _as_port(plug: Plug) -> list[netlink.Message]:
    """How its end on this machine behaves as a port of the bridge, where not as any."""
    if not plug.segment.isolated and not plug.hairpin:
        return []
    return [netlink.set_port(plug.cable, isolated=plug.segment.isolated, hairpin=plug.hairpin)]


def configure(plugs: Sequence[Plug]) -> None:
    """The container's part: its links up, with addresses and routes. To be called in its namespace."""
    loopback.bring_up()
    with netlink.Netlink() as kernel:
        wishes = []
        for plug in plugs:
            index = netlink.index_of(plug.name)
            if not any(":" in address for address, _ in plug.addresses):
                with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
                    _write(f"ipv6/conf/{plug.name}/disable_ipv6", "1")
            _believe_no_router(plug.name)
            wishes += [netlink.add_address(index, address, bits) for address, bits in plug.addresses]
            wishes.append(netlink.set_link(plug.name, up=True))
            wishes += [netlink.default_route(gateway, index) for gateway in plug.routes]
        kernel.run(*wishes)


def unplug(network: int, names: Sequence[str]) -> None:
    """Take links away from a container's network namespace; those that are not there are no error."""
    with inside_network(network), netlink.Netlink() as kernel:
        kernel.run(*(netlink.delete_link(name) for name in names))


def put_back(segment: Segment, plugs: Sequence[Plug]) -> None:
    """Plug cables that are still there into a bridge that had gone."""
    index = netlink.index_of(segment.name)
    with netlink.Netlink() as kernel, contextlib.suppress(OSError):
        there = [plug for plug in plugs if netlink.index_of(plug.cable)]
        kernel.run(*(netlink.set_link(plug.cable, master=index, up=True, absent_ok=True) for plug in there))
        kernel.run(*(message for plug in there for message in _as_port(plug)))


def route(plugs: Sequence[Plug]) -> None:
    """The default routes as ``plugs`` want them, and no others. To be called in the container's namespace."""
    there = [(plug, netlink.index_of(plug.name)) for plug in plugs]
    with netlink.Netlink() as kernel:
        kernel.run(
            *(netlink.delete_default_route(":" in one, index) for plug, index in there for one, _ in plug.addresses),
            *(netlink.default_route(gateway, index) for plug, index in there for gateway in plug.routes),
        )
