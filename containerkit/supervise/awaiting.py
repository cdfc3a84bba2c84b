"""A start that has been asked for: whether the program runs, and how it ends."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from containerkit.errors import RuntimeFailure
from containerkit.linux import process
from containerkit.store.containers import ContainerRecord
from containerkit.store.store import Store
from containerkit.supervise import ending, messages


@dataclass
class Running:
    """A start that has been asked for: the socket its replies come over, and its log where that was asked for."""

    record: ContainerRecord
    channel: socket.socket
    fresh: bool
    log: int = -1
    tied: bool = False
    networked: bool = False

    def wait_started(self, store: Store, timeout: float | None = None) -> bool:
        """Wait until the program runs; False when ``timeout`` seconds were up before.

        When time is up, and when this is interrupted, nothing is left of a container that was made for this start.

        Raises:
            RuntimeFailure: it could not be started.
        """
        try:
            if not process.readable(self.channel.fileno(), timeout):
                self._undo(store)
                return False
            reply, _ = messages.receive_reply(self.channel)
        except BaseException:
            self._undo(store)
            raise
        if isinstance(reply, messages.Started):
            return True
        self.channel.close()
        if isinstance(reply, messages.Failed):
            raise reply.error(f"container {self.record.name}")
        if self.fresh:
            # It may have been written down as running; and nobody else looks at what has no owner before the next call.
            ending.remove(store, self.record, force=True, volumes=True)
        raise RuntimeFailure(f"container {self.record.name}: its monitor was killed while starting it")

    def wait_ended(self, store: Store, timeout: float | None) -> messages.Exited | None:
        """How it ended; None when ``timeout`` seconds were up and it was killed. Killed, too, when this is interrupted.

        One whose monitor was killed counts as killed: what that had not done is done here.
        """
        began = time.monotonic()
        try:
            in_time = process.readable(self.channel.fileno(), timeout)
        except BaseException:
            self._kill(store)
            raise
        if not in_time:
            self._kill(store)
            return None
        reply, _ = messages.receive_reply(self.channel)
        if isinstance(reply, messages.Exited):
            return reply
        ending.current(store, self.record.id)
        return messages.Exited(137, time.monotonic() - began)

    def _undo(self, store: Store) -> None:
        if self.tied:
            self.channel.shutdown(socket.SHUT_WR)  # its monitor does the rest
        elif self.fresh:
            ending.remove(store, self.record, force=True, volumes=True)

    def _kill(self, store: Store) -> None:
        if self.tied:
            self.channel.shutdown(socket.SHUT_WR)
            process.readable(self.channel.fileno(), ending.START_TAKES)
            return
        record = ending.current(store, self.record.id)
        if record is not None:
            ending.kill(store, record)
