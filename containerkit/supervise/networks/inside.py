"""A monitor of an ordinary user's container goes into the network namespace where its networks are, for good; as does
its relief, before a row tells of it.

Before that it has bound the published ports, and it takes along sockets from which its resolver asks the host's
servers: a socket stays in the namespace that it was made in. TCP takes a new one each time: the keeper makes it.
"""

from __future__ import annotations

import os
import socket

from containerkit.errors import RuntimeFailure
from containerkit.linux import namespaces as ns
from containerkit.linux import process
from containerkit.net import keeper
from containerkit.net.forwarding import new_stream
from containerkit.values import frozen


@frozen
class Place:
    """What another process that is there needs to go on."""

    keeper: socket.socket
    asks: bool
    sockets: tuple[tuple[int, socket.socket], ...]


class Inside:
    """Its place there.

    Args:
        network: the namespace's descriptor; -1: this process is there.
        connection: to the keeper, to be held.
    """

    def __init__(self, network: int, connection: socket.socket) -> None:
        self._network, self._keeper = network, connection
        self._asks = True
        self._is_known = False
        self._sockets: dict[int, socket.socket] = {}

    @classmethod
    def resume(cls, place: Place) -> Inside:
        """Go on where another process has been."""
        found = cls(-1, place.keeper)
        found._asks, found._sockets, found._is_known = place.asks, dict(place.sockets), True
        return found

    def portable(self) -> Place:
        """For another process to go on with."""
        return Place(self._keeper, self._asks, tuple(self._sockets.items()))

    def enter(self) -> None:
        """Go in; a second time is no error.

        Raises:
            OSError: the kernel refuses.
        """
        if self._network < 0:
            return
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                self._sockets[family] = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            except OSError:
                continue  # a host without IPv6
        ns.setns(self._network, ns.CLONE_NEWNET)
        os.close(self._network)
        self._network = -1

    def outside(self) -> dict[int, socket.socket]:
        """For each address family a UDP socket of the host's network, the caller's to close."""
        return {family: one.dup() for family, one in self._sockets.items()}

    def stream(self, family: int) -> socket.socket:
        """A TCP socket of the host's network, which the keeper makes; one of here, when that was killed."""
        found = keeper.stream(self._keeper, family) if self._asks else None
        self._asks = found is not None
        return found or new_stream(family)

    def check(self) -> None:
        """Make sure, once a row tells of this container, that whoever starts after it comes to the same namespace.

        Raises:
            RuntimeFailure: the keeper was killed, before it could be seen that somebody is in.
        """
        if not self._is_known and process.readable(self._keeper.fileno(), 0):
            raise RuntimeFailure("networks: their keeper was killed meanwhile")
        self._is_known = True
