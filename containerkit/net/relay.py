"""What comes to a published port's bound socket, and what the firewall could not translate, is passed on.

A relay works in its monitor's loop, beside everything else that the monitor does: it never waits, holds a bounded
number of connections (connection.py) or of clients (datagrams.py), and of each a bounded number of bytes.
"""

from __future__ import annotations

import errno
import socket

from containerkit.linux.loop import Loop, Timer
from containerkit.net.budget import CONNECTIONS
from containerkit.net.connection import Connection
from containerkit.net.datagrams import Datagrams
from containerkit.net.expiry import Expiry

#: Connections, or clients, at once; budget.py bounds those of all relays together.
LIMIT = 1024
#: Seconds that the target has to answer a connection.
PATIENCE = 10.0
#: Seconds of silence after which a client that sends datagrams is forgotten.
IDLE = 60.0
#: Seconds until accepting is tried again when room, descriptors or memory have run out.
_RETRY = 0.2


class Relay:
    """Passes on what comes to one socket until it is closed.

    Args:
        listening: a listening SOCK_STREAM or a bound SOCK_DGRAM socket, IPv4 or IPv6; it becomes the relay's own.
        target: address and port, IPv4 or IPv6, as it is reached from this network namespace.
        limit: more connections wait to be accepted; of more clients that send datagrams the oldest is forgotten.
        patience: seconds that the target has to answer a connection, before the client is reset.
        idle: seconds of silence after which a client that sends datagrams is forgotten.
    """

    def __init__(
        self,
        loop: Loop,
        listening: socket.socket,
        target: tuple[str, int],
        *,
        limit: int = LIMIT,
        patience: float = PATIENCE,
        idle: float = IDLE,
    ) -> None:
        listening.setblocking(False)
        self._kind: Streams | Datagrams
        if listening.type == socket.SOCK_STREAM:
            self._kind = Streams(loop, listening, target, limit, patience)
        else:
            self._kind = Datagrams(loop, listening, target, limit, idle)

    @property
    def count(self) -> int:
        """Connections, or clients, at present."""
        return self._kind.count

    def close(self) -> None:
        """Close the socket and everything that came by it. Connections are reset. A second time is no error."""
        self._kind.close()


class Streams:
    """Accepts connections, as many as there may be."""

    def __init__(
        self, loop: Loop, listening: socket.socket, target: tuple[str, int], limit: int, patience: float
    ) -> None:
        self._loop, self._listening, self._target, self._limit = loop, listening, target, limit
        self._connections: set[Connection] = set()
        self._unanswered: Expiry[Connection] = Expiry(loop, patience, lambda one: one.close(failed=True))
        self._retry: Timer | None = None
        self._is_accepting = self._is_closed = False
        self._go_on()

    @property
    def count(self) -> int:
        return len(self._connections)

    def _go_on(self) -> None:
        """Accept when there is room."""
        accepting = len(self._connections) < self._limit and self._retry is None and not self._is_closed
        if accepting and not self._is_accepting:
            self._loop.add(self._listening.fileno(), self._accept)
        elif self._is_accepting and not accepting:
            self._loop.remove(self._listening.fileno())
        self._is_accepting = accepting

    def _accept(self, _: int) -> None:
        if CONNECTIONS.is_full:
            self._try_later()  # those of another relay may end, too
            return
        # The target's socket comes first: without a descriptor for it the client waits, and is not turned away.
        try:
            target = socket.socket(socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET)
        except OSError:
            self._try_later()
            return
        try:
            client, _address = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            target.close()
            return
        except OSError:
            target.close()
            self._try_later()
            return
        self._connect(client, target)
        self._go_on()

    def _connect(self, client: socket.socket, target: socket.socket) -> None:
        connection = Connection(self._loop, client, target, self._unanswered.forget, self._ended)
        self._connections.add(connection)
        CONNECTIONS.take()
        if target.connect_ex(self._target) in (0, errno.EINPROGRESS):
            self._unanswered.touch(connection)
        else:
            connection.close(failed=True)

    def _try_later(self) -> None:
        """There is no room, or no memory: the socket would be reported as ready over and over."""
        self._retry = self._loop.after(_RETRY, self._try_again)
        self._go_on()

    def _try_again(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._go_on()

    def _ended(self, connection: Connection) -> None:
        self._connections.discard(connection)
        CONNECTIONS.leave()
        self._unanswered.forget(connection)
        self._try_again()

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._go_on()
        self._listening.close()
        for connection in list(self._connections):
            connection.close(failed=True)
        self._unanswered.close()
        self._try_again()
