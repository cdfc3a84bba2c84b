"""The spawner: everything imported once; its forks do what is asked for. It ends with its SDK process.

Started as ``python -I -S -c "…spawner.main()"`` with its socket as descriptor 3. One thread; what it knows is who
waits.

The fork comes before the request: a *spare* (spare.py) waits on the socket, and when it takes a request the spawner
forks the next, by way of its *relief* (relief.py). What forks cost (page tables, the first writes to shared pages)
nobody waits for then; and most requests cost no fork at all, for a spare whose container has ended soon comes back.
One has the socket; another one rests, until there is more to do at once::

    SDK ── request ──> socket <── spare: takes it, says so, becomes monitor, helper, …
                                     │ TAKEN             │ FREE
                                  spawner: gives the socket to who comes back, or has rested, or is forked
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
from typing import NoReturn

from containerkit.linux import capabilities, cgroups, passing, process
from containerkit.oci import codec
from containerkit.oci.runtime_spec import Spec
from containerkit.supervise import messages, monitor, rehearsal, relief, spare

SOCKET = 3
#: So many rest at most, beside the one that waits.
_RESTING = 1
#: Milliseconds in which those who will come back soon do so, where another one would have to be forked; and where one
#: rests: who has just worked is quicker, as the machine has its memory at hand.
_SOON, _SHORTLY = 5, 50


def main() -> None:
    """Serve until the SDK process closes its end."""
    channel = socket.socket(fileno=SOCKET)
    # Nothing of the user's process lives on in containers: not its files, its directory, its mask.
    process.close_from(SOCKET + 1)
    os.chdir("/")
    os.umask(0o022)
    process.set_title("containerkit-spawner")
    # Inherited dispositions are the user's process's; here and in all children they are the default.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    home = spare.Home.make() if os.geteuid() else None
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children reap themselves
    _warm_up()
    Spares(channel, home).keep()


def _warm_up() -> None:
    """Do once what every fork would do at its first use of something; the collector is not to write to any of it."""
    gc.disable()
    codec.prepare(Spec, messages.Start, messages.Enter, messages.Work)
    cgroups.detect()
    capabilities.last_cap()
    process.boot_id()
    rehearsal.rehearse()
    rehearsal.rehearse_part()
    gc.freeze()


class Spares:
    """The one that waits for a request, and those who may come back to wait for another."""

    def __init__(self, channel: socket.socket, home: spare.Home | None) -> None:
        self._channel, self._home = channel, home
        self._links: dict[int, socket.socket] = {}
        self._waiting: int | None = None  # the link of who has the socket
        self._resting: list[int] = []  # the last one worked last
        self._poll = select.poll()
        self._poll.register(channel, 0)

    def keep(self) -> None:
        """See that somebody waits, until the SDK process has gone."""
        while True:
            try:
                if self._waiting is None and not self._await_one(self._patience()):
                    self._call()
                for descriptor, _ in self._poll.poll():
                    if descriptor == self._channel.fileno():
                        return  # a hang-up
                    self._hear(descriptor)
            except OSError as error:
                if not process.readable(self._channel.fileno(), 0):
                    with contextlib.suppress(OSError):
                        self._await_one(None)  # and then it is tried once more
                elif not _refuse(self._channel, error):
                    return

    def _patience(self) -> int:
        return _SHORTLY if self._resting else _SOON if self._links else 0

    def _await_one(self, patience: int | None) -> bool:
        """Whether one comes back, before there is a request and ``patience`` milliseconds are up."""
        self._poll.modify(self._channel, select.POLLIN)
        try:
            while self._waiting is None:
                ready = self._poll.poll(patience)
                if not ready or self._channel.fileno() in dict(ready):
                    return False
                for descriptor, _ in ready:
                    self._hear(descriptor)
            return True
        finally:
            self._poll.modify(self._channel, 0)

    def _hear(self, descriptor: int) -> None:
        """What one of them says; nothing: it has ended, or will not come back.

        Raises:
            OSError: it could not even begin.
        """
        try:
            word = self._links[descriptor].recv(16)
        except OSError:
            word = b""  # it was killed
        if descriptor == self._waiting:
            self._waiting = None
        if word == spare.FREE and self._waiting is None:
            self._give(descriptor)
        elif word == spare.FREE and len(self._resting) < _RESTING:
            self._resting.append(descriptor)
        elif word != spare.TAKEN:
            self._forget(descriptor)
            if word not in (b"", spare.FREE):
                raise OSError(int(word), os.strerror(int(word)))

    def _give(self, descriptor: int) -> bool:
        """Have one wait, which has the socket for it. False: it has ended."""
        try:
            passing.send(self._links[descriptor], spare.WAIT, (self._channel.fileno(),))
        except OSError:
            self._forget(descriptor)
            return False
        self._waiting = descriptor
        return True

    def _forget(self, descriptor: int) -> None:
        if descriptor in self._resting:
            self._resting.remove(descriptor)
        self._poll.unregister(descriptor)
        self._links.pop(descriptor).close()

    def _call(self) -> None:
        """Have somebody wait: who rests, or one more.

        Raises:
            OSError: no process or descriptor can be had.
        """
        while self._resting:
            if self._give(self._resting.pop()):
                return
        self._fork()

    def _fork(self) -> None:
        """Make one more who waits.

        Raises:
            OSError: no process or descriptor can be had.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                pid = os.fork()
            except OSError:
                ours.close()
                raise
            if pid == 0:
                # Who has them would be taken for us, after our end.
                for link in (ours, *self._links.values()):
                    link.close()
                self._become_one(theirs)
        self._links[ours.fileno()] = ours
        self._waiting = ours.fileno()
        self._poll.register(ours, select.POLLIN)

    def _become_one(self, link: socket.socket) -> NoReturn:
        """In a child: a relief, which forks the spare."""
        try:
            relief.live(
                lambda mine: spare.Spare(self._channel, link, self._home, mine).live(),
                monitor.take_over,
                rehearsal.rehearse_part,
            )
        except OSError as error:
            link.send(b"%d" % (error.errno or 0))
        finally:
            os._exit(1)


def _refuse(channel: socket.socket, error: OSError) -> bool:
    """Answer one request with the reason why nothing can be started. False: there is none, the SDK process has gone."""
    data, descriptors, _ = messages.receive_request(channel)
    if not descriptors:
        return bool(data)
    with socket.socket(fileno=descriptors[0]) as reply:
        reply.send(messages.TAKEN)
        text = f"cannot fork: {(error.strerror or '').lower()}"
        messages.send_reply(reply, messages.Failed(text, errno=error.errno))
    for descriptor in descriptors[1:]:
        os.close(descriptor)
    return True
