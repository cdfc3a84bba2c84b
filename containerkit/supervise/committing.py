"""Commit: what a container has changed becomes one more layer on its image.

::

    held still, or its lease taken     nobody writes to it, starts or removes it meanwhile
      snapshots.pack                   its changes as a layer, in a private directory of the store
    goes on
    store.add_image                    the image becomes visible, at once or not at all
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache

from containerkit import dockerfile
from containerkit.errors import ContainerkitError, InvalidArgument, InvalidState, NotFound, Unsupported, from_os_error
from containerkit.linux import process
from containerkit.oci.image_config import ContainerConfig, History, ImageConfig, format_time
from containerkit.oci.reference import Reference
from containerkit.options import Settings
from containerkit.store.containers import ALIVE, ContainerRecord
from containerkit.store.images import ImageRecord
from containerkit.store.store import Store
from containerkit.supervise import configjson, ending, pausing
from containerkit.values import frozen


@frozen
class Wishes:
    """What the caller of a commit says of the new image: its tag, and what is written down with it."""

    tag: str | None = None
    message: str | None = None
    author: str | None = None
    changes: Iterable[str] = ()


def commit(store: Store, record: ContainerRecord, image: ImageRecord, wishes: Wishes, *, pause: bool) -> ImageRecord:
    """An image of the container as it is.

    Args:
        image: the container's.
        pause: stop its processes while its files are read.

    Raises:
        InvalidArgument: a wrong instruction or reference; a file whose name only a whiteout may have.
        InvalidState: a file became shorter while it was read; somebody is starting or removing the container.
        NotFound: it was removed meanwhile.
        StorageError: the disk is full or cannot be written. Nothing is left of a failed commit.
    """
    subject = f"container {record.name}: commit"
    # Everything that can be wrong in the arguments, before the work.
    if wishes.tag is not None:
        Reference.parse(wishes.tag)
    changes = (wishes.changes,) if isinstance(wishes.changes, str) else wishes.changes
    config = dockerfile.apply_changes(_as_run(image.config.config, Settings.read(record.options)), changes)
    mounted = [mount.destination for mount in configjson.read(store, record.id).mounts]
    try:
        with store.ingest() as ingest:
            with _undisturbed(store, record, pause=pause):
                written = store.snapshots.pack(record.id, image, mounted, ingest)
            layer = store.place(ingest, written, image.chain_ids)
            grown = _grown(image.config, config, written.packed.diff_id, record, wishes)
            made = store.add_image(grown, (*image.layers, layer), ingest, wishes.tag, action="commit")
    except (InvalidArgument, InvalidState) as error:
        raise type(error)(f"{subject}: {error.message}") from error
    except ContainerkitError:
        raise
    except OSError as error:
        raise from_os_error(error, subject) from error
    told = {"comment": wishes.message or "", "imageID": made.id, "imageRef": wishes.tag or ""}
    store.containers.amend(record.id, "commit", told)
    return made


def _as_run(config: ContainerConfig, settings: Settings) -> ContainerConfig:
    """The image's config with what the container was given instead: as docker has it."""
    env = {**_pairs(config.env or ()), **_pairs(settings.env)}
    labels = {**(config.labels or {}), **(settings.labels or {})}
    found = replace(
        config,
        user=settings.user or config.user,
        env=tuple(f"{name}={value}" for name, value in env.items()) or None,
        working_dir=settings.workdir or config.working_dir,
        labels=labels or None,
        stop_signal=settings.stop_signal or config.stop_signal,
    )
    if settings.entrypoint is not None:
        # Another entry point has no use for the image's arguments.
        return replace(found, entrypoint=settings.entrypoint or None, cmd=settings.command)
    return found if settings.command is None else replace(found, cmd=settings.command)


def _pairs(env: Iterable[str]) -> dict[str, str]:
    return dict(item.partition("=")[::2] for item in env)


def _grown(
    image: ImageConfig, config: ContainerConfig, diff_id: str, record: ContainerRecord, wishes: Wishes
) -> ImageConfig:
    """The config of the image with one more layer."""
    now = format_time(time.time())
    author, command = wishes.author or "", " ".join(record.command)
    steps = sum(not step.empty_layer for step in image.history)
    # Each layer has its step, or a reader of the history takes one for another's.
    untold = (History(),) * (len(image.rootfs.diff_ids) - steps)
    return replace(
        image,
        config=config,
        created=now,
        author=author,
        rootfs=replace(image.rootfs, diff_ids=(*image.rootfs.diff_ids, diff_id)),
        history=(*image.history, *untold, History(now, command, author, wishes.message or "")),
    )


@contextlib.contextmanager
def _undisturbed(store: Store, record: ContainerRecord, *, pause: bool) -> Iterator[None]:
    """The container's writable layer stays where it is meanwhile; with ``pause``, as it is.

    Raises:
        InvalidState: somebody is just starting or removing it.
        NotFound: it has been removed, before or meanwhile: what was read of it may be a part.
    """
    with contextlib.ExitStack() as stack:
        now = _hold(store, record, stack)
        if now.state in ALIVE and pause:
            stack.enter_context(_still(store, now))
        yield
    while (left := ending.current(store, record.id)) is not None and left.state in ALIVE:
        if left.pid is None or process.start_time(left.pid) == left.pid_started:
            return
        time.sleep(0.005)  # its monitor is about to say what comes next, and may be taking it away
    with contextlib.ExitStack() as stack:
        _hold(store, record, stack)


def _hold(store: Store, record: ContainerRecord, stack: contextlib.ExitStack) -> ContainerRecord:
    """The container as it is now: running, or with its lease in our hands, so that nobody starts or removes it."""
    deadline = time.monotonic() + ending.START_TAKES
    while (now := ending.current(store, record.id)) is not None:
        if now.state in ALIVE:
            return now
        lease = store.leases.take(record.id)
        if lease is not None:
            stack.callback(os.close, lease)
            if store.containers.read(record.id) == now:
                return now
            stack.close()
        elif time.monotonic() > deadline:
            raise InvalidState("it is being started or removed")
        time.sleep(0.005)
    raise NotFound(f"container {record.name}: not found (removed)")


@contextlib.contextmanager
def _still(store: Store, record: ContainerRecord) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(pausing.still(store, record))
        except Unsupported:
            _warn_of_motion()
        yield


@cache
def _warn_of_motion() -> None:
    """Once in a process."""
    warnings.warn(
        "containers run on while they are committed: there is no cgroup to pause them by (stop them before, or be "
        "content with pause=False)",
        RuntimeWarning,
        stacklevel=2,
    )
