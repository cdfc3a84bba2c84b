"""A gate: where a start that somebody walks through waits before each operation.

::

    stepper                                executor
      |<- arrival (cost of the last, view) ---|   it is about to execute its next operation, or has done its last
      |------------------------------- go --->|
      |<- end of file ------------------------|   its last one was execve(2), or it has ended

There are two, as there are two that execute: one for the process outside, one for the init. A stepper that hangs up
gives the start up: what is half made is undone as after any failure. The view is what only the process itself can say
without opening anything: its host name, pid, users and directory.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from containerkit.errors import RuntimeFailure

GO = b"go"
_VIEW = {"hostname": str, "pid": int, "uid": int, "gid": int, "directory": str}
_T = TypeVar("_T")


class Gate:
    """The executor's end: a descriptor of a SOCK_SEQPACKET socket.

    Args:
        peer: the init's channel to its parent, whose end ends the wait too.
        owner: a pidfd of the stepper's process, whose end does the same; closed with this.
    """

    def __init__(self, descriptor: int, peer: int = -1, owner: int = -1) -> None:
        self.descriptor = descriptor
        self.peer = peer
        self.owner = owner

    def through(self, operations: Iterable[_T]) -> Iterator[_T]:
        """Each of them when the word to go on has come. What one costs is told with the next arrival.

        Raises:
            RuntimeFailure: nobody gives the word any more.
        """
        cost = None
        for operation in operations:
            self._arrive(cost)
            began = time.perf_counter_ns()
            yield operation
            cost = time.perf_counter_ns() - began
        self._tell(cost)

    def is_left(self, channel: int) -> bool:
        """Whether the stepper's process has ended, once it has or there is something in ``channel``."""
        if self.owner < 0:
            return False
        poll = select.poll()
        for descriptor in (self.owner, channel):
            poll.register(descriptor, select.POLLIN)
        return self.owner in dict(poll.poll())

    def close(self) -> None:
        """No more waiting."""
        for descriptor in {self.descriptor, self.owner} - {-1}:
            os.close(descriptor)
        self.descriptor = self.owner = -1

    def make_way(self, lowest: int) -> None:
        """Be a descriptor from ``lowest`` up: those below are somebody else's."""
        moved = fcntl.fcntl(self.descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
        os.close(self.descriptor)
        self.descriptor = moved

    def settle(self, place: int, peer: int) -> None:
        """Be the descriptor ``place``; the channel is another one now, too."""
        os.dup2(self.descriptor, place, inheritable=False)
        self.descriptor, self.peer = place, peer

    def _arrive(self, cost: int | None) -> None:
        self._tell(cost)
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        if self.peer >= 0:
            poll.register(self.peer, 0)
        if self.owner >= 0:
            poll.register(self.owner, select.POLLIN)
        ready = dict(poll.poll())
        if {self.peer, self.owner} & ready.keys() or self._word() != GO:
            raise given_up()

    def _word(self) -> bytes:
        try:
            return os.read(self.descriptor, 64)
        except ConnectionResetError:
            return b""  # who walks has gone, and has not read that we are here

    def _tell(self, cost: int | None) -> None:
        view = {
            "hostname": os.uname().nodename, "pid": os.getpid(), "uid": os.geteuid(), "gid": os.getegid(),
            "directory": _directory(),
        }  # fmt: skip
        try:
            os.write(self.descriptor, json.dumps({"cost": cost, "view": view}).encode())
        except (BrokenPipeError, ConnectionResetError):
            pass  # the next read says so


def read(data: bytes) -> tuple[int | None, dict[str, Any]]:
    """An arrival: what the last operation cost, and the view.

    Raises:
        RuntimeFailure: it is none.
    """
    try:
        said = json.loads(data)
        cost, view = said["cost"], said["view"]
        if isinstance(cost, int | None) and all(isinstance(view[name], kind) for name, kind in _VIEW.items()):
            return cost, view
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise RuntimeFailure("gate: who arrives says what is no message")


def given_up() -> RuntimeFailure:
    """What a start ends with that nobody walks on with."""
    return RuntimeFailure("given up between two of its steps")


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""  # it is not to be reached from its root
