"""Where this network namespace knows ways to: proc_net(5)."""

from __future__ import annotations

import socket
import struct


def host_routes() -> list[tuple[str, str]]:
    """Subnets that this network namespace has ways to, with the link; not the default ones (proc_net(5))."""
    found = []
    with open("/proc/net/route") as file:
        for line in file.read().splitlines()[1:]:
            columns = line.split()
            link, target, mask = columns[0], columns[1], columns[7]
            bits = int(mask, 16).bit_count()
            if bits:
                found.append((f"{socket.inet_ntoa(struct.pack('=I', int(target, 16)))}/{bits}", link))
    try:
        with open("/proc/net/ipv6_route") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return found
    for line in lines:
        columns = line.split()
        target, prefix, link = columns[0], int(columns[1], 16), columns[-1]
        # Not the default, not what is local to every link, not multicast, not single addresses.
        if 8 < prefix < 128 and not target.startswith("fe80"):
            found.append((f"{socket.inet_ntop(socket.AF_INET6, bytes.fromhex(target))}/{prefix}", link))
    return found


def own_address() -> str:
    """The IPv4 address that this network namespace is seen with from elsewhere; empty when there is no way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            # Nothing is sent. Of TEST-NET-3 (RFC 5737): nobody is there, and the default route leads there.
            probe.connect(("203.0.113.1", 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])
