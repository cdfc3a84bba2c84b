"""Create and start, from the SDK's side: the order of steps is what makes a kill at any moment harmless.

The lease comes first, then the row, which goes last. While that says ``creating`` or ``starting``, this process holds
the lease, and hands it to the monitor; whoever finds such a row without an owner knows what to undo.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from containerkit.configuration import Configuration
from containerkit.errors import (
    AlreadyExists,
    ContainerkitError,
    InvalidArgument,
    InvalidState,
    NotFound,
    RuntimeFailure,
    about,
)
from containerkit.layers import lookup
from containerkit.linux import process, seccomp_cache
from containerkit.linux.namespaces import KINDS
from containerkit.oci import users as accounts
from containerkit.oci.runtime_spec import Linux
from containerkit.options import Settings
from containerkit.runtime import bundle
from containerkit.store import rights
from containerkit.store.containers import ContainerRecord
from containerkit.store.images import ImageRecord
from containerkit.store.netrows import DEFAULT_NETWORK, Endpoint
from containerkit.store.store import Store
from containerkit.store.trees import remove_tree
from containerkit.supervise import configjson, ending, etc, linking, messages, names, recover
from containerkit.supervise.client import spawner
from containerkit.supervise.configure.image import inherit, probe
from containerkit.supervise.configure.limits import asks_for_limits
from containerkit.supervise.configure.machine import Machine
from containerkit.supervise.configure.namespaces import choices, join, share_names
from containerkit.supervise.configure.process import command_of, with_environment
from containerkit.supervise.configure.spec import configure
from containerkit.supervise.networks import membership, sharing
from containerkit.supervise.volumes import drivers, settling


@dataclass
class Running:
    """A start that has been asked for: the socket its replies come over, and its log where that was asked for."""

    record: ContainerRecord
    channel: socket.socket
    fresh: bool
    log: int = -1
    tied: bool = False
    networked: bool = False

    def wait_started(self, store: Store, timeout: float | None = None) -> bool:
        """Wait until the program runs; False when ``timeout`` seconds were up before.

        When time is up, and when this is interrupted, nothing is left of a container that was made for this start.

        Raises:
            RuntimeFailure: it could not be started.
        """
        try:
            if not process.readable(self.channel.fileno(), timeout):
                self._undo(store)
                return False
            reply, _ = messages.receive_reply(self.channel)
        except BaseException:
            self._undo(store)
            raise
        if isinstance(reply, messages.Started):
            return True
        self.channel.close()
        if isinstance(reply, messages.Failed):
            raise reply.error(f"container {self.record.name}")
        if self.fresh:
            # It may have been written down as running; and nobody else looks at what has no owner before the next call.
            ending.remove(store, self.record, force=True, volumes=True)
        raise RuntimeFailure(f"container {self.record.name}: its monitor was killed while starting it")

    def wait_ended(self, store: Store, timeout: float | None) -> messages.Exited | None:
        """How it ended; None when ``timeout`` seconds were up and it was killed. Killed, too, when this is interrupted.

        One whose monitor was killed counts as killed: what that had not done is done here.
        """
        began = time.monotonic()
        try:
            in_time = process.readable(self.channel.fileno(), timeout)
        except BaseException:
            self._kill(store)
            raise
        if not in_time:
            self._kill(store)
            return None
        reply, _ = messages.receive_reply(self.channel)
        if isinstance(reply, messages.Exited):
            return reply
        ending.current(store, self.record.id)
        return messages.Exited(137, time.monotonic() - began)

    def _undo(self, store: Store) -> None:
        if self.tied:
            self.channel.shutdown(socket.SHUT_WR)  # its monitor does the rest
        elif self.fresh:
            ending.remove(store, self.record, force=True, volumes=True)

    def _kill(self, store: Store) -> None:
        if self.tied:
            self.channel.shutdown(socket.SHUT_WR)
            process.readable(self.channel.fileno(), ending.START_TAKES)
            return
        record = ending.current(store, self.record.id)
        if record is not None:
            ending.kill(store, record)


def reserve(
    store: Store, configuration: Configuration, image: ImageRecord, reference: str, settings: Settings, *,
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
    id = names.random_id()
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


def create(
    store: Store, configuration: Configuration, image: ImageRecord, reference: str, settings: Settings, *,
    replace: bool = False,
) -> ContainerRecord:  # fmt: skip
    """A container in state ``created``."""
    record, lease = reserve(store, configuration, image, reference, settings, replace=replace, starts=False)
    try:
        write_bundle(store, record, image)
        store.containers.move(record.id, "create")
        _release(store, record)
    except BaseException:
        _discard(store, record)
        raise
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
    replace: bool = False,
    with_log: bool = False,
    tied: bool = False,
    hidden: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
    gates: Sequence[int] = (),
) -> Running:
    """Create and start in one: if it cannot be started, nothing is left of it.

    Args:
        configuration: has what is not said of networks.
        stdin: a descriptor for the program's standard input; stays the caller's.
        with_log: open the log before the start: the container may be gone, log and all, right after.
        tied: it ends when the channel of the result is closed, or this process is gone, and is removed then, not
            before. For settings with ``remove``.
        hidden: more of its environment (``NAME=value``), which is written down nowhere.
        links: symbolic links at the top of its root, by name, for a container of no image.
        gates: two descriptors, where it waits before each operation (runtime/gate.py).
    """
    record, lease = reserve(store, configuration, image, reference, settings, replace=replace, starts=True)
    log = -1
    try:
        write_bundle(store, record, image)
        for name, target in (links or {}).items():
            os.symlink(target, store.snapshots.upper(record.id) / name)
        if with_log:
            path = os.path.join(configjson.directory(store, record.id), "log")
            log = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        running = _request(store, record, image, lease, stdin, fresh=True, tied=tied, hidden=hidden, gates=gates)
        running.log = log
        return running
    except BaseException:
        if log >= 0:
            os.close(log)
        _discard(store, record)
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
            return _request(store, record, image, lease, stdin, fresh=False)
        except BaseException:
            # What it needs is not there, or it could not be asked for: as before.
            store.containers.move(record.id, "fail" if record.started is None else "exit")
            _release(store, record)
            raise
    finally:
        os.close(lease)


def _request(
    store: Store,
    record: ContainerRecord,
    image: ImageRecord,
    lease: int,
    stdin: int,
    *,
    fresh: bool,
    tied: bool = False,
    hidden: Sequence[str] = (),
    gates: Sequence[int] = (),
) -> Running:
    settings = Settings.read(record.options)
    with about(f"container {record.name}"):
        settling.take(store, record, image, settings)
        joined = _join(store, record, settings)
        endpoints = _name(store, record, image, settings)
    directory = configjson.directory(store, record.id)
    (overlay,) = store.snapshots.mounts(record.id, image, volatile=bool(record.auto_remove))
    others = drivers.others(store.volumes, settings.volumes)
    caller = (os.getpid(), process.start_time(os.getpid()) or 0)
    request = messages.Start(
        id=record.id,
        name=record.name,
        database=str(store.paths.database),
        bundle=directory,
        overlay=overlay,
        log=os.path.join(directory, "log"),
        control=store.paths.control(record.id),
        aside=str(store.paths.removed / record.id),
        log_size=settings.log_options.max_size,
        log_files=settings.log_options.max_file,
        fresh=fresh,
        has_run=record.started is not None,
        remove=bool(record.auto_remove),
        stdin_open=settings.stdin_open,
        health=probe(settings.healthcheck),
        volumes=others,
        path=tuple(sys.path) if others else (),
        owner=caller if tied else None,
        hidden=tuple(hidden),
        stepper=caller if gates else None,
        networked=membership.networked(store, settings, image.config.config, endpoints),
    )
    with contextlib.ExitStack() as stack:
        place = _place(stack, store, record, request, joined)
        channel = spawner.request(request, (lease, stdin, *gates, *place))
        return Running(record, channel, fresh, tied=tied, networked=request.networked is not None)


def _place(
    stack: contextlib.ExitStack, store: Store, record: ContainerRecord, request: messages.Start, joined: int
) -> tuple[int, ...]:
    """Where an ordinary user's container belongs, as descriptors that are closed with ``stack``.

    Args:
        joined: the pid of a container whose namespaces it joins, or 0.

    Raises:
        InvalidState: it cannot be in the user namespaces of both its networks and that container.
    """
    found: tuple[int, ...] = ()
    if joined and rights.is_needed:
        found = (sharing.users_of(joined),)
        stack.callback(os.close, found[0])
    if request.networked is not None:
        place = stack.enter_context(sharing.place(store))
        if place is not None:
            if found and not os.path.sameopenfile(found[0], place.users):
                raise InvalidState(
                    f"container {record.name}: cannot join a container whose user namespace another process has made "
                    f'and be on networks (network="none" goes)'
                )
            found = place.descriptors
    return found


def _name(store: Store, record: ContainerRecord, image: ImageRecord, settings: Settings) -> list[Endpoint]:
    """Write down what it is called and who it knows; where it is."""
    endpoints = store.networks.of_container(record.id)
    membership.check(record, settings, endpoints)
    if settings.network.startswith("container:"):
        return endpoints  # it has the other's files
    links = linking.targets(store, record, settings)
    if links and any(one.network is not None and one.network.name == DEFAULT_NETWORK for one in endpoints):
        spec, found = configjson.read(store, record.id), linking.environment(store, record, links)
        configjson.write(store, record.id, with_environment(spec, settings, image.config.config, found))
    etc.write(store, record, settings)
    return endpoints


def _join(store: Store, record: ContainerRecord, settings: Settings) -> int:
    """Write down where the namespaces of other containers are now; the pid of one of them, or 0.

    Raises:
        NotFound: one of these containers is not there.
        InvalidState: it does not run.
        InvalidArgument: it has users of its own, and these are not shared.
    """
    paths, files, pid = {}, {}, 0
    users: Linux | None = None
    hostname = ""
    for kind, choice in choices(settings).items():
        if choice.startswith("container:"):
            other = recover.truth(store, store.containers.find(choice.partition(":")[2]))
            if other is None or other.state != "running":
                raise InvalidState(f"container {record.name}: cannot join the {kind} namespace: {choice} does not run")
            pid = other.pid or 0
            paths[kind] = f"/proc/{pid}/ns/{KINDS[kind][1]}"
            theirs = configjson.read(store, other.id).linux
            if theirs.uid_mappings and rights.is_needed:
                raise InvalidArgument(
                    f"container {record.name}: cannot join the {kind} namespace: {choice} keeps the id of who runs it"
                )
            if theirs.uid_mappings and settings.userns != choice:
                raise InvalidArgument(
                    f"container {record.name}: cannot join the {kind} namespace: {choice} has users of its own "
                    f'(userns="{choice}" shares them)'
                )
            if kind == "user":
                users = theirs
            if kind == "network":
                hostname = configjson.read(store, other.id).hostname
                files = {there: f"{configjson.directory(store, other.id)}/{name}" for name, there in etc.FILES.items()}
    if paths:
        spec = join(configjson.read(store, record.id), paths, users, settings)
        configjson.write(store, record.id, share_names(spec, hostname, files))
    return pid


def _discard(store: Store, record: ContainerRecord) -> None:
    """Undo what :func:`reserve` and :func:`write_bundle` made, as far as the disk lets us."""
    try:
        remove_tree(configjson.directory(store, record.id))
        store.containers.delete(record.id, volumes=True)
        _release(store, record)
    except (OSError, ContainerkitError):
        pass  # the row stays, without an owner: the next call tries again


def _release(store: Store, record: ContainerRecord) -> None:
    """It does not run after all: volumes that were mounted for it are not any more."""
    drivers.release(store.database, drivers.others(store.volumes, Settings.read(record.options).volumes))
