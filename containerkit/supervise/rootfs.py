"""A container's files from outside: a descriptor of its root, whether it runs or not.

Of one that runs it is the root that its own processes see, mounts included. Of one that does not, its layers are
stacked anew in a mount that is attached nowhere, with its volumes and binds: it goes with the descriptor, whatever
happens to us.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from errno import EINVAL
from typing import NamedTuple

from containerkit.errors import InvalidState, NotFound, from_os_error
from containerkit.linux import confinement, mounts, process
from containerkit.oci.runtime_spec import IDMapping, Linux, Mount, User
from containerkit.options import Settings
from containerkit.runtime import mount_options, mounting
from containerkit.runtime.namespaces import HoldMaps
from containerkit.runtime.operation import Context
from containerkit.store.containers import ALIVE, ContainerRecord
from containerkit.store.images import ImageRecord
from containerkit.store.paths import Paths
from containerkit.store.store import Store
from containerkit.supervise import configjson, ending, worker
from containerkit.supervise.volumes import drivers


class Root:
    """Opens a container's root, each time as it is then. Can be pickled: whoever gets it opens the store anew."""

    def __init__(self, store: Store, id: str, name: str) -> None:
        self.store, self.id, self.name = store, id, name

    def __reduce__(self) -> tuple[Callable[..., Root], tuple[Paths, str, str]]:
        return Root.anew, (self.store.paths, self.id, self.name)

    @property
    def subject(self) -> str:
        """How errors name it."""
        return f"container {self.name}"

    @classmethod
    def anew(cls, paths: Paths, id: str, name: str) -> Root:
        """Of the store below these paths."""
        return cls(Store(paths), id, name)

    def lives_in(self) -> int:
        """The process in whose user namespace its files are to be worked on; 0 for any."""
        record = ending.current(self.store, self.id)
        return record.pid or 0 if record is not None else 0

    def __call__(self) -> AbstractContextManager[View]:
        """For a ``with``.

        Raises:
            NotFound: the container, or its image, is gone.
        """
        record = ending.current(self.store, self.id)
        if record is None:
            raise NotFound(f"{self.subject}: not found (removed)")
        return opened(self.store, record, self.store.images.get(record.image))


class View(NamedTuple):
    """A root's descriptor, and the user and group that its root is as seen through it.

    ``person`` is who runs the container, as seen from here, where that is not this process's user.
    """

    descriptor: int
    first: tuple[int, int] = (0, 0)
    person: tuple[int, int] | None = None

    @property
    def maker(self) -> tuple[int, int]:
        """Who makes files: its root, or who is there in the place of one."""
        return self.first if self.person is None else (os.getuid(), os.getgid())


@contextmanager
def opened(store: Store, record: ContainerRecord, image: ImageRecord) -> Iterator[View]:
    """The root of the container's file system. What is below it is a stranger's: resolve inside.

    Where the container has users of its own, this thread makes files as its root meanwhile.

    Raises:
        InvalidState: it is just being started or removed.
    """
    while True:
        if record.state in ALIVE and (root := _of_process(record)) is not None:
            view = _seen(root, configjson.read(store, record.id).linux)
            try:
                with process.filesystem_ids(*view.maker):
                    yield view
            finally:
                os.close(root)
            return
        # While we hold the lease nobody can start it: one writable layer is in one mount only.
        lease = store.leases.take(record.id)
        if lease is not None:
            break
        now = ending.current(store, record.id)
        if now is None or now.state not in ALIVE:
            raise InvalidState(f"container {record.name}: its files cannot be reached: it is being started or removed")
        record = now
    try:
        linux = configjson.read(store, record.id).linux
        if linux.uid_mappings and confinement.is_confined():
            # A worker, which is here for this alone: it stays.
            _enter_anew(linux)
        with _whole(store, record, image) as root:
            yield _seen(root, linux) if confinement.is_confined() else View(root)
    finally:
        os.close(lease)


@contextmanager
def _whole(store: Store, record: ContainerRecord, image: ImageRecord) -> Iterator[int]:
    """The root of one that does not run, with its volumes and binds."""
    wanted = Settings.read(record.options).mounts
    found = [one for one in wanted if one.type in ("bind", "volume") and not one.copy_on_write]
    with ExitStack() as stack:
        if found:
            for one in found:
                if one.type == "volume":
                    stack.enter_context(drivers.held(store, one.source))
            targets = {one.target for one in found}
            binds = tuple(one for one in configjson.read(store, record.id).mounts if one.destination in targets)
            (mount,) = store.snapshots.mounts(record.id, image)
            root: int = worker.call(stacked_apart, (str(store.paths.tmp), mount, binds), {})
        else:
            root = mounted(store, record, image)
        stack.callback(os.close, root)
        yield root


def _seen(root: int, linux: Linux) -> View:
    if confinement.is_confined() and linux.uid_mappings:
        # We are in its user namespace; the person is root of the one around it.
        uid, gid = (_whose(maps, 0) for maps in (linux.uid_mappings, linux.gid_mappings))
        return View(root, person=(uid, gid))
    return View(root, linux.host_ids(User()) or (0, 0))


def _whose(maps: tuple[IDMapping, ...], host_id: int) -> int:
    return next(m.container_id + host_id - m.host_id for m in maps if m.host_id <= host_id < m.host_id + m.size)


def _enter_anew(linux: Linux) -> None:
    """Into a user namespace as that of an ordinary user's container that does not run."""
    users = HoldMaps(linux.uid_mappings, linux.gid_mappings).open()
    try:
        confinement.enter(users)
    finally:
        os.close(users)


def _of_process(record: ContainerRecord) -> int | None:
    try:
        root = os.open(f"/proc/{record.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError as error:
        raise from_os_error(error, f"container {record.name}: its files") from error
    # Opened first, looked at second: if it is the right process now, the root is.
    if record.pid is not None and process.start_time(record.pid) == record.pid_started:
        return root
    os.close(root)
    return None


def mounted(store: Store, record: ContainerRecord, image: ImageRecord) -> int:
    """A descriptor of the root of a container that does not run, and that nobody starts meanwhile."""
    (mount,) = store.snapshots.mounts(record.id, image)
    if mount.type == "bind":
        return os.open(mount.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _stacked(mount.options)
    except OSError as error:
        # Before Linux 6.5 there is room for a dozen layers in fsconfig(2); mount(2) takes more, and a place that only a
        # process with one thread can have to itself.
        if error.errno != EINVAL:
            raise from_os_error(error, f"container {record.name}") from error
        descriptor: int = worker.call(stacked_apart, (str(store.paths.tmp), mount), {})
        return descriptor


def _stacked(options: tuple[str, ...]) -> int:
    with ExitStack() as stack:

        def short(path: str) -> str:
            # fsconfig(2) takes 256 bytes for a value: the layers by their descriptors, not their names.
            descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            return f"/proc/self/fd/{descriptor}"

        chosen = dict(option.partition("=")[::2] for option in options)
        layers = [short(layer) for layer in chosen.pop("lowerdir").split(":")]
        places = [(key, short(chosen.pop(key))) for key in ("upperdir", "workdir")]
        return mounts.new_mount("overlay", [*mounts.stacked(layers), *places, *chosen.items()])


def stacked_apart(place: str, mount: Mount, binds: tuple[Mount, ...] = ()) -> worker.Handed:
    """As for :func:`opened`, by way of a mount on ``place`` that nobody else sees. In a process with one thread.

    Args:
        binds: what is mounted in it.
    """
    with mounts.private_mounts():
        if mount.type == "bind":
            mounts.mount(mount.source, place, "", mounts.MS_BIND)
        else:
            layers, *rest = mount.options
            mounts.mount_overlay(place, layers.removeprefix("lowerdir=").split(":"), rest)
        root = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            context = Context(root=root)
            for bind in binds:
                options = mount_options.parse(bind.options)
                os.close(mounting.Mount(bind.destination, bind.type, bind.source, options).bind(context))
            return worker.Handed(mounts.open_tree(place, recursive=True))
        finally:
            os.close(root)
