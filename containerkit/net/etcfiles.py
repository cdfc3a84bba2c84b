"""The texts of a container's /etc/hosts, /etc/resolv.conf and /etc/hostname.

The host's resolv.conf is read as resolv.conf(5) says; what becomes of it follows docker (moby, libnetwork/internal/
resolvconf). Nothing is read or written here. Every monitor imports this: it needs ``socket`` and nothing else.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import NamedTuple

#: Where the container's resolver listens, in the container: docker's address.
RESOLVER = "127.0.0.11"

_LOCALHOST = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
#: Those that every container has for itself.
LOCAL_NAMES = frozenset(name for line in _LOCALHOST.splitlines() for name in line.split()[1:])


def hosts(
    own: Sequence[tuple[str, Sequence[str]]],
    *,
    extra: Sequence[tuple[str, str]] = (),
    links: Sequence[tuple[str, Sequence[str]]] = (),
) -> str:
    """/etc/hosts: localhost, then what the caller adds, then the container itself, then those it is linked to.

    Args:
        own: (address, names), as :func:`own_names` gives them.
        extra: (name, address), as ``Settings.add_hosts`` has them; a program takes the first line that fits.
        links: (address, names: the alias, the short id, the container's name).
    """
    lines = [*((address, (name,)) for name, address in extra), *own, *links]
    return _LOCALHOST + "".join(f"{address}\t{' '.join(dict.fromkeys(names))}\n" for address, names in lines)


def own_names(hostname: str, domainname: str = "") -> tuple[str, ...]:
    """What a container is called in its own /etc/hosts: the full name first, as ``hostname --fqdn`` expects."""
    full = f"{hostname}.{domainname}" if domainname else hostname
    return tuple(dict.fromkeys((full, hostname, hostname.partition(".")[0])))


def hostname(name: str) -> str:
    """/etc/hostname."""
    return f"{name}\n"


def resolv_conf(
    host_text: str,
    *,
    servers: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    resolver: bool = False,
) -> str:
    """/etc/resolv.conf of a container. Each part that is given takes the place of the host's.

    Args:
        host_text: the host's; ``""`` when there is none.
        servers: addresses to ask (``dns``); else the host's, without those that a container does not reach.
        search: domains (``dns_search``); ``(".",)`` for none.
        options: words of ``options`` (``dns_options``).
        resolver: the container asks the one at 127.0.0.11 only, which asks :func:`upstreams`.

    Returns:
        The text. It names no server when the host's are all on its loopback: then use the resolver.
    """
    host = _parse(host_text)
    asked = [RESOLVER] if resolver else list(servers) or [one for one in host.servers if _is_reachable(one)]
    domains = [domain for domain in search or host.search if domain != "."]
    words = list(options or host.options)
    # Names of containers have no dots: libc is to ask for them as they are first.
    if resolver and not any(word.startswith("ndots:") for word in words):
        words.append("ndots:0")
    lines = [f"nameserver {address}" for address in asked]
    if domains:
        lines.append("search " + " ".join(domains))
    if words:
        lines.append("options " + " ".join(words))
    return "".join(f"{line}\n" for line in lines)


def upstreams(host_text: str, dns: Sequence[str] = ()) -> list[str]:
    """Whom the resolver asks, in order: ``dns`` when it is given, else all servers of the host's resolv.conf.

    Those on the host's loopback are among them: the resolver asks from the host's network namespace. An IPv6 address
    may have its zone, as ``fe80::1%eth0``.
    """
    return list(dict.fromkeys(dns or _parse(host_text).servers))


class _Host(NamedTuple):
    """What the host's resolv.conf says."""

    servers: list[str]
    search: list[str]
    options: list[str]


def _parse(text: str) -> _Host:
    """resolv.conf(5). Lines that are none of its are passed over, as libc does."""
    servers: list[str] = []
    search: list[str] = []
    options: list[str] = []
    for line in text.split("\n"):
        keyword, *words = _words(line) or [""]
        if not words:
            continue
        if keyword == "nameserver" and _packed(words[0]):
            servers.append(words[0])
        elif keyword == "search":
            search = words  # the last one holds, be it search or domain
        elif keyword == "domain":
            search = words[:1]
        elif keyword == "options":
            options += words
    return _Host(servers, search, list(dict.fromkeys(options)))


def _words(line: str) -> list[str]:
    """Those before a comment."""
    found = line.split()
    for index, word in enumerate(found):
        if word.startswith(("#", ";")):
            return found[:index]
    return found


def _packed(address: str) -> bytes:
    """An address as the kernel has it; nothing when it is none. A zone is no part of it."""
    bare, percent, zone = address.partition("%")
    if percent and not (zone and ":" in bare):
        return b""
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in bare else socket.AF_INET, bare)
    except (OSError, ValueError):
        return b""


def is_address(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address."""
    return bool(_packed(text))


def _is_reachable(address: str) -> bool:
    """Whether it means the same in a container: not the host's loopback, and not by way of an interface of the host."""
    packed = _packed(address).removeprefix(b"\0" * 10 + b"\xff\xff")
    if "%" in address or not packed.rstrip(b"\0"):
        return False  # to libc, 0.0.0.0 and :: are this machine too
    return packed[0] != 127 if len(packed) == 4 else packed != b"\0" * 15 + b"\1"
