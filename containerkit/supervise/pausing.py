"""Pause and unpause: a container's processes are stopped where they are, by the kernel, and know nothing of it.

The row says ``paused`` before the first process stops and until the last goes on: whatever is killed in between,
``unpause`` is the way back. Who only wants it still for a while has the monitor stop it (:class:`Holds`): that lets it
go on as soon as their connection ends, and that ends with them.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from containerkit.errors import ContainerkitError, InvalidState, NotFound, Unsupported
from containerkit.linux.cgroups import Cgroup
from containerkit.store.containers import ContainerRecord, Containers
from containerkit.supervise import configjson, control, messages

if TYPE_CHECKING:
    from containerkit.store.store import Store


def pause(store: Store, record: ContainerRecord) -> None:
    """Stop every process of the container.

    Raises:
        InvalidState: it does not run, or is paused already.
        Timeout: a process could not be stopped; all run again.
    """
    _stop(store.containers, record.id, Cgroup(configjson.cgroup(store, record.id)))


def _stop(containers: Containers, id: str, cgroup: Cgroup) -> None:
    containers.move(id, "pause")
    try:
        cgroup.freeze()
    except ContainerkitError:
        # It ends just now, or one of its processes hangs in the kernel.
        with contextlib.suppress(InvalidState, NotFound):
            containers.move(id, "unpause")
        raise


def unpause(store: Store, record: ContainerRecord) -> None:
    """Let its processes go on.

    Raises:
        InvalidState: it is not paused.
    """
    if record.state == "paused":
        Cgroup(configjson.cgroup(store, record.id)).thaw()
    store.containers.move(record.id, "unpause")


def thaw(store: Store, record: ContainerRecord) -> None:
    """As :func:`unpause`, for one that is to end: what is frozen cannot. Nothing happens when it is not paused."""
    with contextlib.suppress(ContainerkitError):
        unpause(store, record)


@contextlib.contextmanager
def still(store: Store, record: ContainerRecord) -> Iterator[None]:
    """Stopped meanwhile, and going on at the end, also when this process is killed.

    One that somebody has paused stays so; one that has just ended is still by itself.

    Raises:
        Unsupported: it has no cgroup to stop it by.
        RuntimeFailure: a process could not be stopped; all run again.
    """
    configjson.cgroup(store, record.id)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            channel = stack.enter_context(control.connect(store.paths.control(record.id)))
            messages.send_reply(channel, messages.HoldStill())
            reply, _ = messages.receive_reply(channel)
            if isinstance(reply, messages.Failed):
                raise reply.error(f"container {record.name}")
            stack.callback(_let_go, channel)
        yield


def _let_go(channel: socket.socket) -> None:
    with contextlib.suppress(OSError):
        channel.shutdown(socket.SHUT_WR)
        # The monitor hangs up once it goes on.
        messages.receive_reply(channel)


class Holds:
    """In the monitor: who wants its container still, by number. It goes on when the last has left.

    Args:
        cgroup: that of the container's present run.
    """

    def __init__(self, containers: Containers, id: str, cgroup: Callable[[], Cgroup | None]) -> None:
        self._containers, self._id, self._cgroup = containers, id, cgroup
        self._holders: set[int] = set()

    def take(self, who: int) -> None:
        """Stop it.

        Raises:
            Timeout: a process could not be stopped; all run again.
            Unsupported: there is nothing to stop it by.
        """
        cgroup = self._cgroup()
        if cgroup is None:
            raise Unsupported("it has no cgroup to stop it by")
        if not self._holders:
            try:
                _stop(self._containers, self._id, cgroup)
            except (InvalidState, NotFound):
                return  # it ends, or somebody has paused it: they say when it goes on
        self._holders.add(who)

    def leave(self, who: int) -> None:
        """They do not want it any more, if ever they did."""
        if who not in self._holders:
            return
        self._holders.remove(who)
        cgroup = self._cgroup()
        if not self._holders and cgroup is not None:
            with contextlib.suppress(ContainerkitError):  # somebody has let it go on before, or it has ended
                cgroup.thaw()
                self._containers.move(self._id, "unpause")
