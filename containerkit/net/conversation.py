"""DNS over one TCP connection: messages, each after its length in two octets (RFC 1035 section 4.2.2, RFC 7766).

Pieces come as they like; several questions may come before the first is answered. Who asks and does not read the
answers is not listened to until it has, and so cannot fill our memory.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from containerkit.linux.loop import GONE, READABLE, WRITABLE, Loop

_KiB = 1 << 10
#: Messages that may be unanswered, and octets that may be unread, before more are taken.
_MOST_OWED, _MOST_UNREAD = 8, 64 * _KiB
#: Beyond this the other end is let go. (Answers to what was asked before may come all at once.)
_PATIENCE = 256 * _KiB


class Conversation:
    """One connection, ours from now on.

    Args:
        heard: called with each message. Each is to be answered with ``say()``, sooner or later.
        ended: called once, when the other end has gone or talks nonsense; the connection is closed then.
        longest: octets of a message that may come.
    """

    def __init__(
        self,
        loop: Loop,
        connection: socket.socket,
        heard: Callable[[bytes], None],
        ended: Callable[[], None],
        longest: int,
    ) -> None:
        self._loop, self._socket, self._heard, self._ended, self._longest = loop, connection, heard, ended, longest
        self._input, self._output = bytearray(), bytearray()
        self._owed = 0
        self._is_at_end = False
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.descriptor = connection.fileno()
        loop.add(self.descriptor, self._ready)

    @property
    def is_open(self) -> bool:
        return self.descriptor >= 0

    def say(self, message: bytes) -> None:
        """Send it, now or when there is room; nobody hears it when the other end is gone."""
        if not self.is_open:
            return
        self._owed -= 1
        self._output += len(message).to_bytes(2, "big") + message
        self._flush()
        if len(self._output) > _PATIENCE:
            self._end()
        self._watch()

    def close(self) -> None:
        """Hang up. ``ended`` is not called."""
        if self.is_open:
            self._loop.remove(self.descriptor)
            self._socket.close()
            self.descriptor = -1

    def _end(self) -> None:
        if self.is_open:
            self.close()
            self._ended()

    def _ready(self, events: int) -> None:
        if events & GONE and not events & READABLE:
            self._end()
        if self.is_open and events & WRITABLE:
            self._flush()
        if self.is_open and events & READABLE:
            self._read()
        self._hand_out()
        self._watch()

    def _read(self) -> None:
        try:
            data = self._socket.recv(16 * _KiB)
        except BlockingIOError:
            return
        except OSError:
            self._end()
            return
        self._input += data
        self._is_at_end = not data

    def _flush(self) -> None:
        try:
            while self._output:
                del self._output[: self._socket.send(self._output)]
        except BlockingIOError:
            pass  # also as long as the connection is being made
        except OSError:
            self._end()

    def _hand_out(self) -> None:
        """What is there as a whole. Not too much at a time: others wait too."""
        for _ in range(_MOST_OWED):
            if not self.is_open or not self._takes_more() or not self._has_message():
                return
            size = int.from_bytes(self._input[:2], "big")
            if size > self._longest:
                self._end()
                return
            message = bytes(self._input[2 : 2 + size])
            del self._input[: 2 + size]
            self._owed += 1
            self._heard(message)

    def _takes_more(self) -> bool:
        return self._owed < _MOST_OWED and len(self._output) < _MOST_UNREAD

    def _has_message(self) -> bool:
        """Whether a message is there as a whole, or the beginning of one that never will be."""
        if len(self._input) < 2:
            return False
        size = int.from_bytes(self._input[:2], "big")
        return size > self._longest or len(self._input) >= 2 + size

    def _watch(self) -> None:
        """What to wait for now."""
        if not self.is_open:
            return
        has_work = self._takes_more() and self._has_message()
        if self._is_at_end and not self._output and not has_work and self._owed <= 0:
            self._end()  # who has said everything may still have listened (shutdown(2))
            return
        reading = READABLE if self._takes_more() and not has_work and not self._is_at_end else 0
        # There is room almost always, so that is soon: messages are handed out by the loop only, never by an answer to
        # one before them, which may have been made necessary by yet another.
        self._loop.change(self.descriptor, reading | (WRITABLE if self._output or has_work else 0))
