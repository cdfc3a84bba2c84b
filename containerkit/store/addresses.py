"""Subnets and their addresses: what a person may ask for, what clashes, what is chosen when nobody asks. Pure.

Source: RFC 1918 (private IPv4), RFC 4193 (unique local IPv6).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import accumulate

from containerkit.errors import InvalidArgument
from containerkit.values import frozen

Net = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Where subnets are taken from when nobody says, and how large.
_POOLS = ("10.192.0.0/12", "172.24.0.0/13", "192.168.128.0/17")
_SIZE = 20


@frozen
class Subnet:
    """One subnet of a network.

    Args:
        net: ``10.192.0.0/20``.
        gateway: this machine's address in it; empty: none.
        ip_range: what is given to containers; the whole subnet when empty.
    """

    net: str
    gateway: str
    ip_range: str = ""

    @property
    def version(self) -> int:
        return 6 if ":" in self.net else 4

    @property
    def prefix(self) -> int:
        return int(self.net.rpartition("/")[2])

    def address(self, number: int) -> str:
        """The address that is so many after the beginning of the range."""
        return str(ipaddress.ip_network(self.ip_range or self.net)[number])

    def numbers(self) -> range:
        """Those of the addresses that may be leased, counted from the beginning of the range."""
        whole, part = ipaddress.ip_network(self.net), ipaddress.ip_network(self.ip_range or self.net)
        # Where a part of the subnet begins or ends with it: the subnet's own address and broadcast are nobody's.
        edge = part.version == 6 or whole.prefixlen >= 31
        first = int(part[0] == whole[0] and whole.num_addresses > 2)
        last = part.num_addresses - int(part[-1] == whole[-1] and not edge)
        return range(first, min(last, 1 << 32))

    def check(self, address: str, subject: str) -> str:
        """``address`` as it is written down.

        Raises:
            InvalidArgument: it is none, none of this subnet, or nobody's to take.
        """
        try:
            found, net = ipaddress.ip_address(address), ipaddress.ip_network(self.net)
        except ValueError as error:
            raise InvalidArgument(f"{subject}: {error}") from error
        if found not in net:
            raise InvalidArgument(f"{subject}: ip {address}: not in the subnet {self.net}")
        if str(found) == self.gateway:
            raise InvalidArgument(f"{subject}: ip {address}: is the gateway's")
        if net.num_addresses > 2 and (found == net[0] or (net.version == 4 and found == net[-1])):
            raise InvalidArgument(f"{subject}: ip {address}: is the subnet's own")
        return str(found)


def read(net: str, gateway: str, ip_range: str, subject: str) -> Subnet:
    """A subnet as a person asks for it.

    Args:
        gateway: default: the first address.
        ip_range: a part of the subnet; empty for all of it.

    Raises:
        InvalidArgument: one of them is not what it should be, or not in the subnet.
    """
    whole = _network(net, f"{subject}: subnet")
    if whole.num_addresses < 2:
        hint = "" if "/" in net else f'; write how large it is: "{net}/24"'
        raise InvalidArgument(f"{subject}: subnet {net}: too small for a gateway and a container{hint}")
    if ip_range:
        part = _network(ip_range, f"{subject}: ip_range")
        if part.version != whole.version or not part.subnet_of(whole):  # type: ignore[arg-type]  # same version
            raise InvalidArgument(f"{subject}: ip_range {ip_range}: not in the subnet {net}")
    if not gateway:
        gateway = str(whole[1 if whole.num_addresses > 2 else 0])
    try:
        if ipaddress.ip_address(gateway) not in whole:
            raise InvalidArgument(f"{subject}: gateway {gateway}: not in the subnet {net}")
    except ValueError as error:
        raise InvalidArgument(f"{subject}: gateway: {error}") from error
    return Subnet(str(whole), str(ipaddress.ip_address(gateway)), ip_range and str(ipaddress.ip_network(ip_range)))


def _network(text: str, subject: str) -> Net:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        near = ""
        with suppress(ValueError):
            near = f" (did you mean {ipaddress.ip_network(text, strict=False)}?)"
        raise InvalidArgument(f"{subject} {text!r}: {error}{near}") from error


def around(address: str, bits: str, subject: str) -> str:
    """The subnet of so many bits that ``address`` is in.

    Raises:
        InvalidArgument: not an address, or no such subnet.
    """
    try:
        return str(ipaddress.ip_network(f"{address}/{bits}", strict=False))
    except ValueError as error:
        raise InvalidArgument(f"{subject}: {error}") from error


def holds(net: str, address: str) -> bool:
    """Whether an address is in a subnet; an empty one is in none."""
    return bool(address) and ipaddress.ip_address(address) in ipaddress.ip_network(net)


def clash(net: str, others: Iterable[str]) -> str:
    """The first of ``others`` that shares addresses with ``net``; empty for none."""
    own = ipaddress.ip_network(net)
    for other in others:
        there = ipaddress.ip_network(other, strict=False)
        if there.version == own.version and there.overlaps(own):
            return other
    return ""


def choose(taken: Sequence[str], seed: str) -> Subnet:
    """A subnet of the pools that clashes with none of ``taken``; engines with other seeds begin elsewhere.

    Raises:
        InvalidArgument: all are taken.
    """
    used = sorted({_bounds(one) for one in taken if ":" not in one})
    begins, ends = [first for first, _ in used], list(accumulate((last for _, last in used), max))
    for first, last in _candidates(zlib.crc32(seed.encode())):
        # Of those that begin before its end, the one that goes furthest: there may be hundreds.
        before = bisect_right(begins, last)
        if not before or ends[before - 1] < first:
            gateway = ipaddress.IPv4Address(first + 1)
            return Subnet(str(ipaddress.IPv4Network((first, _SIZE))), str(gateway))
    raise InvalidArgument('network: no free subnet is left: name one, as subnet="10.20.30.0/24"')


@lru_cache(4096)
def _bounds(net: str) -> tuple[int, int]:
    """The first and the last address of a subnet."""
    found = ipaddress.ip_network(net, strict=False)
    return int(found[0]), int(found[-1])


def _candidates(seed: int) -> Iterator[tuple[int, int]]:
    step = 1 << 32 - _SIZE
    for pool in _POOLS:
        low, high = _bounds(pool)
        count = (high + 1 - low) // step
        for number in range(count):
            first = low + (seed + number) % count * step
            yield first, first + step - 1


def choose6(seed: str) -> Subnet:
    """A unique local /64: forty bits of it are the seed's, as RFC 4193 has it, and sixteen."""
    number = zlib.crc32(seed.encode()) | zlib.crc32(seed[::-1].encode()) << 32
    net = ipaddress.IPv6Network(((0xFD << 120) | ((number & (1 << 56) - 1) << 64), 64))
    return Subnet(str(net), str(net[1]))


def mac_of(address: str) -> str:
    """The hardware address of whoever has ``address``: neighbours that knew the last one who had it know this one."""
    if ":" in address:
        raw = struct.pack("!I", zlib.crc32(socket.inet_pton(socket.AF_INET6, address)))
    else:
        raw = socket.inet_aton(address)
    return "02:6b:" + raw.hex(":")
