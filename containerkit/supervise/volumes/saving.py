"""Volumes into backups and back, in a worker: for the rights to all files, and beside the caller's other threads.

::

    save       the tree as it is, or as it is at one moment for which the containers that use it are paused
    restore    unpacked into a directory of the store's work in progress; then it is the volume's content, at once
    copy       the same, of another volume

A volume's old content stays until the new one is whole. Then the two directories change their names, in the transaction
that makes sure that nobody runs with the old one; whoever is killed before has changed nothing.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from containerkit.backup import chain, compare, unpack, write
from containerkit.backup.directory import Directory
from containerkit.backup.earlier import Earlier
from containerkit.backup.items import Item
from containerkit.backup.manifest import Manifest
from containerkit.backup.place import Place
from containerkit.backup.snapshots import Summary
from containerkit.backup.staging import Staged, staged
from containerkit.backup.walk import check, walk
from containerkit.errors import AlreadyExists, InvalidArgument, InvalidState, Unsupported
from containerkit.layers.copy import Copier
from containerkit.linux.files import exchange
from containerkit.store import events, volumerows
from containerkit.store.containers import ALIVE
from containerkit.store.paths import Paths
from containerkit.store.store import Store
from containerkit.store.trees import disk_usage
from containerkit.store.workspace import Workspace
from containerkit.supervise import pausing, recover
from containerkit.supervise.longwork import Told
from containerkit.supervise.volumes import drivers
from containerkit.values import frozen

CONSISTENCIES = ("none", "pause")


@frozen
class Wishes:
    """What the caller of a backup says.

    Args:
        compression: ``"zstd"``, ``"gzip"`` or ``"none"``.
        consistency: ``"none"``, or ``"pause"``: the containers that use it stand still while it is looked at.
        base: the backup that only changes are written since.
        base_name: its file's name, when it is in the same place as the new one.
        by_content: files are read to see whether they have changed.
        passphrase: to encrypt with; of the base, too.
        labels: the user's.
    """

    compression: str = "zstd"
    consistency: str = "none"
    base: Place | None = None
    base_name: str = ""
    by_content: bool = False
    passphrase: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


def save(told: Told, paths: Paths, name: str, destination: str, wishes: Wishes) -> Manifest:
    """Write a backup of a volume to a path; its manifest.

    Raises:
        StorageError: the disk is full.
        Unsupported: a container that is to be paused cannot be.
    """
    store = Store(paths)
    base = None
    if wishes.base is not None:
        with wishes.base.opened() as earlier:
            base = earlier.manifest
    with content(store, name, wishes.consistency, Earlier.of(base)) as tree:
        said = write.write(
            tree, destination, base=base, base_name=wishes.base_name, told=told,
            about=_about(name, wishes), compression=wishes.compression, by_content=wishes.by_content,
            passphrase=wishes.passphrase,
        )  # fmt: skip
    return said


def _about(name: str, wishes: Wishes) -> write.About:
    return write.About(name, dict(wishes.labels), wishes.consistency)


def add(told: Told, paths: Paths, name: str, directory: str, wishes: Wishes) -> tuple[str, Summary]:
    """Add a backup of a volume to a directory of backups, which is made when it is not there; its id, and what it says
    of itself."""
    store = Store(paths)
    with Directory(directory, passphrase=wishes.passphrase, create=True) as backups:
        last = None if wishes.by_content else backups.last(name)
        with content(store, name, wishes.consistency, last.earlier if last is not None else None) as tree:
            one, said = backups.add(tree, _about(name, wishes), by_content=wishes.by_content, last=last, told=told)
    return one.id, said


@contextlib.contextmanager
def content(store: Store, name: str, consistency: str, base: Earlier | None = None) -> Iterator[str | Staged]:
    """A volume's tree: its path, or what it is at one moment.

    Raises:
        InvalidArgument: another word for the consistency.
    """
    if consistency not in CONSISTENCIES:
        raise InvalidArgument(f"consistency {consistency!r}: expected one of {', '.join(CONSISTENCIES)}")
    with drivers.held(store, name) as path:
        if consistency == "none" or not _running(store, name):
            yield path
            return
        with Workspace(store.paths.tmp) as space:
            yield staged(path, space.path, lambda: _still(store, name), base)


def _running(store: Store, name: str) -> list[str]:
    found = [recover.truth(store, store.containers.find(id)) for id, _ in store.volumes.users(name)]
    return [record.id for record in found if record is not None and record.state in ALIVE]


@contextlib.contextmanager
def _still(store: Store, name: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for id in _running(store, name):
            record = store.containers.read(id)
            if record is not None:
                stack.enter_context(pausing.still(store, record))
        yield


# -- and back --------------------------------------------------------------------------------------------------------


def restore(
    told: Told, paths: Paths, source: Place, name: str, *, is_new: bool, paths_wanted: Sequence[str] | None,
    verify: bool, base: str | None, labels: Mapping[str, str],
) -> None:  # fmt: skip
    """Make a volume's content what a backup has, or those of its paths that are wanted.

    Args:
        source: a backup, or another program's archive.
        is_new: the volume is made; it must not be there.
        paths_wanted: only these take the place of what the volume has there; everything else stays.
        verify: of a part, read the whole backup first. What is unpacked is compared with its digests as it comes, and
            takes the old content's place after that.
        base: the path of the backup that it is incremental to.
    """
    store = Store(paths)
    with Workspace(store.paths.tmp) as space, source.opened() as backup:
        if verify and paths_wanted is not None:
            chain.verify(backup, base=base, passphrase=source.passphrase)
        target = space.path / "data"
        target.mkdir(mode=0o755)
        unpack.unpack(backup, target, paths=paths_wanted, base=base, passphrase=source.passphrase, told=told)
        if paths_wanted is not None and not is_new:
            target = _merged(store, name, target, space.path / "merged")
        put(store, name, target, is_new=is_new, labels=labels)


def _merged(store: Store, name: str, restored: Path, target: Path) -> Path:
    """The volume's content with what was restored over it."""
    with drivers.held(store, name) as path:
        _copy_tree(path, target)
    _copy_tree(str(restored), target)
    return target


def copy(told: Told, paths: Paths, name: str, new: str, consistency: str, labels: Mapping[str, str]) -> None:
    """Make a new volume with the content of another."""
    store = Store(paths)
    with Workspace(store.paths.tmp) as space, content(store, name, consistency) as tree:
        target = space.path / "data"
        target.mkdir(mode=0o700)
        if isinstance(tree, Staged):
            unpack.build(tree, target)
        else:
            _copy_tree(tree, target)
        put(store, new, target, is_new=True, labels=labels)


def _copy_tree(source: str, target: Path) -> None:
    target.mkdir(mode=0o700, exist_ok=True)
    descriptors = [os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) for path in (source, target)]
    try:
        copier = Copier(sockets=True)
        copier.copy_content(*descriptors)
        check(descriptors[0], source)
        copier.dress(descriptors[1], descriptors[0], os.fstat(descriptors[0]))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def put(store: Store, name: str, tree: Path, *, is_new: bool, labels: Mapping[str, str]) -> None:
    """Make a directory of the store the content of a volume.

    Args:
        is_new: the volume is made; otherwise the directory gets what it had.

    Raises:
        AlreadyExists: it is not new.
        InvalidState: a container runs with it.
        NotFound: it has been removed meanwhile.
    """
    with store.database.transaction() as connection:
        if is_new:
            _place_new(store, connection, name, tree, labels)
        else:
            _place(store, name, tree)
    events.tell(store.database)


def _place_new(store: Store, connection: sqlite3.Connection, name: str, tree: Path, labels: Mapping[str, str]) -> None:
    try:
        volumerows.insert(connection, store.database, name, labels=labels)
    except sqlite3.IntegrityError as error:
        raise AlreadyExists(f"volume {name}: exists already") from error
    directory = store.volumes.directory(name)
    os.mkdir(directory)
    os.chmod(directory, 0o711)
    os.rename(tree, f"{directory}/data")


def _place(store: Store, name: str, tree: Path) -> None:
    record = store.volumes.find(name)
    if record.driver != "local" or record.options:
        raise Unsupported(
            f"volume {name}: is no directory of ours, which could be exchanged at once: restore to another one"
        )
    if running := store.volumes.running(name):
        users = ", ".join(user for _, user in running)
        raise InvalidState(f"volume {name}: cannot restore: {users} runs with it (stop it first)")
    directory = store.volumes.directory(name)
    for left in ("filling", "filled"):  # of what it was to be filled with when somebody was killed
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{directory}/{left}", tree.with_name(left))
    exchange(str(tree), f"{directory}/data")


def used(paths: Paths, name: str) -> int:
    """Bytes that a volume's files take on the disk."""
    with drivers.held(Store(paths), name) as path:
        return disk_usage(path) - os.lstat(path).st_blocks * 512


def items(paths: Paths, name: str, *, digests: bool) -> list[Item]:
    """What a volume has; with the digests of its contents, where these are read."""
    with drivers.held(Store(paths), name) as path:
        tree = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return compare.hashed(tree) if digests else [item for item, _ in walk(tree)]
        finally:
            os.close(tree)
