"""Datagrams that are passed on: a table of clients, each with a socket of its own to the target."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any, NamedTuple

from containerkit.linux.loop import Loop
from containerkit.net.budget import CLIENTS
from containerkit.net.expiry import Expiry

#: The largest datagram that there is.
_SIZE = 65535
#: Datagrams that are taken from one socket before others have their turn.
_AT_ONCE = 64
#: linux/in.h; Python's socket has it from 3.14.
_IP_PKTINFO = 8
_Ancillary = tuple[int, int, bytes]


class _Client(NamedTuple):
    """Who asks, and at which of our addresses: the answer comes from there."""

    address: Any
    asked: _Ancillary | None


class Datagrams:
    """A bound socket whose datagrams go to the target, and the answers back."""

    def __init__(self, loop: Loop, listening: socket.socket, target: tuple[str, int], limit: int, idle: float) -> None:
        self._loop, self._listening, self._target, self._limit = loop, listening, target, limit
        self._sockets: dict[_Client, socket.socket] = {}
        self._silent: Expiry[_Client] = Expiry(loop, idle, self._forget)
        self._is_closed = False
        # A socket that is bound to all addresses would answer from any of them.
        if listening.family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            listening.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        loop.add(listening.fileno(), self._ask)

    @property
    def count(self) -> int:
        return len(self._sockets)

    def _ask(self, _: int) -> None:
        """What clients sent, to the target."""
        for _turn in range(_AT_ONCE):
            try:
                data, ancillary, _flags, address = self._listening.recvmsg(_SIZE, 128)
            except OSError:
                return  # nothing more; or it comes again
            client = _Client(address, _asked(ancillary))
            try:
                ours = self._sockets.get(client) or self._open(client)
                self._silent.touch(client)
                _send(ours, data)
            except OSError:
                pass  # no descriptor, no room, nobody there: datagrams may be lost

    def _open(self, client: _Client) -> socket.socket:
        self._make_room()
        family = socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
        ours = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            ours.connect(self._target)
        except OSError:
            ours.close()
            raise
        self._sockets[client] = ours
        CLIENTS.take()
        self._loop.add(ours.fileno(), lambda _: self._answer(client, ours))
        return ours

    def _make_room(self) -> None:
        if len(self._sockets) < self._limit and not CLIENTS.is_full:
            return
        if not self._sockets:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))  # the other relays' clients have it all
        self._forget(self._silent.oldest())

    def _answer(self, client: _Client, ours: socket.socket) -> None:
        """What the target sent, to the client, from the address that the client knows."""
        ancillary = [] if client.asked is None else [client.asked]
        for _turn in range(_AT_ONCE):
            try:
                data = ours.recv(_SIZE)
            except OSError:
                return  # nothing more, or nobody there: the client asks again
            try:
                self._listening.sendmsg([data], ancillary, 0, client.address)
            except OSError:
                pass  # no room, no way: datagrams may be lost
            self._silent.touch(client)

    def _forget(self, client: _Client) -> None:
        self._silent.forget(client)
        ours = self._sockets.pop(client)
        CLIENTS.leave()
        self._loop.remove(ours.fileno())
        ours.close()

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._loop.remove(self._listening.fileno())
        self._listening.close()
        for client in list(self._sockets):
            self._forget(client)
        self._silent.close()


def _send(ours: socket.socket, data: bytes) -> None:
    try:
        ours.send(data)
    except ConnectionRefusedError:
        # That was the answer to an earlier one, and this one was not sent: udp(7).
        ours.send(data)


def _asked(ancillary: list[tuple[int, int, bytes]]) -> _Ancillary | None:
    """What makes an answer come from the address that was asked: ip(7), ipv6(7). The kernel chooses the interface."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            _index, local, _destination = struct.unpack("i4s4s", data[:12])
            return level, kind, struct.pack("i4s4s", 0, local, b"")
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and data[0] != 0xFF:
            return level, kind, data[:16] + struct.pack("i", 0)
    return None
