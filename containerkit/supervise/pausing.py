"""Pause and unpause: a container's processes are stopped where they are, by the kernel, and know nothing of it.

The row says ``paused`` before the first process stops and until the last goes on: whatever is killed in between,
``unpause`` is the way back.
"""

from __future__ import annotations

import contextlib

from containerkit.errors import ContainerkitError, InvalidState, NotFound
from containerkit.linux.cgroups import Cgroup
from containerkit.store.containers import ContainerRecord
from containerkit.store.store import Store
from containerkit.supervise import specs


def pause(store: Store, record: ContainerRecord) -> None:
    """Stop every process of the container.

    Raises:
        InvalidState: it does not run, or is paused already.
        Timeout: a process could not be stopped; all run again.
    """
    store.containers.move(record.id, "pause")
    try:
        Cgroup(specs.cgroup(store, record.id)).freeze()
    except ContainerkitError:
        # It ends just now, or one of its processes hangs in the kernel.
        with contextlib.suppress(InvalidState, NotFound):
            store.containers.move(record.id, "unpause")
        raise


def unpause(store: Store, record: ContainerRecord) -> None:
    """Let its processes go on.

    Raises:
        InvalidState: it is not paused.
    """
    if record.state == "paused":
        Cgroup(specs.cgroup(store, record.id)).thaw()
    store.containers.move(record.id, "unpause")


def thaw(store: Store, record: ContainerRecord) -> None:
    """As :func:`unpause`, for one that is to end: what is frozen cannot. Nothing happens when it is not paused."""
    with contextlib.suppress(ContainerkitError):
        unpause(store, record)
