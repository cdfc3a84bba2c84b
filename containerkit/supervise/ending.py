"""Signals, the wait for the end, and removal, from the SDK's side.

A container has ended when its monitor has: everything else of it is gone by then, and everything is written down.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

from containerkit.errors import InvalidState
from containerkit.linux import process
from containerkit.store.containers import ContainerRecord
from containerkit.store.store import Store
from containerkit.supervise import recover


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


def kill(store: Store, record: ContainerRecord) -> None:
    """End every process of the container, and return when they are gone; nothing, when it has ended already."""
    send(record, signal.SIGKILL)
    wait(store, record.id, None)


def wait(store: Store, id: str, timeout: float | None) -> bool:
    """Wait for the end. False when ``timeout`` seconds are up before."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        record = current(store, id)
        if record is None or record.state != "running":
            return True
        pidfd = process.pidfd(record.monitor, record.monitor_started)
        if pidfd is None:
            continue  # between its last word and the end of its lease
        try:
            if not readable(pidfd, None if deadline is None else deadline - time.monotonic()):
                return False
        finally:
            os.close(pidfd)


def readable(descriptor: int, timeout: float | None) -> bool:
    """Wait until there is something to read, at most ``timeout`` seconds."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))


def remove(store: Store, record: ContainerRecord) -> None:
    """Remove a container that does not run, with its writable layer and its log.

    Raises:
        InvalidState: somebody is starting it.
    """
    lease = store.leases.take(record.id)
    if lease is None:
        raise InvalidState(f"container {record.name}: cannot remove: it is being started")
    try:
        store.snapshots.remove(record.id)
        store.containers.delete(record.id)
    finally:
        os.close(lease)
