"""Who keeps volumes' content, and when it is mounted.

A *driver* is ``local`` (local.py), or a class that a package names in its entry points of the group
``containerkit.volume_drivers``; :class:`VolumeDriver` is what it has to have. A volume whose content is not simply a
directory of ours is mounted at ``volumes/NAME/data`` as long as somebody needs it (an ordinary user, who mounts
nothing, has a link there)::

    take      before a start, before its files are worked on: mounted, when it is not yet
    release   after the end of a container, and of the work: unmounted, when nobody is left

Who is left is what rows say, containers that are alive or about to be, and a shared lock on ``held`` in the volume's
directory, which work on its files holds. A lock on the directory itself lets two that come and go wait for each other.
What somebody was killed over is released by whoever opens the store next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from errno import EBUSY
from typing import TYPE_CHECKING

from containerkit.errors import ContainerkitError, InvalidArgument, InvalidState, NotFound, RuntimeFailure
from containerkit.linux import mounts, procfs
from containerkit.linux.confinement import is_rootless
from containerkit.linux.files import locked
from containerkit.supervise.volumes import local

if TYPE_CHECKING:
    from containerkit.store.database import Database
    from containerkit.store.store import Store
    from containerkit.store.volumerows import VolumeRecord
    from containerkit.store.volumes import Volumes

GROUP = "containerkit.volume_drivers"


class VolumeDriver:
    """Keeps the content of volumes somewhere. A subclass is named by an entry point; one object is made per use.

    Whatever it raises becomes an error that names the volume. Calls may come from any process, and be repeated after a
    kill: each has to be idempotent.
    """

    def create(self, name: str, options: Mapping[str, str]) -> None:
        """A volume is made.

        Raises:
            ValueError: an option that cannot be.
        """

    def remove(self, name: str) -> None:
        """It is removed, with its content; it is not mounted then."""

    def mount(self, name: str) -> str:
        """Make its content a directory of this machine; its path. Called when the first container needs it, and for an
        ordinary user with each.
        """
        raise NotImplementedError

    def unmount(self, name: str) -> None:
        """Nobody needs it any more. Where it raises, an ordinary user's is tried again by who opens the store next."""


def find(name: str) -> VolumeDriver | None:
    """The driver of that name; None for ``local``.

    Raises:
        InvalidArgument: there is none.
    """
    if name == "local":
        return None
    from importlib.metadata import entry_points

    known = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in known:
        raise InvalidArgument(f"driver {name!r}: not known (known are {', '.join(sorted({'local', *known}))})")
    found: VolumeDriver = known[name].load()()
    return found


@contextlib.contextmanager
def _told(name: str, driver: str) -> Iterator[None]:
    """What a driver raises, as an error of ours."""
    try:
        yield
    except ContainerkitError:
        raise
    except ValueError as error:
        raise InvalidArgument(f"volume {name}: driver {driver}: {error}") from error
    except Exception as error:
        raise RuntimeFailure(f"volume {name}: driver {driver}: {error or type(error).__name__}") from error


def create(name: str, driver: str, options: Mapping[str, str]) -> None:
    """Before a volume is written down: whether its driver takes these options.

    Raises:
        InvalidArgument: no such driver, or option.
    """
    chosen = find(driver)
    if chosen is None:
        local.check(name, options)
        return
    with _told(name, driver):
        chosen.create(name, options)


def is_plain(record: VolumeRecord) -> bool:
    """Whether its content is a directory of ours, with nothing to mount and nobody to tell."""
    return record.driver == "local" and not record.options


def is_mounted(record: VolumeRecord) -> bool:
    """Whether its content has to be mounted."""
    return not (is_plain(record) or is_hosts(record))


def is_hosts(record: VolumeRecord) -> bool:
    """Whether it is a directory of this machine, with files that were there before."""
    return record.driver == "local" and local.shown(record.options) is not None


def is_in_memory(record: VolumeRecord) -> bool:
    """Whether its content is gone as soon as it is unmounted."""
    return record.driver == "local" and not is_hosts(record) and local.is_in_memory(record.options)


def path(volumes: Volumes, record: VolumeRecord) -> str:
    """The directory of this machine that its content is, while it is mounted."""
    place = local.shown(record.options) if record.driver == "local" else None
    return place or f"{volumes.directory(record.name)}/data"


def take(volumes: Volumes, record: VolumeRecord) -> str:
    """Mount it, when it is not; its path. The caller's container is written down already, or :func:`held` is used.

    Raises:
        RuntimeFailure: it cannot be mounted.
    """
    if not is_mounted(record):
        return path(volumes, record) if is_hosts(record) else volumes.make(record.name)
    target = volumes.make(record.name)
    with locked(volumes.directory(record.name), is_directory=True):
        if os.path.islink(target) or not _is_mount(target):
            driver = find(record.driver)
            if driver is None:
                local.mount(record.name, volumes.directory(record.name), record.options)
            else:
                with _told(record.name, record.driver):
                    _show(driver.mount(record.name), target)
    return os.path.realpath(target)


def _show(place: str, target: str) -> None:
    """Make what a driver has mounted the volume's content."""
    os.stat(place)
    if not is_rootless():
        mounts.mount(place, target, "", mounts.MS_BIND | mounts.MS_REC)
        return
    # A link survives the machine's end, as the driver's mount does not: with one, the driver is asked each time.
    if os.path.islink(target):
        os.unlink(target)
    else:
        os.rmdir(target)
    os.symlink(place, target)


def release(database: Database, names: Iterable[str]) -> None:
    """Unmount those that nobody needs any more."""
    from containerkit.store.volumes import Volumes

    volumes = Volumes(database)
    for name in names:
        directory = volumes.directory(name)
        with contextlib.suppress(FileNotFoundError), locked(directory, is_directory=True):
            if not volumes.running(name) and _is_free(directory):
                _unmount(volumes, name)


def _unmount(volumes: Volumes, name: str) -> bool:
    """Unmount it, and tell its driver; False when somebody of this machine has it open."""
    target = f"{volumes.directory(name)}/data"
    record = volumes.read(name)
    if os.path.islink(target):
        # The driver first: where this process cannot, whoever opens the store next tries again.
        if record is None or _tell(record):
            os.unlink(target)
            os.mkdir(target, 0o755)
        return True
    if not _is_mount(target):
        return True
    is_ours = record is None or record.driver == "local"
    try:
        while _is_mount(target):
            # Not lazily: a file system that lives on where nobody sees it would be mounted a second time. What a driver
            # shows is but shown here, with all that is mounted below it.
            mounts.umount2(target, 0 if is_ours else mounts.MNT_DETACH)
    except OSError as error:
        if error.errno != EBUSY:
            raise
        return False
    if record is not None and not is_ours:
        _tell(record)
    return True


def _tell(record: VolumeRecord) -> bool:
    """Tell its driver that nobody needs it any more; whether it has heard."""
    try:
        driver = find(record.driver)
        if driver is not None:
            with _told(record.name, record.driver):
                driver.unmount(record.name)
    except ContainerkitError:  # a driver that is gone, or cannot
        return False
    return True


def remove(volumes: Volumes, record: VolumeRecord) -> None:
    """Before its row goes: unmounted, and its driver told.

    Raises:
        InvalidState: somebody works on its files.
        RuntimeFailure: the driver cannot remove it.
    """
    if not is_mounted(record):
        return
    directory = volumes.directory(record.name)
    if os.path.isdir(directory):
        with locked(directory, is_directory=True):
            if not _is_free(directory) or not _unmount(volumes, record.name):
                raise InvalidState(f"volume {record.name}: cannot remove: somebody of this machine has its files open")
    driver = find(record.driver)
    if driver is not None:
        with _told(record.name, record.driver):
            driver.remove(record.name)


@contextlib.contextmanager
def held(store: Store, name: str) -> Iterator[str]:
    """A volume's content for the time of a block; its path.

    Raises:
        NotFound: it is not there.
        RuntimeFailure: it cannot be mounted.
    """
    record = store.volumes.find(name)
    if not is_mounted(record):
        yield take(store.volumes, record)
        return
    store.volumes.make(record.name)
    try:
        descriptor = os.open(f"{store.volumes.directory(name)}/held", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        raise NotFound(f"volume {name}: not found (removed)") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield take(store.volumes, record)
    finally:
        os.close(descriptor)
        release(store.database, [name])


def _is_free(directory: str) -> bool:
    """Whether nobody holds it."""
    try:
        descriptor = os.open(f"{directory}/held", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _is_mount(path: str) -> bool:
    real = os.path.realpath(path)
    return any(mount.target == real for mount in procfs.mounts("self"))


def sweep(store: Store) -> None:
    """Unmount what nobody needs any more, whoever was killed."""
    release(store.database, [record.name for record in store.volumes.others() if is_mounted(record)])


def others(volumes: Volumes, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the volumes that are not plain directories of ours: what :func:`release` is for."""
    records = map(volumes.read, names)
    return tuple(record.name for record in records if record is not None and not is_plain(record))
