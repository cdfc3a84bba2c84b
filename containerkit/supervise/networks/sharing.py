"""The network namespace that an ordinary user's containers share, from the SDK's side: found, or made.

::

    SDK ──connect──> keeper ──> its user namespace, its network namespace        (net/keeper.py)
     │ no keeper: under a lock, a spare becomes one; it is given the namespaces of a monitor that lives
     └──Start + both + the connection──> a spare: enters the one, later the other (inside.py), holds the last

All containers on networks of one engine are so in one user namespace, too, whichever SDK process started them: who
made it may be gone. Root's networks are where root is, and nothing of this is needed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from containerkit.errors import ContainerkitError, RuntimeFailure, about
from containerkit.linux import process
from containerkit.linux.files import locked
from containerkit.options import Settings
from containerkit.store import rights
from containerkit.store.containers import ALIVE
from containerkit.store.store import Store
from containerkit.supervise import control, messages, worker
from containerkit.supervise.client import spawner
from containerkit.values import frozen


@frozen
class Place:
    """The namespaces, there as long as the connection to their keeper."""

    connection: socket.socket
    users: int
    network: int

    @property
    def descriptors(self) -> tuple[int, int, int]:
        """What a Start brings along."""
        return self.users, self.network, self.connection.fileno()

    def close(self) -> None:
        """Be no guest any more."""
        self.connection.close()
        os.close(self.users)
        os.close(self.network)


@contextlib.contextmanager
def place(store: Store, *, make: bool = True) -> Iterator[Place | None]:
    """Where containers' networks are; None: here, or (without ``make``) nowhere, for no container is on any.

    Raises:
        RuntimeFailure: there can be none.
    """
    found = _find(store, make) if rights.is_needed else None
    try:
        yield found
    finally:
        if found is not None:
            found.close()


def call(store: Store, function: Callable[..., Any], *args: Any) -> Any:
    """The result of a function of ``bridging``, called where the networks are; None when they are nowhere."""
    with place(store, make=False) as there:
        if there is None and rights.is_needed:
            return None
        return worker.call(function, args, {}, () if there is None else there.descriptors[:2])


def _find(store: Store, make: bool) -> Place | None:
    found = _connect(store)
    if found is None:
        with locked(store.paths.network_lock) as lock:
            # Another process may have made it meanwhile.
            found = _connect(store) or _make(store, lock, make)
    return found


def _connect(store: Store) -> Place | None:
    try:
        connection = control.connect(store.paths.keeper)
    except OSError:
        return None
    return _welcomed(connection)


def _welcomed(connection: socket.socket) -> Place | None:
    """What the keeper gives; None when it has gone."""
    try:
        with about("networks"):
            reply, descriptors = messages.receive_reply(connection)
    except ContainerkitError:
        connection.close()
        raise
    if isinstance(reply, messages.Kept):
        if reply.problem:
            _warn(reply.problem)
        return Place(connection, *descriptors)
    connection.close()
    if isinstance(reply, messages.Failed):
        raise reply.error("networks")
    return None


@cache
def _warn(problem: str) -> None:
    """Once in a process."""
    warnings.warn(f"containers do not reach the outside: {problem}", RuntimeWarning, stacklevel=2)


def _make(store: Store, lock: int, make: bool) -> Place | None:
    there = _of_living(store)
    try:
        if not there and not make:
            return None
        request = messages.Keep(store.paths.keeper, store.paths.network_lock)
        # The lock goes along: it is held until the keeper listens, should this process be killed before.
        found = _welcomed(spawner.request(request, (lock, *there)))
    finally:
        for descriptor in there:
            os.close(descriptor)
    if found is None:
        raise RuntimeFailure("networks: their keeper was killed while it started")
    return found


def _of_living(store: Store) -> tuple[int, ...]:
    """The user and the network namespace of a monitor whose container is on networks; nothing when there is none."""
    for record in store.containers.owned():
        if record.state in ALIVE and record.monitor and Settings.read(record.options).network == "bridge":
            pidfd = process.pidfd(record.monitor, record.monitor_started)
            if pidfd is None:
                continue
            with contextlib.suppress(OSError):
                # Opened first, looked at second: it lives, so they are its own.
                found = _open(record.monitor, "user"), _open(record.monitor, "net")
                if not process.readable(pidfd, 0):
                    os.close(pidfd)
                    return found
                for descriptor in found:
                    os.close(descriptor)
            os.close(pidfd)
    return ()


def _open(pid: int, kind: str) -> int:
    return os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def users_of(pid: int) -> int:
    """A descriptor of the user namespace of a process.

    Raises:
        OSError: it has ended.
    """
    return _open(pid, "user")
