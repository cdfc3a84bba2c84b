"""What there is of a container before its first start: its name, lease and row, and its directory."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from containerkit.configuration import Configuration
from containerkit.errors import AlreadyExists, InvalidArgument, NotFound, RuntimeFailure, about
from containerkit.layers import lookup
from containerkit.linux import seccomp_cache
from containerkit.oci import users as accounts
from containerkit.options import Settings
from containerkit.runtime import bundle
from containerkit.store.containers import ContainerRecord
from containerkit.store.images import ImageRecord
from containerkit.store.store import Store
from containerkit.supervise import configjson, ending, etc, names, recover
from containerkit.supervise.configure.image import inherit
from containerkit.supervise.configure.limits import asks_for_limits
from containerkit.supervise.configure.machine import Machine
from containerkit.supervise.configure.process import command_of
from containerkit.supervise.configure.spec import configure
from containerkit.supervise.networks import membership
from containerkit.supervise.volumes import drivers, settling


def reserve(
    store: Store, configuration: Configuration, image: ImageRecord, reference: str, settings: Settings, id: str, *,
    replace: bool, starts: bool,
) -> tuple[ContainerRecord, int]:  # fmt: skip
    """A row in state ``creating`` and its lease.

    Args:
        configuration: has what is not said of networks.
        replace: remove the container that has the name, however often another one takes it.
        starts: it is to be started: its addresses are leased.

    Raises:
        AlreadyExists: the name is taken by a living or ended container.
        InvalidArgument: there is no command to run.
        NotFound: a container that it shall have the volumes of is not there.
    """
    wishes = membership.wishes(store, configuration, settings)
    settings = inherit(settings, image.config.config)
    settings, uses = settling.settle(store, settings, image.config.config)
    command = command_of(settings, image.config.config)
    # The owner before the row: a row without an owner is one to clean up.
    lease = store.leases.take(id)
    assert lease is not None
    try:
        for _ in range(100):
            name = settings.name or names.random_name()
            try:
                return store.containers.insert(
                    id,
                    name,
                    image.id,
                    reference,
                    command,
                    settings.written(),
                    settings.remove,
                    wishes,
                    uses,
                    starts=starts,
                ), lease
            except AlreadyExists:
                if replace:
                    _remove_named(store, name)
                elif settings.name and not _was_stale(store, name):
                    raise
        raise AlreadyExists(f"container {settings.name}: no free name could be found")
    except BaseException:
        os.close(lease)
        raise


def _remove_named(store: Store, name: str) -> None:
    try:
        ending.remove(store, store.containers.find(name), force=True, volumes=True)
    except NotFound:
        pass


def _was_stale(store: Store, name: str) -> bool:
    """Whether the name belonged to something whose owner was killed, which is gone now."""
    try:
        return recover.truth(store, store.containers.find(name)) is None
    except NotFound:
        return True


def write_bundle(store: Store, record: ContainerRecord, image: ImageRecord) -> None:
    """Make the container's directory, with its configuration, and what it is mounted with."""
    settings = Settings.read(record.options)
    with about(f"container {record.name}"):
        place = Machine.here()
        exchange, kept = place.exchange(settings), place.swapped(settings)
        store.snapshots.prepare(record.id, image, exchange)
        who = _identity(store, record, image, settings, place)
        settling.prepare(store, record, image, settings, place.on_disk(settings, who), kept)
        if place.cgroup is None and asks_for_limits(settings):
            _warn_of_limits()
        path = configjson.directory(store, record.id)
        spec = bundle.validate(
            configure(
                record.id,
                settings,
                image.config.config,
                who,
                place,
                hostname=etc.hostname_of(settings, record.id),
                mounts=settling.entries(
                    store, settings, mapped=settings.userns == "remap", exchange=exchange, kept=kept
                ),
                files={there: f"{path}/{name}" for name, there in etc.FILES.items()},
            )
        )
        configjson.write(store, record.id, spec)
        # There from the beginning, so that it can be followed before the first start.
        os.close(os.open(f"{path}/log", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640))
        if spec.linux.seccomp is not None:
            bundle.write_filter(path, seccomp_cache.filter_for(spec.linux.seccomp, str(store.paths.seccomp_cache)))


@cache
def _warn_of_limits() -> None:
    """Once in a process."""
    warnings.warn(
        "limits do not hold: no cgroup is delegated to this user (run as root, or have systemd delegate cgroup v2 "
        "controllers to users)",
        RuntimeWarning,
        stacklevel=2,
    )


def _identity(
    store: Store, record: ContainerRecord, image: ImageRecord, settings: Settings, place: Machine
) -> accounts.Identity:
    kept = place.kept(settings)
    user = settings.user or (kept.user if kept is not None else image.config.config.user or "")
    return identity_in(store.snapshots.directories(record.id, image), user, record.name, settings.group_add)


def identity_in(
    directories: Sequence[str | Path], user: str, container: str, groups: Sequence[str] = ()
) -> accounts.Identity:
    """Who ``user`` is by the ``/etc/passwd`` and ``/etc/group`` of a file system.

    Args:
        directories: its layers, uppermost first.
        container: the container's name, for the error.
        groups: more of them.

    Raises:
        RuntimeFailure: there is no such user or group.
    """
    passwd = lookup.read_text(directories, "etc/passwd")
    group = lookup.read_text(directories, "etc/group")
    try:
        return accounts.resolve(user, passwd, group, tuple(groups))
    except InvalidArgument as error:
        raise RuntimeFailure(f"container {container}: {error.message}") from error


def release(store: Store, record: ContainerRecord) -> None:
    """It does not run after all: volumes that were mounted for it are not any more."""
    drivers.release(store.database, drivers.others(store.volumes, Settings.read(record.options).volumes))
