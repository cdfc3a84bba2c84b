"""Signals, the wait for the end, and removal, from the SDK's side.

A container has ended when its row says so, which its monitor writes as its last act but for letting the lease go. The
monitor's process may go on then, with another container.
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
#: Seconds between two looks at what is about to change, at first and at most.
_FIRST_PAUSE, _PAUSE = 0.001, 0.05
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
    pause = 0.0
    while True:
        record = current(store, id)
        if record is None or record.state not in ALIVE:
            _await_owner(store, id)
            return True
        left = None if deadline is None else deadline - time.monotonic()
        if ends := pidfds(record):
            try:
                if not process.wait_for_any(*ends, timeout=left):
                    return False
            finally:
                for end in ends:
                    os.close(end)
        else:
            # Its monitor is at its last acts, or somebody else is, or one is about to start it.
            if left is not None and left <= 0:
                return False
            pause = _following(pause)
            time.sleep(pause)


def _await_owner(store: Store, id: str) -> None:
    """Its monitor may have written down the end, and be about to release volumes and lease, for who comes next."""
    deadline = time.monotonic() + START_TAKES  # a driver that unmounts may take its time
    pause = 0.0
    while store.leases.is_held(id) and time.monotonic() < deadline:
        record = store.containers.read(id)
        if record is not None and record.state in OWNED:
            return  # it is somebody else's
        pause = _following(pause)
        time.sleep(pause)


def pidfds(record: ContainerRecord) -> tuple[int, ...]:
    """Of processes of a container that lives: when one of them ends it may have ended. The caller's to close.

    None where something is about to change in a moment.
    """
    monitor = process.pidfd(record.monitor, record.monitor_started)
    if monitor is None or record.state == "restarting":
        return () if monitor is None else (monitor,)
    # Not the monitor alone: it may go on, with another container.
    init = process.pidfd(record.pid, record.pid_started)
    if init is None:
        os.close(monitor)
        return ()
    return init, monitor


def _following(pause: float) -> float:
    """Seconds until the next look after one that came after ``pause`` seconds."""
    return min(2 * pause, _PAUSE) or _FIRST_PAUSE


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
