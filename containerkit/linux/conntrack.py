"""What the kernel remembers of datagrams that were translated: ctnetlink, by hand.

A translation is looked up for the first datagram of a client; the others go where that one went, for as long as no 30
seconds pass without one. After a change of the translations that memory is wrong.

Sources: include/uapi/linux/netfilter/nfnetlink_conntrack.h; net/netfilter/nf_conntrack_netlink.c (CTA_FILTER: 5.8).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator

from containerkit.linux.netlink import NETLINK_NETFILTER, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, attribute

_CT_GET, _CT_DELETE = 1 << 8 | 1, 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK
_CTA_TUPLE_ORIG, _CTA_ZONE, _CTA_FILTER, _CTA_FILTER_ORIG_FLAGS = 1, 18, 25, 1
_CTA_TUPLE_PROTO, _CTA_PROTO_NUM, _CTA_PROTO_DST_PORT = 2, 1, 3
#: The filter's bit for the protocol.
_BY_PROTOCOL = 1 << 3
_HEADER, _NFGENMSG = struct.Struct("=IHHII"), struct.Struct("!BBH")


def forget(ports: Iterable[int]) -> None:
    """Look up anew where datagrams to these ports go. An answer that is on its way may be lost, as datagrams may.

    Raises:
        OSError: this kernel cannot be asked.
    """
    sought = set(ports)
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER) as channel:
        # Not for each port: when it is asked, the kernel walks through everything that it remembers.
        for family in (socket.AF_INET, socket.AF_INET6):
            for port, name in list(_flows(channel, family)):
                if port in sought:
                    _send(channel, _CT_DELETE, NLM_F_REQUEST, 0, family, name)


def _flows(channel: socket.socket, family: int) -> Iterator[tuple[int, bytes]]:
    """Of those of UDP the port that was sent to, and what names them: the tuple, and the zone."""
    protocol = attribute(_CTA_PROTO_NUM, bytes([socket.IPPROTO_UDP]))
    wanted = attribute(_CTA_TUPLE_ORIG, [attribute(_CTA_TUPLE_PROTO, [protocol])])
    wanted += attribute(_CTA_FILTER, [attribute(_CTA_FILTER_ORIG_FLAGS, _BY_PROTOCOL)])
    _send(channel, _CT_GET, NLM_F_REQUEST | NLM_F_DUMP, 1, family, wanted)
    while True:
        data = channel.recv(1 << 16)
        while len(data) >= 16:
            length, kind, _, number, _ = _HEADER.unpack_from(data)
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR and number:  # without one: what was to be deleted had gone
                raise OSError(-struct.unpack_from("=i", data, 16)[0], "connections cannot be listed")
            if kind != NLMSG_ERROR:
                found = dict(_attributes(data[20:length]))
                there = dict(_attributes(found[_CTA_TUPLE_ORIG][4:]))
                (port,) = struct.unpack_from(
                    "!H", dict(_attributes(there[_CTA_TUPLE_PROTO][4:]))[_CTA_PROTO_DST_PORT], 4
                )
                yield port, found[_CTA_TUPLE_ORIG] + found.get(_CTA_ZONE, b"")
            data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and bytes, with their header, of each."""
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3FFF, data[: (length + 3) & ~3]
        data = data[(length + 3) & ~3 :]


def _send(channel: socket.socket, kind: int, flags: int, number: int, family: int, attributes: bytes) -> None:
    body = _NFGENMSG.pack(family, 0, 0) + attributes
    channel.send(_HEADER.pack(16 + len(body), kind, flags, number, 0) + body)
