"""What volumes get before a container is started with them: the image's files, and their owner.

A volume is filled once, and whole: files are copied to ``filling`` beside it, which becomes ``filled`` when all are
there, and from ``filled`` they are moved in. Whoever finds ``filled`` goes on with the moving; ``filling`` is begun
anew. A lock on the volume's directory lets two containers that are made together wait for each other.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from containerkit.errors import NotFound
from containerkit.layers.copy import Copier
from containerkit.linux.files import locked
from containerkit.linux.mounts import openat2
from containerkit.runtime.mounting import source_of
from containerkit.runtime.operation import fd_path
from containerkit.store.images import ImageRecord
from containerkit.store.trees import remove_tree
from containerkit.supervise import rootfs
from containerkit.supervise.userns import Kept

#: Where a volume of a file system of its own is filled from, in it.
_INSIDE = ".containerkit"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Fill(NamedTuple):
    """A volume that is filled if it is empty.

    Args:
        directory: what belongs to the volume.
        data: its content.
        target: the path in the container.
        kept: whose files are shown as another's in it.
    """

    directory: str
    data: str
    target: str
    kept: Kept | None = None


@dataclass
class _Copier(Copier):
    """Each file gets the owner as which it is shown as it is in the image."""

    kept: Kept | None = None

    def _owner_of(self, found: os.stat_result) -> tuple[int, int]:
        owner = super()._owner_of(found)
        return owner if self.kept is None else self.kept.on_host(*owner)


def fill(root: rootfs.Root, image: ImageRecord, wanted: Sequence[Fill]) -> None:
    """Give empty volumes what a container of ``image`` has at their places."""
    record = root.store.containers.read(root.id)
    if record is None:
        raise NotFound(f"{root.subject}: not found (removed)")
    tree = rootfs.mounted(root.store, record, image)
    try:
        for one in wanted:
            with locked(one.directory, is_directory=True):
                _fill(tree, *one)
    finally:
        os.close(tree)


def _fill(tree: int, directory: str, data: str, target: str, kept: Kept | None) -> None:
    if _mount_of(data) != _mount_of(directory):
        # What is mounted there is filled from inside: a rename does not leave its mount, whatever file system that is.
        directory = f"{data}/{_INSIDE}"
    if not os.path.isdir(f"{directory}/filled"):
        if {*os.listdir(data)} - {_INSIDE, "lost+found"}:
            return
        try:
            source = openat2(tree, target, _DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            os.makedirs(directory, exist_ok=True)
            _copy(source, f"{directory}/filling", _Copier(kept=kept))
        finally:
            os.close(source)
        os.rename(f"{directory}/filling", f"{directory}/filled")
    _move_in(f"{directory}/filled", data)
    if directory.endswith(_INSIDE):
        os.rmdir(directory)


def _mount_of(path: str) -> str:
    """The id of the mount that a path is in (proc_pid_fdinfo(5))."""
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        with open(f"/proc/self/fdinfo/{descriptor}") as file:
            return next(line for line in file if line.startswith("mnt_id:"))
    finally:
        os.close(descriptor)


def _copy(source: int, path: str, copier: Copier) -> None:
    remove_tree(path)
    os.mkdir(path, 0o700)
    made = os.open(path, _DIRECTORY)
    try:
        copier.copy_content(source, made)
        copier.dress(made, source, os.fstat(source))
    finally:
        os.close(made)


def _move_in(filled: str, data: str) -> None:
    for name in os.listdir(filled):
        os.rename(f"{filled}/{name}", f"{data}/{name}")
    source, target = os.open(filled, _DIRECTORY), os.open(data, _DIRECTORY)
    try:
        Copier().dress(target, source, os.fstat(source))
    finally:
        os.close(source)
        os.close(target)
    os.rmdir(filled)


def give(path: str, subpath: str, owner: tuple[int, int]) -> None:
    """Make everything at and below a path that user's and group's.

    Args:
        path: links to it are followed, those below it are not.
        subpath: only that part, which is resolved inside.

    Raises:
        OSError: there is no such part.
    """
    with source_of(path, subpath) as source:
        top = os.open(source, os.O_PATH | os.O_CLOEXEC)
    try:
        if stat.S_ISDIR(os.fstat(top).st_mode):
            for _, directories, files, descriptor in os.fwalk(".", dir_fd=top):
                # A link to a directory is among these.
                for name in (*directories, *files):
                    os.chown(name, *owner, dir_fd=descriptor, follow_symlinks=False)
        os.chown(fd_path(top), *owner)
    finally:
        os.close(top)
