"""Sockets bound to the ports of the host that are published.

A port is taken by binding it: whoever else wants it, container or not, of this user or another, is refused by the
kernel from then on, and what is in the way is known before anything starts. What the firewall translates never comes to
these sockets; what it cannot is relayed from them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from containerkit.errors import RuntimeFailure
from containerkit.values import frozen

_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_BACKLOG = 128


@frozen
class Wanted:
    """A port that shall be published.

    Args:
        host_ip: an address of the host; empty for all of them.
        first, last: the first free one of these of the host; 0 and 0: any.
        port: the container's.
    """

    protocol: str
    host_ip: str
    first: int
    last: int
    port: int


@dataclass
class Bound:
    """A port that is taken."""

    wanted: Wanted
    host_port: int
    socket: socket.socket


def bind(wishes: Sequence[Wanted], holder: Callable[[str, str, int], str]) -> list[Bound]:
    """Take all of them, or none.

    Args:
        holder: gives the name of our container that has published that (protocol, address, port), or an empty text.

    Raises:
        RuntimeFailure: one is taken, is not this user's to take, or is not at an address of this host.
    """
    with contextlib.ExitStack() as undo:
        found = []
        # Those that name their port first: one that may have any shall not take it.
        for wish in sorted(wishes, key=lambda one: one.first == 0):
            bound = _bind_one(wish, holder)
            undo.callback(bound.socket.close)
            found.append(bound)
        undo.pop_all()
        return found


def _bind_one(wish: Wanted, holder: Callable[[str, str, int], str]) -> Bound:
    problem: OSError | None = None
    for number in range(wish.first, wish.last + 1):
        try:
            taken = _socket(wish, number)
        except OSError as error:
            problem = error
            if error.errno != errno.EADDRINUSE:
                break
            continue
        return Bound(wish, taken.getsockname()[1], taken)
    assert problem is not None
    raise RuntimeFailure(_refusal(wish, problem, holder), errno=problem.errno) from problem


def _socket(wish: Wanted, number: int) -> socket.socket:
    if wish.host_ip:
        return _bound(wish, socket.AF_INET6 if ":" in wish.host_ip else socket.AF_INET, wish.host_ip, number)
    try:
        return _bound(wish, socket.AF_INET6, "::", number)
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
        return _bound(wish, socket.AF_INET, "0.0.0.0", number)  # a host without IPv6


def _bound(wish: Wanted, family: int, address: str, number: int) -> socket.socket:
    taken = socket.socket(family, _KINDS[wish.protocol] | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            # Of all addresses means those of IPv4, too.
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(bool(wish.host_ip)))
        if wish.protocol == "tcp":
            # Connections of before that are still fading are in nobody's way.
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((address, number))
        if wish.protocol == "tcp":
            taken.listen(_BACKLOG)
    except BaseException:
        taken.close()
        raise
    return taken


def _refusal(wish: Wanted, problem: OSError, holder: Callable[[str, str, int], str]) -> str:
    where = f"{wish.host_ip}:" if wish.host_ip else ""
    numbers = str(wish.first) if wish.first == wish.last else f"{wish.first}-{wish.last}"
    what = f"port {where}{numbers}/{wish.protocol}"
    if problem.errno == errno.EADDRINUSE:
        owner = holder(wish.protocol, wish.host_ip, wish.first)
        return f"{what}: is in use by {f'container {owner}' if owner else _program(wish)} (None is any free port)"
    if problem.errno == errno.EADDRNOTAVAIL:
        return f"{what}: {wish.host_ip} is no address of this machine"
    if problem.errno == errno.EACCES:
        return f"{what}: ports below {_first_for_all()} are root's (sysctl net.ipv4.ip_unprivileged_port_start)"
    return f"{what}: {os.strerror(problem.errno or 0).lower()}"


def _program(wish: Wanted) -> str:
    from containerkit.linux import sockets  # who is refused wants to know; nobody else does

    return ", ".join(sockets.holders(wish.protocol, wish.first)) or "another program of this machine"


def _first_for_all() -> str:
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
        return file.read().strip()
