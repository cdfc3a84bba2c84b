"""Signals, the wait for the end, and removal, from the SDK's side.

A container has ended when its monitor has: everything else of it is gone by then, and everything is written down.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from containerkit.errors import InvalidState
from containerkit.linux import process
from containerkit.store.containers import ALIVE, OWNED, ContainerRecord
from containerkit.store.store import Store
from containerkit.supervise import control, messages, pausing, recover

#: Seconds that no start takes.
START_TAKES = 30.0
#: Seconds that nobody holds a lease only to see how a container ended.
_LOOK_TAKES = 2.0


def current(store: Store, id: str) -> ContainerRecord | None:
    """The container as it really is, or None when it is gone."""
    record = store.containers.read(id)
    return None if record is None else recover.truth(store, record)


def send(record: ContainerRecord, number: int) -> None:
    """Send a signal to the container's pid 1. One that has just ended is not an error: its monitor will say so."""
    pidfd = process.pidfd(record.pid, record.pid_started)
    if pidfd is None:
        return
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)
    finally:
        os.close(pidfd)


def stay_ended(store: Store, record: ContainerRecord) -> None:
    """Let its restart policy rest: it ends for good with its present run, or now when it waits for its next one."""
    store.containers.amend(record.id, stopped=1)
    with contextlib.suppress(OSError), control.connect(store.paths.control(record.id)) as connection:
        messages.send_reply(connection, messages.StayEnded())


def kill(store: Store, record: ContainerRecord) -> None:
    """End every process of the container, and return when they are gone; nothing, when it has ended already."""
    send(record, signal.SIGKILL)
    if record.state == "paused":
        pausing.thaw(store, record)
    wait(store, record.id, None)


def stop(store: Store, record: ContainerRecord, number: int, grace: float) -> None:
    """Ask its pid 1 to end, and kill it when it has not after ``grace`` seconds. It stays ended."""
    stay_ended(store, record)
    send(record, number)
    if record.state == "paused":
        pausing.thaw(store, record)
    if not wait(store, record.id, grace) and (now := current(store, record.id)) is not None:
        kill(store, now)


def wait(store: Store, id: str, timeout: float | None) -> bool:
    """Wait for the end. False when ``timeout`` seconds are up before."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        record = current(store, id)
        if record is None or record.state not in ALIVE:
            return True
        pidfd = process.pidfd(record.monitor, record.monitor_started)
        if pidfd is None:
            # Between its last word and the end of its lease, or somebody is doing its last step.
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(0.002)
            continue
        try:
            if not process.readable(pidfd, None if deadline is None else deadline - time.monotonic()):
                return False
        finally:
            os.close(pidfd)


def remove(store: Store, record: ContainerRecord, *, force: bool, volumes: bool = False) -> None:
    """Remove a container, with its writable layer and its log.

    Args:
        force: kill it first when it runs; one that somebody is just starting is waited for.
        volumes: its anonymous volumes, too, where no other container uses them.

    Raises:
        InvalidState: it runs, or somebody is starting it, and not ``force``.
    """
    lease = _take(store, record, force)
    if lease is None:
        return
    try:
        store.snapshots.remove(record.id)
        store.containers.delete(record.id, volumes=volumes)
    finally:
        os.close(lease)


def _take(store: Store, record: ContainerRecord, force: bool) -> int | None:
    """The lease of the container once it does not run; None when it is gone."""
    deadline = time.monotonic() + (START_TAKES if force else _LOOK_TAKES)
    now: ContainerRecord | None = record
    while now is not None:
        if now.state in ALIVE:
            if not force:
                raise InvalidState(f"container {now.name}: cannot remove: it is {now.status} (stop it, or force=True)")
            stay_ended(store, now)
            kill(store, now)
        elif (lease := store.leases.take(now.id)) is not None:
            if now.state not in OWNED and store.containers.read(now.id) == now:
                return lease
            # It was started meanwhile, or its owner has just been killed: looking again puts that right.
            os.close(lease)
        elif time.monotonic() >= deadline or (not force and now.state in OWNED):
            raise InvalidState(f"container {now.name}: cannot remove: it is being started")
        else:
            time.sleep(0.005)
        now = current(store, record.id)
    return None
