"""What a start asks of a monitor: one message, with the descriptors that go with it, and what is written down for it.

Mounted volumes are taken, names and the namespaces of other containers written where the init finds them: of things
that may be others at each start.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from containerkit.errors import InvalidArgument, InvalidState, about
from containerkit.linux import process
from containerkit.linux.namespaces import KINDS
from containerkit.oci.runtime_spec import Linux
from containerkit.options import Settings
from containerkit.store import rights
from containerkit.store.containers import ContainerRecord
from containerkit.store.images import ImageRecord
from containerkit.store.netrows import DEFAULT_NETWORK, Endpoint
from containerkit.store.store import Store
from containerkit.supervise import configjson, etc, linking, messages, recover
from containerkit.supervise.awaiting import Running
from containerkit.supervise.client import spawner
from containerkit.supervise.configure.image import probe
from containerkit.supervise.configure.namespaces import choices, join, share_names
from containerkit.supervise.configure.process import with_environment
from containerkit.supervise.networks import membership, sharing
from containerkit.supervise.volumes import drivers, settling


def request(
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
    """Ask for a start, as :mod:`containerkit.supervise.launch` says; the container's lease goes along.

    Raises:
        ContainerkitError: what it needs is not there.
    """
    settings = Settings.read(record.options)
    with about(f"container {record.name}"):
        settling.take(store, record, image, settings)
        joined = _join(store, record, settings)
        endpoints = _name(store, record, image, settings)
    directory = configjson.directory(store, record.id)
    (overlay,) = store.snapshots.mounts(record.id, image, volatile=bool(record.auto_remove))
    others = drivers.others(store.volumes, settings.volumes)
    caller = (os.getpid(), process.start_time(os.getpid()) or 0)
    start = messages.Start(
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
        place = _place(stack, store, record, start, joined)
        channel = spawner.request(start, (lease, stdin, *gates, *place))
        return Running(record, channel, fresh, tied=tied, networked=start.networked is not None)


def _place(
    stack: contextlib.ExitStack, store: Store, record: ContainerRecord, start: messages.Start, joined: int
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
    if start.networked is not None:
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
