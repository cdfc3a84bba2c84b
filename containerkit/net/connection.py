"""One connection that is passed on: a client's socket, one to the target, and what goes between them.

Each way holds at most one read's worth. While that is not taken, nothing more is read, and the sender's kernel tells
the sender to wait. An end of file is passed on when all before it is; an error is passed on as a reset.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable

from containerkit.linux.loop import READABLE, WRITABLE, Loop

_SIZE = 64 << 10
_NOTHING = memoryview(b"")
#: To close with a reset, and without what was not sent yet: socket(7).
_RESET = struct.pack("ii", 1, 0)


class _Way:
    """What one end sends, to the other."""

    def __init__(self, source: socket.socket, destination: socket.socket) -> None:
        self._source, self._destination = source, destination
        self._pending = _NOTHING
        self._has_read_all = False
        self.is_done = False

    @property
    def wants_to_read(self) -> bool:
        return not self._pending and not self._has_read_all

    @property
    def wants_to_write(self) -> bool:
        return bool(self._pending)

    def read(self) -> bool:
        """One read, passed on as far as it is taken. False: there was nothing.

        Raises:
            OSError: one of the ends is broken.
        """
        try:
            data = self._source.recv(_SIZE)
        except BlockingIOError:
            return False
        self._has_read_all = not data
        self._pending = memoryview(data)
        self.write()
        return True

    def write(self) -> None:
        """Give what is pending.

        Raises:
            OSError: the destination is broken.
        """
        try:
            while self._pending:
                self._pending = self._pending[self._destination.send(self._pending, socket.MSG_NOSIGNAL) :]
        except BlockingIOError:
            return
        self._pending = _NOTHING  # an empty slice would hold the whole
        if self._has_read_all and not self.is_done:
            self.is_done = True
            self._destination.shutdown(socket.SHUT_WR)


class Connection:
    """Both sockets, which become its own, and both ways.

    Args:
        client: connected.
        target: not blocking, and connecting.
        connected: called when the target has answered.
        ended: called once, when both sockets are closed.
    """

    def __init__(
        self,
        loop: Loop,
        client: socket.socket,
        target: socket.socket,
        connected: Callable[[Connection], object],
        ended: Callable[[Connection], object],
    ) -> None:
        self._loop, self._target = loop, target
        self._tell_connected, self._tell_ended = connected, ended
        up, down = _Way(client, target), _Way(target, client)
        #: What comes from an end, and what goes to it.
        self._ways = {client: (up, down), target: (down, up)}
        self._is_connected = False
        #: What is waited for at which; None: it is not in the loop.
        self._events: dict[socket.socket, int | None] = {client: None, target: None}
        for end in (client, target):
            _prepare(end)
        # A client that has gone is heard of even while nothing is read from it.
        self._wait(client, 0)
        self._wait(target, WRITABLE)

    def _act(self, end: socket.socket, events: int) -> None:
        incoming, outgoing = self._ways[end]
        try:
            if events & select.POLLERR:
                self._take_error(end, incoming)
            if not self._is_connected:
                if end is self._target and events & WRITABLE:
                    self._await_target()
                return
            if events & WRITABLE:
                outgoing.write()
            if events & (READABLE | select.POLLHUP) and incoming.wants_to_read:
                incoming.read()
        except OSError:
            self.close(failed=True)
            return
        if events & select.POLLHUP and not self._events[end]:
            # Both its directions are over, and the other end is slow: poll(2) would report this one over and over.
            self._loop.remove(end.fileno())
            self._events[end] = None
        self._go_on()

    def _take_error(self, end: socket.socket, incoming: _Way) -> None:
        """Raise what is wrong with one end, after the last that came from it.

        Nothing may be wrong: the descriptor's number may have been somebody else's when this turn of the loop began.
        """
        while self._is_connected and incoming.wants_to_read and incoming.read():
            pass
        number = end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, "connection")

    def _await_target(self) -> None:
        try:
            self._target.getpeername()
        except OSError:
            return  # not yet: somebody else's event, as in _take_error
        self._is_connected = True
        self._tell_connected(self)
        self._go_on()

    def _go_on(self) -> None:
        """Wait for what is needed next, or end."""
        if all(incoming.is_done for incoming, _ in self._ways.values()):
            self.close()
            return
        for end, (incoming, outgoing) in self._ways.items():
            events = (READABLE if incoming.wants_to_read else 0) | (WRITABLE if outgoing.wants_to_write else 0)
            if events != (self._events[end] or 0):
                self._wait(end, events)

    def _wait(self, end: socket.socket, events: int) -> None:
        if self._events[end] is None:
            self._loop.add(end.fileno(), lambda ready: self._act(end, ready), events)
        else:
            self._loop.change(end.fileno(), events)
        self._events[end] = events

    def close(self, *, failed: bool = False) -> None:
        """Close both ends. To be called once: ``ended`` is told.

        Args:
            failed: an end that was not told of an orderly end is reset.
        """
        for end, (_, outgoing) in self._ways.items():
            self._loop.remove(end.fileno())
            if failed and not outgoing.is_done:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.close()
        self._tell_ended(self)


def _prepare(end: socket.socket) -> None:
    """What docker's proxy has: nothing waits for more to send, and an end that has vanished is noticed."""
    end.setblocking(False)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
