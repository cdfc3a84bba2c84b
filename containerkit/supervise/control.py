"""The monitor's control socket: where any process that may use the store speaks to a running container's monitor.

It lies in the run directory under the container's id. What is said there is in ``messages.py``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from containerkit.errors import ContainerkitError
from containerkit.linux.files import short_path
from containerkit.linux.loop import READABLE, Loop
from containerkit.supervise.messages import (
    Attach,
    Attached,
    CloseInput,
    Failed,
    Held,
    HoldStill,
    Refresh,
    Refreshed,
    Reply,
    StayEnded,
    receive_reply,
    send_reply,
)
from containerkit.supervise.output.log import STREAMS
from containerkit.supervise.output.streams import Client, Streams

if TYPE_CHECKING:
    from containerkit.supervise.pausing import Holds

#: Seconds until accepting is tried again when descriptors or memory have run out.
_RETRY = 0.2


def connect(path: str) -> socket.socket:
    """A connection to the monitor whose socket that is.

    Raises:
        OSError: there is none.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        with short_path(path) as address:
            connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


class Control:
    """The listening end.

    Args:
        streams: those of the container's present run; they change with each.
        stay_ended: what to do when somebody does not want it started again.
        holds: those who want it still.
        refresh: what to do when its networks are others.
        listening: the socket, when another process has listened at it until now.
    """

    def __init__(
        self, loop: Loop, path: str, streams: Callable[[], Streams], stay_ended: Callable[[], None], holds: Holds,
        refresh: Callable[[], None], listening: socket.socket | None = None,
    ) -> None:  # fmt: skip
        self._loop, self._path = loop, path
        self._streams, self._stay_ended, self._holds, self._refresh = streams, stay_ended, holds, refresh
        self._socket = _listen(path) if listening is None else listening
        self._connections: dict[int, tuple[socket.socket, list[Client]]] = {}
        loop.add(self._socket.fileno(), self._accept)

    def portable(self) -> socket.socket | None:
        """For another process to listen at; None while somebody is listened to."""
        return None if self._connections else self._socket

    def _accept(self, _: int) -> None:
        try:
            connection, _address = self._socket.accept()
        except (BlockingIOError, ConnectionError):
            return  # it has gone again
        except OSError:
            # No descriptors or memory left: whoever waits there would wake us at once, again and again.
            self._loop.change(self._socket.fileno(), 0)
            self._loop.after(_RETRY, self._accept_again)
            return
        connection.setblocking(False)
        self._connections[connection.fileno()] = (connection, [])
        self._loop.add(connection.fileno(), lambda _: self._listen(connection))

    def _accept_again(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.change(self._socket.fileno(), READABLE)

    def _listen(self, connection: socket.socket) -> None:
        try:
            word, descriptors = receive_reply(connection)
        except OSError:
            word, descriptors = None, []  # there is no room for what came with it
        if isinstance(word, Attach) and len(descriptors) == len(word.streams) and set(word.streams) <= {*STREAMS}:
            self._attach(connection, word, descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        if isinstance(word, CloseInput):
            self._streams().close_input()
        elif isinstance(word, StayEnded):
            self._stay_ended()
        elif isinstance(word, HoldStill):
            self._hold(connection)
        elif isinstance(word, Refresh):
            self._renew(connection)
        else:
            self._hang_up(connection)

    def _attach(self, connection: socket.socket, word: Attach, descriptors: list[int]) -> None:
        streams = self._streams()
        clients = self._connections[connection.fileno()][1]
        for stream, descriptor in zip(word.streams, descriptors, strict=True):
            clients.append(streams.attach(stream, descriptor))
        rights = () if streams.input < 0 else (streams.input,)
        self._answer(connection, Attached(streams.has_terminal), rights)

    def _hold(self, connection: socket.socket) -> None:
        try:
            self._holds.take(connection.fileno())
        except (ContainerkitError, OSError) as error:
            self._answer(connection, Failed.of(error, "monitor"))
        else:
            self._answer(connection, Held())

    def _renew(self, connection: socket.socket) -> None:
        try:
            self._refresh()
        except (ContainerkitError, OSError) as error:
            self._answer(connection, Failed.of(error, "network"))
        else:
            self._answer(connection, Refreshed())

    def _answer(self, connection: socket.socket, reply: Reply, rights: tuple[int, ...] = ()) -> None:
        try:
            send_reply(connection, reply, rights)
        except BlockingIOError:
            self._hang_up(connection)  # it asks and asks, and reads no answer: nobody waits for that

    def _hang_up(self, connection: socket.socket) -> None:
        self._holds.leave(connection.fileno())
        self._loop.remove(connection.fileno())
        for client in self._connections.pop(connection.fileno())[1]:
            client.close()
        connection.close()

    def close(self) -> None:
        """Nobody is listened to any more. Who is attached gets the rest of the output."""
        for connection, _ in self._connections.values():
            self._loop.remove(connection.fileno())
            connection.close()
        self._connections.clear()
        self._loop.remove(self._socket.fileno())
        self._socket.close()
        try:
            with short_path(self._path) as address:
                os.unlink(address)
        except OSError:
            pass  # the run directory is gone


def _listen(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    with short_path(path) as address:
        try:
            os.unlink(address)  # a monitor that was killed has left it
        except FileNotFoundError:
            pass
        listening.bind(address)
    listening.listen(64)
    return listening
