"""Links, addresses and routes: rtnetlink(7), by hand, for the path of a start.

A library's high-level calls cost a millisecond each, and importing it a hundred; several messages in one sendmsg(2)
cost the kernel's work alone. What is only looked at, when somebody wants to see it, is read by a library (netview.py).

Sources: netlink(7), rtnetlink(7), veth(4), include/uapi/linux/{netlink,rtnetlink,if_link,if_addr,if_bridge}.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Sequence

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
NLMSG_ERROR, NLMSG_DONE, NLM_F_DUMP = 2, 3, 0x300
NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 1, 4, 0x100, 0x200, 0x400, 0x800
RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_DELROUTE, RTM_NEWNEIGH = 16, 17, 20, 24, 25, 28
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO, IFLA_NET_NS_FD = 1, 3, 4, 5, 10, 18, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA, VETH_INFO_PEER = 1, 2, 4, 5, 1
IFLA_MACVLAN_MODE, IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED = 1, 4, 33
IFLA_VXLAN_ID, IFLA_VXLAN_LINK, IFLA_VXLAN_LOCAL, IFLA_VXLAN_PORT = 1, 3, 4, 15
IFLA_AF_SPEC, IFLA_INET6_ADDR_GEN_MODE = 26, 8
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS, IFA_F_NODAD = 1, 2, 4, 8, 0x02
RTA_OIF, RTA_GATEWAY = 4, 5
NDA_DST, NDA_LLADDR, NUD_PERMANENT, NTF_SELF = 1, 2, 0x80, 0x02
RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST = 254, 3, 0, 1
IFF_UP = 1
NLA_F_NESTED = 0x8000
#: Modes of a macvlan.
MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}

_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")

_Value = bytes | int | str


def attribute(kind: int, value: _Value | Iterable[bytes]) -> bytes:
    """One attribute: bytes as they are, a whole number as 32 bits, a text with its NUL, others as what is nested."""
    if isinstance(value, int):
        data = struct.pack("=I", value)
    elif isinstance(value, str):
        data = value.encode() + b"\0"
    elif isinstance(value, bytes):
        data = value
    else:
        kind, data = kind | NLA_F_NESTED, b"".join(value)
    return struct.pack("=HH", len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


class Message:
    """One request; ``ignored`` are errnos that are as good as success."""

    def __init__(self, kind: int, flags: int, body: bytes, ignored: Sequence[int] = (), subject: str = "") -> None:
        self.kind, self.flags, self.body, self.ignored, self.subject = kind, flags, body, ignored, subject


def new_link(
    name: str,
    kind: str,
    data: Iterable[bytes] = (),
    *,
    master: int = 0,
    link: int = 0,
    mac: str = "",
    mtu: int = 0,
    up: bool = True,
    network: int = -1,
    exist_ok: bool = False,
) -> Message:
    """Make a link.

    Args:
        kind: ``bridge``, ``veth``, ``macvlan``, ``vxlan`` …
        data: the kind's own attributes.
        master: the index of the bridge it is a port of.
        link: the index of the link it is on top of.
        network: a descriptor of the network namespace that it shall be in, if not in this one.
    """
    own = list(data)
    information = [attribute(IFLA_INFO_KIND, kind), *([attribute(IFLA_INFO_DATA, own)] if own else ())]
    attributes = [*_described(name, mac, mtu), attribute(IFLA_LINKINFO, information)]
    for number, value in ((IFLA_MASTER, master), (IFLA_LINK, link)):
        if value:
            attributes.append(attribute(number, value))
    if network >= 0:
        attributes.append(attribute(IFLA_NET_NS_FD, network))
    body = _LINK.pack(0, 0, 0, IFF_UP * up, IFF_UP * up) + b"".join(attributes)
    ignored = (errno.EEXIST,) if exist_ok else ()
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, ignored, f"link {name}")


def _described(name: str, mac: str, mtu: int) -> list[bytes]:
    found = [attribute(IFLA_IFNAME, name)]
    if mac:
        found.append(attribute(IFLA_ADDRESS, bytes.fromhex(mac.replace(":", ""))))
    if mtu:
        found.append(attribute(IFLA_MTU, mtu))
    return found


def veth_peer(name: str, network: int, *, mac: str = "", mtu: int = 0, index: int = 0) -> bytes:
    """A veth's own attribute: its other end, in the network namespace of a descriptor; ``index`` 0 for any."""
    # Down: while the pair is being made, an end that comes up finds no other (drivers/net/veth.c: veth_open).
    body = _LINK.pack(0, 0, index, 0, 0) + b"".join(_described(name, mac, mtu))
    return attribute(VETH_INFO_PEER, body + attribute(IFLA_NET_NS_FD, network))


def set_link(name: str, *, up: bool | None = None, master: int | None = None, absent_ok: bool = False) -> Message:
    """Change a link: up or down, whose port it is."""
    attributes = attribute(IFLA_IFNAME, name)
    if master is not None:
        attributes += attribute(IFLA_MASTER, master)
    body = _LINK.pack(0, 0, 0, IFF_UP * bool(up), 0 if up is None else IFF_UP) + attributes
    return Message(RTM_NEWLINK, 0, body, (errno.ENODEV,) if absent_ok else (), f"link {name}")


def set_quiet(name: str) -> Message:
    """Let a link have no IPv6 address of its own making, and so no words with its neighbours about it."""
    mode = attribute(IFLA_INET6_ADDR_GEN_MODE, b"\1")  # IN6_ADDR_GEN_MODE_NONE
    body = _LINK.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name)
    body += attribute(IFLA_AF_SPEC, [attribute(socket.AF_INET6 | NLA_F_NESTED, mode)])
    # A kernel without IPv6 has nothing to be quiet about.
    return Message(RTM_NEWLINK, 0, body, (errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL), f"link {name}")


def set_port(name: str, *, isolated: bool = False, hairpin: bool = False) -> Message:
    """How a link behaves as a port of its bridge.

    Args:
        isolated: it sees none but those that are not isolated (bridge(8), "isolated").
        hairpin: what came from it may go back to it (bridge(8), "hairpin").
    """
    data = [attribute(IFLA_BRPORT_MODE, bytes([hairpin])), attribute(IFLA_BRPORT_ISOLATED, bytes([isolated]))]
    information = [attribute(IFLA_INFO_SLAVE_KIND, "bridge"), attribute(IFLA_INFO_SLAVE_DATA, data)]
    body = _LINK.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name) + attribute(IFLA_LINKINFO, information)
    return Message(RTM_NEWLINK, 0, body, (), f"link {name}")


def delete_link(name: str) -> Message:
    """Remove a link; one that is not there is no error."""
    body = _LINK.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name)
    return Message(RTM_DELLINK, 0, body, (errno.ENODEV,), f"link {name}")


def _family(address: str) -> tuple[int, bytes]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.inet_pton(family, address)


def add_address(index: int, address: str, prefix: int) -> Message:
    """Give a link an address; IPv6 without asking whether somebody else has it: it is leased.

    Args:
        prefix: how many bits the subnet has.
    """
    family, raw = _family(address)
    attributes = attribute(IFA_LOCAL, raw) + attribute(IFA_ADDRESS, raw)
    if family == socket.AF_INET6:
        attributes += attribute(IFA_FLAGS, IFA_F_NODAD)
    elif prefix < 31:
        (number,) = struct.unpack("!I", raw)
        attributes += attribute(IFA_BROADCAST, struct.pack("!I", number | (0xFFFFFFFF >> prefix)))
    body = struct.pack("=BBBBi", family, prefix, 0, 0, index) + attributes
    return Message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body, (), f"address {address}/{prefix}")


def default_route(gateway: str, index: int) -> Message:
    """The way to everywhere."""
    family, raw = _family(gateway)
    body = _route(family) + attribute(RTA_GATEWAY, raw) + attribute(RTA_OIF, index)
    return Message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body, (), f"route by {gateway}")


def delete_default_route(is_v6: bool, index: int) -> Message:
    """No way to everywhere by that link; that there is none is no error."""
    body = _route(socket.AF_INET6 if is_v6 else socket.AF_INET) + attribute(RTA_OIF, index)
    return Message(RTM_DELROUTE, 0, body, (errno.ESRCH, errno.ENODEV), f"route by link {index}")


def _route(family: int) -> bytes:
    return struct.pack(
        "=BBBBBBBBI", family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0
    )  # fmt: skip


def flood_to(index: int, peer: str) -> Message:
    """A vxlan sends what it knows no receiver of to ``peer``, too (bridge(8), "fdb append")."""
    _, raw = _family(peer)
    body = struct.pack("=BxxxiHBB", socket.AF_BRIDGE, index, NUD_PERMANENT, NTF_SELF, 0)
    attributes = attribute(NDA_LLADDR, bytes(6)) + attribute(NDA_DST, raw)
    return Message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_APPEND, body + attributes, (errno.EEXIST,), f"peer {peer}")


class Netlink:
    """A socket in the network namespace that this process is in when it is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._count = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def run(self, *messages: Message) -> None:
        """Send all in one go; the kernel does them in order.

        Raises:
            OSError: the first that failed; the others have been tried too.
        """
        if not messages:
            return
        first, parts = self._count + 1, []
        for message in messages:
            self._count += 1
            flags = message.flags | NLM_F_REQUEST | NLM_F_ACK
            parts.append(_HEADER.pack(16 + len(message.body), message.kind, flags, self._count, 0) + message.body)
        self._socket.send(b"".join(parts))
        problem: OSError | None = None
        waiting = len(messages)
        while waiting:
            data = self._socket.recv(65536)
            while len(data) >= 16:
                length, kind, _, number, _ = _HEADER.unpack_from(data)
                if kind == NLMSG_ERROR and number >= first:
                    waiting -= 1
                    (code,) = struct.unpack_from("=i", data, 16)
                    message = messages[number - first]
                    if code and -code not in message.ignored and problem is None:
                        problem = OSError(-code, f"{message.subject}: {os.strerror(-code)}")
                data = data[(length + 3) & ~3 :]
        if problem is not None:
            raise problem


def index_of(name: str) -> int:
    """The index of a link, 0 when there is none: if_nametoindex(3)."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0
