"""Create and start, from the SDK's side: the order of steps is what makes a kill at any moment harmless.

The lease comes first, then the row, which goes last (reserving.py). While that says ``creating`` or ``starting``, this
process holds the lease, and hands it to the monitor (asking.py); whoever finds such a row without an owner knows what
to undo.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

from containerkit.configuration import Configuration
from containerkit.errors import ContainerkitError, InvalidState
from containerkit.options import Settings
from containerkit.store.containers import ContainerRecord
from containerkit.store.images import ImageRecord
from containerkit.store.store import Store
from containerkit.supervise import asking, configjson, ending, names, reserving
from containerkit.supervise.awaiting import Running


@contextlib.contextmanager
def whole(store: Store) -> Iterator[str]:
    """The id of a container that is made in the block; when that fails or is interrupted, nothing is left of it.

    Around all that makes it, for an interrupt (SIGINT) comes between any two steps: it may be running by then.
    """
    id = names.random_id()
    try:
        yield id
    except BaseException:
        with contextlib.suppress(OSError, ContainerkitError):  # as far as the disk lets us; the next call goes on
            if (record := store.containers.read(id)) is not None:
                ending.remove(store, record, force=True, volumes=True)
                reserving.release(store, record)
        raise


def create(
    store: Store, configuration: Configuration, image: ImageRecord, reference: str, settings: Settings, *,
    replace: bool = False,
) -> ContainerRecord:  # fmt: skip
    """A container in state ``created``."""
    with whole(store) as id:
        record, lease = reserving.reserve(
            store, configuration, image, reference, settings, id, replace=replace, starts=False
        )
        try:
            reserving.write_bundle(store, record, image)
            store.containers.move(record.id, "create")
            reserving.release(store, record)
        finally:
            os.close(lease)
    return record._replace(state="created")


def run(
    store: Store,
    configuration: Configuration,
    image: ImageRecord,
    reference: str,
    settings: Settings,
    stdin: int,
    *,
    id: str,
    replace: bool = False,
    with_log: bool = False,
    tied: bool = False,
    hidden: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
    gates: Sequence[int] = (),
) -> Running:
    """Create and start in one.

    Args:
        configuration: has what is not said of networks.
        id: of :func:`whole`: if it cannot be started, nothing is left of it.
        stdin: a descriptor for the program's standard input; stays the caller's.
        with_log: open the log before the start: the container may be gone, log and all, right after.
        tied: it ends when the channel of the result is closed, or this process is gone, and is removed then, not
            before. For settings with ``remove``.
        hidden: more of its environment (``NAME=value``), which is written down nowhere.
        links: symbolic links at the top of its root, by name, for a container of no image.
        gates: two descriptors, where it waits before each operation (runtime/gate.py).
    """
    record, lease = reserving.reserve(
        store, configuration, image, reference, settings, id, replace=replace, starts=True
    )
    log = -1
    try:
        reserving.write_bundle(store, record, image)
        for name, target in (links or {}).items():
            os.symlink(target, store.snapshots.upper(record.id) / name)
        if with_log:
            path = os.path.join(configjson.directory(store, record.id), "log")
            log = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        running = asking.request(store, record, image, lease, stdin, fresh=True, tied=tied, hidden=hidden, gates=gates)
        running.log = log
        return running
    except BaseException:
        if log >= 0:
            os.close(log)
        raise
    finally:
        os.close(lease)


def start(store: Store, record: ContainerRecord, image: ImageRecord, stdin: int) -> Running:
    """Start a container that is created or has ended.

    Raises:
        InvalidState: it runs already.
    """
    lease = store.leases.take(record.id)
    if lease is None:
        raise InvalidState(f"container {record.name}: cannot start: it is running")
    try:
        store.containers.move(record.id, "start", stopped=0, restarts=0)
        try:
            return asking.request(store, record, image, lease, stdin, fresh=False)
        except Exception:
            # What it needs is not there, or it could not be asked for: as before. An interrupted call may have asked:
            # then it starts, or whoever looks next sees that nobody has its lease.
            store.containers.move(record.id, "fail" if record.started is None else "exit")
            reserving.release(store, record)
            raise
    finally:
        os.close(lease)
