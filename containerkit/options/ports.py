"""The grammar of ports: which of the host's lead to which of a container's, and which a container says it serves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from containerkit.errors import InvalidArgument, Unsupported
from containerkit.options.values import ip_address


class PortMapping(NamedTuple):
    """A port of the host that leads to a port of a container: ``PortMapping(80, host_port=8080)``.

    Args:
        container_port: 1 to 65535.
        protocol: ``"tcp"`` or ``"udp"``.
        host_ip: the address of the host at which it is reached; ``""`` for all of them.
        host_port: 1 to 65535; None for any free one.
        host_port_end: with it, the first free one from ``host_port`` to this one is taken.
    """

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int | None = None
    host_port_end: int | None = None

    def __str__(self) -> str:
        """As ``docker run --publish`` takes it; :func:`ports` reads it again."""
        host = "" if self.host_port is None else str(self.host_port)
        if self.host_port_end is not None:
            host += f"-{self.host_port_end}"
        front = f"{_bracketed(self.host_ip)}:{host}:" if self.host_ip else f"{host}:" if host else ""
        return f"{front}{self.container_port}/{self.protocol}"


Ports = str | int | PortMapping | Sequence[str | int | PortMapping] | Mapping[int, Any] | Mapping[str, Any]
Exposed = str | int | Sequence[str | int]

_PROTOCOLS = ("tcp", "udp")
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_HIGHEST = 65535


def ports(value: Any, option: str = "ports") -> tuple[PortMapping, ...]:
    """What is published, one mapping for each port.

    Args:
        value: one or a list of: ``80`` and ``"80"`` (any free port of the host), ``"8080:80"``,
            ``"127.0.0.1:8080:80"``, ``"127.0.0.1::80"``, ``"[::1]:8080:80"``; ``"8000-8010:80"`` (the first free one),
            ``"8000-8002:80-82"`` (in pairs), ``"80-82"``; each with ``"/udp"`` where wanted; a :class:`PortMapping`.
            Or a mapping from the container's port to the host's: ``{80: 8080}``, ``{80: [8080, 8081]}``,
            ``{"53/udp": ("127.0.0.1", 5353)}``, ``{80: "127.0.0.1:8080"}``, ``{80: None}``.

    Raises:
        InvalidArgument: not a port, ranges of unequal length, or one port of the host twice.
        Unsupported: a protocol that is neither TCP nor UDP.
    """
    found: list[PortMapping] = []
    for item in _items(value, option):
        found += [_checked(item, option)] if isinstance(item, PortMapping) else _published(item, option)
    _refuse_clashes(found, option)
    return tuple(found)


def expose(value: Any, option: str = "expose") -> tuple[str, ...]:
    """``("80/tcp", …)``, as an image's ``ExposedPorts`` has them, of ``80``, ``"53/udp"``, ``"7000-7010"``.

    Raises:
        InvalidArgument: not a port.
        Unsupported: a protocol that is neither TCP nor UDP.
    """
    found: dict[str, None] = {}
    for item in _listed(value, option):
        text, slash, protocol = _text(item, option).partition("/")
        known = _protocol(protocol if slash else "tcp", f"{option} {item!r}")
        first, last = _range(text, f"{option} {item!r}")
        found.update(dict.fromkeys(f"{port}/{known}" for port in range(first, last + 1)))
    return tuple(found)


def _items(value: Any, option: str) -> Iterator[str | PortMapping]:
    """What was given, in the forms that docker writes."""
    if isinstance(value, Mapping):
        for port, hosts in value.items():
            for host in _several(hosts):
                yield _text(port, option) if host is None else f"{_host(host, option)}:{_text(port, option)}"
    else:
        for item in _listed(value, option):
            yield item if isinstance(item, PortMapping) else _text(item, option)


def _listed(value: Any, option: str) -> Sequence[Any]:
    """A list; one port alone cannot mean anything else."""
    if isinstance(value, (str, int, PortMapping)):
        return [value]
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return value
    raise InvalidArgument(f'{option} {value!r}: expected a list like ["8080:80"], or a mapping like {{80: 8080}}')


def _text(item: Any, option: str) -> str:
    if isinstance(item, (str, int)) and not isinstance(item, bool):
        return str(item)
    raise InvalidArgument(f'{option} {item!r}: expected a port number, or a text like "8080:80"')


def _several(hosts: Any) -> Sequence[Any]:
    """The host's side in a mapping: one, or several. A pair with an address is one."""
    is_list = isinstance(hosts, Sequence) and not isinstance(hosts, (str, bytes, PortMapping))
    return hosts if is_list and not _is_pair(hosts) else [hosts]


def _is_pair(host: Any) -> bool:
    is_tuple = isinstance(host, tuple) and len(host) == 2 and isinstance(host[0], str)
    return is_tuple and (host[0] == "" or ip_address(host[0]) != "")


def _host(host: Any, option: str) -> str:
    if not _is_pair(host):
        return _text(host, option)
    address, port = host
    return f"{_bracketed(address)}:{'' if port is None else _text(port, option)}"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _published(said: str, option: str) -> list[PortMapping]:
    """The mappings of one text."""
    what = f"{option} {said!r}"
    text, slash, word = said.partition("/")
    front, _, inside = text.rpartition(":")
    address, host = _outside(front, what)
    protocol = _protocol(word if slash else "tcp", what)
    first, last = _range(inside, what)
    if host in ("", "0"):
        return [PortMapping(port, protocol, address) for port in range(first, last + 1)]
    low, high = _range(host, what)
    if first == last:
        return [PortMapping(first, protocol, address, low, high if high > low else None)]
    if high - low != last - first:
        raise InvalidArgument(f'{what}: ranges of unequal length; write as many of the host, as "8000-8002:80-82"')
    return [PortMapping(first + n, protocol, address, low + n) for n in range(last - first + 1)]


def _outside(front: str, what: str) -> tuple[str, str]:
    """The host's address and ports, of what stands before the container's."""
    if (ip_address(front) and "." in front) or front.endswith("]"):
        raise InvalidArgument(f'{what}: the host\'s port is missing; write "{front}:8080:80", or "{front}::80" for any')
    address, _, host = front.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        return _address(address[1:-1], what), host
    if ":" in address:
        raise InvalidArgument(f'{what}: write an IPv6 address in brackets, as "[::1]:8080:80"')
    return _address(address, what), host


def _address(address: str, what: str) -> str:
    found = ip_address(address)
    if address and not found:
        raise InvalidArgument(f"{what}: {address!r}: not an address of this host; write an IPv4 or IPv6 address")
    return found


def _protocol(word: str, what: str) -> str:
    if word.lower() == "sctp":
        raise Unsupported(f'{what}: sctp is not passed on; write "/tcp" or "/udp"')
    if word.lower() not in _PROTOCOLS:
        raise InvalidArgument(f'{what}: {word!r}: not a protocol; write "/tcp" or "/udp"')
    return word.lower()


def _range(text: str, what: str) -> tuple[int, int]:
    """The first and the last port of ``"80"`` or ``"80-82"``."""
    match = _RANGE.fullmatch(text)
    if match is None:
        raise InvalidArgument(f'{what}: {text!r}: not a port; write it as "80", "8080:80" or "127.0.0.1:8080:80/udp"')
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last <= _HIGHEST:
        raise InvalidArgument(f"{what}: {text}: ports go from 1 to {_HIGHEST}, and a range from the lower one up")
    return first, last


def _checked(given: PortMapping, option: str) -> PortMapping:
    """A mapping that a person has put together, as :func:`_published` would have."""
    what = f"{option} {given!r}"
    if not isinstance(given.host_ip, str) or not isinstance(given.protocol, str):
        raise InvalidArgument(f"{what}: host_ip and protocol are strings")
    low, high = given.host_port or None, given.host_port_end
    if high is not None and low is None:
        raise InvalidArgument(f"{what}: host_port_end needs host_port, the first of the range")
    for port in (given.container_port, *filter(None, (low, high))):
        if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= _HIGHEST:
            raise InvalidArgument(f"{what}: {port!r}: expected a whole number from 1 to {_HIGHEST}")
    if low is not None and high is not None and high < low:
        raise InvalidArgument(f"{what}: host_port_end is below host_port")
    protocol, address = _protocol(given.protocol, what), _address(given.host_ip, what)
    return PortMapping(given.container_port, protocol, address, low, None if high == low else high)


def _refuse_clashes(found: Sequence[PortMapping], option: str) -> None:
    """One port of one address leads to one place. Of a range another one may be taken."""
    taken: dict[tuple[str, int], list[PortMapping]] = {}
    for mapping in found:
        if mapping.host_port is None or mapping.host_port_end is not None:
            continue
        others = taken.setdefault((mapping.protocol, mapping.host_port), [])
        for other in others:
            if overlap(mapping.host_ip, other.host_ip):
                raise InvalidArgument(f"{option}: {other} and {mapping} want the same port of the host")
        others.append(mapping)


def overlap(one: str, other: str) -> bool:
    """Whether one port cannot be taken at both addresses of the host; an empty text is all of them."""
    if one == other or "" in (one, other):
        return True
    same_family = (":" in one) == (":" in other)
    return same_family and bool({"0.0.0.0", "::"} & {one, other})
