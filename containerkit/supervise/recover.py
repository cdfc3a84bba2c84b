"""The last step of a monitor that was killed, done by whoever looks next.

A row whose state needs an owner (``store/containers.py``: OWNED) and whose lease nobody holds tells of a
process that was killed. Its init may still live; it is ended, for nobody would ever learn how it ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from containerkit.linux import process
from containerkit.linux.cgroups import Cgroup
from containerkit.options import Settings
from containerkit.runtime import bundle
from containerkit.store import workspace
from containerkit.store.containers import ALIVE, OWNED, ContainerRecord
from containerkit.store.store import Store
from containerkit.store.trees import remove_tree
from containerkit.supervise.networks import bridging, sharing
from containerkit.supervise.volumes import drivers


def truth(store: Store, record: ContainerRecord) -> ContainerRecord | None:
    """The container as it really is: ``record`` itself, a newer row, or None when it is gone.

    What has no owner any more is cleaned up on the way.
    """
    if record.state not in OWNED or store.leases.is_held(record.id):
        return record
    lease = store.leases.take(record.id)
    if lease is None:
        return store.containers.read(record.id)
    try:
        # Read again under the lease: its monitor may have finished between the two looks.
        current = store.containers.read(record.id)
        if current is not None and current.state in OWNED:
            _finish(store, current)
            current = store.containers.read(record.id)
        return current
    finally:
        os.close(lease)


def sweep(store: Store) -> None:
    """Look at every container that may run, and take away what killed processes have left of volumes and of work."""
    for record in store.containers.owned():
        truth(store, record)
    _finish_removals(store)
    drivers.sweep(store)
    store.volumes.sweep()
    workspace.sweep(store.paths.tmp)
    workspace.sweep(store.paths.secrets)
    workspace.sweep(store.paths.removed)


def _finish_removals(store: Store) -> None:
    """The rest of removals whose process was killed: the files of a container go before its row."""
    there = set(os.listdir(store.paths.containers))
    for id in store.containers.ids():
        if id in there or (lease := store.leases.take(id)) is None:
            continue
        try:
            if store.containers.read(id) is not None and not os.path.isdir(os.path.join(store.paths.containers, id)):
                store.containers.delete(id)
        finally:
            os.close(lease)


def _finish(store: Store, record: ContainerRecord) -> None:
    names = drivers.others(store.volumes, Settings.read(record.options).volumes)
    _end(store, record)
    drivers.release(store.database, names)


def _end(store: Store, record: ContainerRecord) -> None:
    _end_processes(store, record)
    directory = os.path.join(store.paths.containers, record.id)
    if record.state == "creating" or (record.auto_remove and record.state in ALIVE):
        remove_tree(directory)
        store.containers.delete(record.id, exit_code=137 if record.state in ALIVE else None, volumes=True)
    elif record.state == "starting":
        move = "fail" if record.started is None else "exit"
        store.containers.move(record.id, move, error="killed while starting", pid=None, monitor=None)
    else:
        # One that was waiting for its next start has ended before.
        ended = {} if record.state == "restarting" else {"exit_code": 137, "finished": time.time()}
        store.containers.move(
            record.id, "exit", pid=None, monitor=None, **ended,
            error="the monitor was killed; the container was ended after it",
        )  # fmt: skip


def _end_processes(store: Store, record: ContainerRecord) -> None:
    init = None
    if record.boot_id in (None, process.boot_id()):
        init = process.pidfd(record.pid, record.pid_started)
    if init is not None:
        signal.pidfd_send_signal(init, signal.SIGKILL)
    path = _cgroup_path(store, record)
    if path:
        # A frozen process ends when it thaws, which this sees to.
        Cgroup(path).kill()
    if init is not None:
        process.readable(init, 10)
        os.close(init)
    if path:
        Cgroup(path).delete()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(store.paths.control(record.id))
    if record.ports != "[]":
        sharing.call(
            store, bridging.forget, str(store.paths.database), str(store.paths.root), record.id, record.published
        )


def _cgroup_path(store: Store, record: ContainerRecord) -> str:
    try:
        return bundle.load(os.path.join(store.paths.containers, record.id)).linux.cgroups_path
    except Exception:
        # The bundle was never finished: then no process was started from it.
        return ""
