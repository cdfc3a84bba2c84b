"""The SDK process's side of the spawner: started at the first request, again when it was killed."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from containerkit.errors import RuntimeFailure
from containerkit.linux import passing, sealed

if TYPE_CHECKING:
    from containerkit.supervise import messages


class Spawner:
    """A connection to this process's spawner; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self.pid = 0

    def request(self, request: messages.Request, descriptors: Sequence[int]) -> socket.socket:
        """Send a request with its descriptors; the socket that its replies come over.

        Raises:
            RuntimeFailure: no spawner can be started.
        """
        # Not at the top: a spawner that starts imports as much, at the same time.
        from containerkit.supervise import messages

        data = messages.encode(request)
        for _ in range(3):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                with theirs, self._lock:
                    used = self._connected()
                    passing.send(used, data, (theirs.fileno(), *descriptors))
                if ours.recv(16) == messages.TAKEN:
                    return ours
            except (BrokenPipeError, ConnectionResetError):
                pass
            except BaseException:
                ours.close()
                raise
            # The spawner was killed, and its spare with the request in its hands, or before: nothing has been done.
            ours.close()
            with self._lock:
                if used is self._channel:  # no other thread has started another one
                    self._forget()
        raise RuntimeFailure("spawner: ends as soon as it is started")

    def ensure(self) -> None:
        """Start the spawner now, so that the first container need not wait for it."""
        with self._lock:
            self._connected()

    def close(self) -> None:
        """End the spawner. Containers stay; the next request starts another."""
        with self._lock:
            self._forget()

    def let_go(self) -> None:
        """In a forked child: the spawner is the parent's, and the lock may be held by a thread that is not here."""
        if self._channel is not None:
            self._channel.close()
        self._lock = threading.Lock()
        self._channel, self.pid = None, 0

    def _connected(self) -> socket.socket:
        if self._channel is None:
            self._start()
        assert self._channel is not None
        return self._channel

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        interpreter = sealed.interpreter()
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        # The last argument is room: a monitor writes its own title over these.
        arguments = [*sealed.command("containerkit.supervise.spawner"), "containerkit-spawner"]
        try:
            # posix_spawn shares the address space until execve (CLONE_VFORK): nothing of this process is copied, and no
            # lock that a thread of it holds can be waited for.
            self.pid = os.posix_spawn(
                f"/proc/self/fd/{interpreter}",
                arguments,
                {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
                file_actions=[
                    *((os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1, 2)),
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 3),
                ],
                setsid=True,
            )
        except OSError as error:
            ours.close()
            raise RuntimeFailure(f"spawner: cannot start {sys.executable}: {error}", errno=error.errno) from error
        finally:
            theirs.close()
            os.close(interpreter)
            os.close(null)
        self._channel = ours

    def _forget(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self.pid:
            try:
                os.waitpid(self.pid, 0)
            except ChildProcessError:
                pass
            self.pid = 0


spawner = Spawner()
os.register_at_fork(after_in_child=spawner.let_go)
