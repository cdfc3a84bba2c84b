"""The keeper of an ordinary user's networks: it holds a network namespace, and the way out of it, while needed.

Everything that root has in the host's network namespace, bridges, firewall, cables, such a user has in this one. The
keeper is outside of it: it holds a descriptor, which each *guest*, whoever connects to its socket, gets a copy of.
Monitors are guests to their end, and may ask for TCP sockets of the host's network. When the last one has gone the
keeper waits a little, for the next start to find everything there, and ends; the kernel takes the namespace down with
all that is in it.

Killed, it takes the program with it that leads outside. Monitors are in the namespace, and go on; the next keeper is
given the namespace of one of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Callable

from containerkit.linux import passing
from containerkit.linux.files import short_path
from containerkit.linux.loop import GONE, Loop, Timer
from containerkit.net.outside import Outside

#: Seconds without a guest after which it ends.
LINGER = 2.0
#: Seconds after which a way out that has ended is made again.
_PAUSE = 1.0
#: Seconds that a guest waits for a socket, and does nothing else: once, for a keeper that is held up. One that was
#: killed is not waited for.
_PATIENCE = 10.0


def listen(path: str) -> socket.socket:
    """A socket at ``path``, in place of one that a killed keeper left. To be called under the lock."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    with short_path(path) as address:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)
        listening.bind(address)
    listening.listen(64)
    return listening


def _identity(path: str) -> tuple[int, int]:
    there = os.lstat(path)
    return there.st_dev, there.st_ino


def stream(keeper: socket.socket, family: int) -> socket.socket | None:
    """A TCP socket of the host's network, from a guest's side; None when the keeper does not give one any more."""
    keeper.settimeout(_PATIENCE)
    try:
        keeper.send(bytes([family]))
        _, descriptors = passing.receive(keeper)
    except OSError:
        return None
    return socket.socket(fileno=descriptors[0]) if descriptors else None


def _give(guest: socket.socket, word: bytes) -> None:
    try:
        with socket.socket(word[0], socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as given:
            socket.send_fds(guest, [word], [given.fileno()])
    except OSError:
        with contextlib.suppress(OSError):
            guest.send(word)  # no such family here, or no descriptors left: it helps itself


class Keeper:
    """Serves guests until there have been none for a while.

    Args:
        path: of the listening socket.
        lock: a file that is locked by whoever starts a keeper.
        greet: what a guest is told, and given.
    """

    def __init__(
        self, listening: socket.socket, path: str, lock: str, outside: Outside, greet: Callable[[socket.socket], None]
    ) -> None:
        self._loop = Loop()
        self._listening, self._path, self._lock = listening, path, lock
        self._outside, self._greet = outside, greet
        self._own = _identity(path)
        self._guests: set[socket.socket] = set()
        self._patience: Timer | None = None
        self._is_needed = True

    def serve(self, first: socket.socket) -> None:
        """Be there, from the first guest to the last."""
        self._loop.add(self._listening.fileno(), lambda _: self._accept())
        self._await_end()
        self._welcome(first)
        while self._is_needed:
            self._loop.turn()
        self._outside.close()

    def _accept(self) -> bool:
        try:
            guest, _ = self._listening.accept()
        except OSError:
            return False  # it has gone again
        self._welcome(guest)
        return True

    def _welcome(self, guest: socket.socket) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._guests.add(guest)
        self._loop.add(guest.fileno(), lambda events: self._heard(guest, events))
        self._greet(guest)

    def _heard(self, guest: socket.socket, events: int) -> None:
        word = b"" if events & GONE else guest.recv(1)
        if word:
            _give(guest, word)
            return
        self._loop.remove(guest.fileno())
        self._guests.discard(guest)
        guest.close()
        if not self._guests:
            self._patience = self._loop.after(LINGER, self._leave)

    def _leave(self) -> None:
        """Nobody has come: go, so that whoever comes now finds out, and makes another."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._accept():
                return
            # The run directory may have been removed, and made again: not another keeper's.
            if _identity(self._path) == self._own:
                os.unlink(self._path)
        except OSError:
            pass  # somebody is about to start one, who finds ours closed and removes it; or the run directory is gone
        finally:
            os.close(descriptor)
        self._listening.close()
        self._is_needed = False

    # -- the way out -------------------------------------------------------------------------------------------------

    def _await_end(self) -> None:
        if self._outside.pidfd >= 0:
            self._loop.add(self._outside.pidfd, lambda _: self._has_ended())

    def _has_ended(self) -> None:
        self._loop.remove(self._outside.pidfd)
        self._outside.close()
        self._loop.after(_PAUSE, self._open_again)

    def _open_again(self) -> None:
        self._outside.open()
        self._await_end()
