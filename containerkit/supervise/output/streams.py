"""A container's streams, in its monitor: output goes into the log and to whoever is attached, input stays open.

A client that does not read never holds up the container: what it has not taken is kept for it, up to a bound, and
beyond that it is let go. The log has everything.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections import deque

from containerkit.linux.loop import GONE, WRITABLE, Loop
from containerkit.supervise.output.log import READ_SIZE, LogWriter
from containerkit.supervise.relief import Descriptor
from containerkit.values import frozen

_MiB = 1 << 20
#: Bytes that are kept for a client that does not read.
_PATIENCE = 16 * _MiB


class Client:
    """One end that output is copied to: a pipe of somebody who is attached."""

    def __init__(self, loop: Loop, descriptor: int) -> None:
        self._loop, self._descriptor = loop, descriptor
        self._pending: deque[bytes] = deque()
        self._size = 0
        self._is_ending = False
        os.set_blocking(descriptor, False)
        loop.add(descriptor, self._ready, 0)

    @property
    def is_open(self) -> bool:
        """Whether it still takes something."""
        return self._descriptor >= 0

    def send(self, data: bytes) -> None:
        """Give it ``data``, now or when it has room."""
        if self._descriptor < 0:
            return
        self._pending.append(data)
        self._size += len(data)
        if len(self._pending) == 1:
            self._flush()
        if self._size > _PATIENCE:
            self.close()

    def _ready(self, events: int) -> None:
        if events & GONE and not events & WRITABLE:
            self.close()
        else:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._pending:
                data = self._pending[0]
                written = os.write(self._descriptor, data)
                self._size -= written
                if written < len(data):
                    self._pending[0] = data[written:]
                else:
                    self._pending.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self.close()
        if self._is_ending and not self._pending:
            self.close()
        if self._descriptor >= 0:
            self._loop.change(self._descriptor, WRITABLE if self._pending else 0)

    def end(self) -> None:
        """No more will come: the end of the file follows what it has not taken yet."""
        self._is_ending = True
        if not self._pending:
            self.close()

    def close(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1


@frozen
class Flows:
    """The descriptors of a run's streams: of each output with its number (1, 2), and of its input, which may be -1."""

    outputs: tuple[tuple[Descriptor, int], ...]
    input: Descriptor
    has_terminal: bool


class Streams:
    """The streams of one run of a container."""

    def __init__(self, loop: Loop, log: LogWriter) -> None:
        self._loop, self._log = loop, log
        self._outputs: dict[int, int] = {}
        self._clients: dict[int, list[Client]] = {1: [], 2: []}
        self._ending: list[Client] = []
        self.input = -1
        self.has_terminal = False

    def open_pipes(self, stdin: int, *, keep_open: bool) -> tuple[int, int, int]:
        """The program's ends of new pipes. The caller closes them.

        Args:
            stdin: what it reads when its input is not to stay open; duplicated.
        """
        ends = []
        if keep_open:
            reader, self.input = os.pipe()
            ends.append(reader)
        else:
            ends.append(os.dup(stdin))
        for stream in (1, 2):
            reader, writer = os.pipe()
            try:
                fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, _MiB)
            except PermissionError:
                pass  # over the user's allowance of pipe pages: it works with less
            self._follow(reader, stream)
            ends.append(writer)
        return ends[0], ends[1], ends[2]

    def take_terminal(self, master: int, *, keep_open: bool) -> None:
        """The program's terminal: both its streams, and its input."""
        self.has_terminal = True
        self._follow(master, 1)
        if keep_open:
            self.input = os.dup(master)

    def portable(self) -> Flows | None:
        """For another process to go on with; None while somebody is attached."""
        if any(client.is_open for client in (*self._clients[1], *self._clients[2], *self._ending)):
            return None
        outputs = tuple((Descriptor(one), stream) for one, stream in self._outputs.items())
        return Flows(outputs, Descriptor(self.input), self.has_terminal)

    def resume(self, flows: Flows) -> None:
        """Go on with those that another process has copied until now."""
        self.input, self.has_terminal = flows.input, flows.has_terminal
        for descriptor, stream in flows.outputs:
            self._follow(descriptor, stream)

    def _follow(self, descriptor: int, stream: int) -> None:
        os.set_blocking(descriptor, False)
        self._outputs[descriptor] = stream
        self._loop.add(descriptor, lambda _: self._copy(descriptor))

    def attach(self, stream: int, descriptor: int) -> Client:
        """Copy output of ``stream`` (1 or 2) from now on to ``descriptor`` too, which becomes the client's own."""
        client = Client(self._loop, descriptor)
        self._clients[stream] = [*filter(lambda one: one.is_open, self._clients[stream]), client]
        return client

    def _copy(self, descriptor: int) -> bool:
        """One read, to everybody. False when there was nothing: for now, or for good, and then it is closed."""
        try:
            data = os.read(descriptor, READ_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # EIO: the last holder of a terminal's other end is gone
        if not data:
            self._loop.remove(descriptor)
            os.close(descriptor)
            del self._outputs[descriptor]
            return False
        stream = self._outputs[descriptor]
        self._log.write(stream, data)
        for client in self._clients[stream]:
            client.send(data)
        return True

    def close_input(self) -> None:
        """The program reads the end of its input, once nobody who is attached holds it either."""
        if self.input >= 0:
            os.close(self.input)
            self.input = -1

    def finish(self) -> None:
        """Take what is still in the pipes, and close everything.

        Every process of the container has ended: that is all there will be. Somebody outside may hold a pipe open, so
        its end is not waited for.
        """
        for descriptor in list(self._outputs):
            while self._copy(descriptor):
                pass
            if descriptor in self._outputs:
                self._loop.remove(descriptor)
                os.close(descriptor)
        self._outputs.clear()
        self.close_input()
        clients = (*self._clients[1], *self._clients[2])
        for client in clients:
            client.end()
        self._ending += [client for client in clients if client.is_open]
        self._clients = {1: [], 2: []}

    def has_more_to_give(self) -> bool:
        """Whether somebody who is attached has not read everything yet."""
        return any(client.is_open for client in self._ending)

    def wait_for_clients(self, seconds: float) -> None:
        """Give those who are attached the time to read what they have not read yet."""
        deadline = time.monotonic() + seconds
        timer = self._loop.after(seconds, lambda: None)
        while self.has_more_to_give() and time.monotonic() < deadline:
            self._loop.turn()
        timer.cancel()
