"""What a container is made with: its volumes and binds, those that it takes from others, and how empty ones are filled.

::

    settle      options, image and other containers  → one list of mounts, every volume with a name; and which volumes
                                                        are written down with the container's row
    prepare     their directories; empty ones take what the image has at that place
    entries     … and how the runtime mounts them

A volume is filled once, and whole: files are copied to ``filling`` beside it, which becomes ``filled`` when all are
there, and from ``filled`` they are moved in. Whoever finds ``filled`` goes on with the moving; ``filling`` is begun
anew. A lock on the volume's directory lets two containers that are made together wait for each other.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import replace

from containerkit.errors import NotFound, RuntimeFailure, Unsupported, reason
from containerkit.layers.copy import Copier
from containerkit.linux.confinement import is_rootless
from containerkit.linux.files import locked
from containerkit.linux.mounts import openat2
from containerkit.oci import runtime_spec as rs
from containerkit.oci.image_config import ContainerConfig
from containerkit.oci.users import Identity
from containerkit.options import Mount, Settings
from containerkit.store import rights
from containerkit.store.containers import ContainerRecord
from containerkit.store.store import Store
from containerkit.store.trees import remove_tree
from containerkit.store.volumerows import Use
from containerkit.supervise import drivers, names, rootfs

#: Where a volume of a file system of its own is filled from, in it.
_INSIDE = ".containerkit"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def settle(store: Store, settings: Settings, image: ContainerConfig) -> tuple[Settings, list[Use]]:
    """The options with everything that is mounted: the caller's, other containers', and the image's volumes.

    Returns:
        The options, and the volumes among it.

    Raises:
        NotFound: a container of ``volumes_from``, or an image, is not there.
    """
    found = {mount.target: (mount, False) for mount in settings.mounts}
    taken = {*found, *(settings.tmpfs or {})}
    for name, mode in settings.volumes_from:
        for mount in Settings.read(store.containers.find(name).options).mounts:
            if mount.target not in taken and mount.type in ("bind", "volume"):
                # As docker: what it may only read there, it may only read here.
                found[mount.target] = mount._replace(read_only=mount.read_only or mode == "ro"), True
        taken |= found.keys()
    for path in image.volumes or ():
        target = posixpath.normpath("/" + path.lstrip("/"))
        if target not in taken and target != "/":
            found[target] = Mount(target), False
    uses, mounts = [], []
    # Those above before those below: a mount hides what was mounted below it.
    for mount, is_others in sorted(found.values(), key=lambda pair: pair[0].target.count("/")):
        mounts.append(_named(store, mount))
        if mount.type == "volume":
            uses.append(Use(mounts[-1].source, anonymous=mount.is_anonymous, exists=is_others))
    return (replace(settings, mounts=tuple(mounts)), uses) if mounts else (settings, uses)


def _named(store: Store, mount: Mount) -> Mount:
    if mount.is_anonymous:
        return mount._replace(source=names.random_id())
    if mount.type == "image":
        return mount._replace(source=store.images.get(mount.source).id)
    return mount


# -- what the runtime mounts ---------------------------------------------------------------------------------------


def entries(store: Store, settings: Settings, *, mapped: bool) -> Iterator[rs.Mount]:
    """The mounts, as the specification writes them.

    Args:
        mapped: the container has users of its own: files keep the owners that they have on the disk.

    Raises:
        NotFound: a volume, or an image, has been removed.
        Unsupported: an image of several layers for a container with users of its own.
    """
    for mount in settings.mounts:
        flags = (*mount.options, *(("ro",) if mount.read_only else ()))
        below = (f"subpath={mount.subpath}",) if mount.subpath else ()
        shown = ("idmap",) if mapped else ()
        if mount.type == "tmpfs":
            yield _memory(mount, flags)
        elif mount.type == "image":
            yield _image(store, mount, below, shown)
        elif mount.type == "volume":
            source = drivers.path(store.volumes, store.volumes.find(mount.source))
            yield rs.Mount(mount.target, "bind", source, ("bind", "rprivate", *flags, *below, *shown))
        else:
            # All that is mounted below it, too; and that is read-only, too.
            flags = (*(("rro",) if mount.read_only else ()), *mount.options)
            yield rs.Mount(
                mount.target, "bind", mount.source, ("rbind", mount.propagation or "rprivate", *flags, *shown)
            )


def _memory(mount: Mount, flags: tuple[str, ...]) -> rs.Mount:
    size = () if mount.size is None else (f"size={mount.size}",)
    mode = () if mount.mode is None else (f"mode={mount.mode:o}",)
    return rs.Mount(mount.target, "tmpfs", "tmpfs", ("nosuid", "nodev", "noexec", *flags, *size, *mode))


def _image(store: Store, mount: Mount, below: tuple[str, ...], shown: tuple[str, ...]) -> rs.Mount:
    image = store.images.get(mount.source)
    layers = [str(path) for path in reversed(store.layers.showing(image.chain_ids, image.layers))]
    if len(layers) == 1:
        return rs.Mount(mount.target, "bind", layers[0], ("bind", "rprivate", "ro", *below, *shown))
    if shown or not layers:
        raise Unsupported(f"mount {mount.target}: an image of {len(layers)} layers, in a container of users of its own")
    extra = ("userxattr",) if is_rootless() else ()
    return rs.Mount(mount.target, "overlay", "overlay", (f"lowerdir={':'.join(layers)}", "ro", *extra, *below))


# -- before it is made ---------------------------------------------------------------------------------------------


def prepare(store: Store, record: ContainerRecord, settings: Settings, who: Identity) -> None:
    """Make what is to be mounted, for a new container: directories, the first content of volumes, their owners.

    Args:
        who: the container's user.

    Raises:
        RuntimeFailure: the source of a bind is not there.
        StorageError: the disk is full.
    """
    if not settings.mounts:
        return
    subject = f"container {record.name}"
    fills: list[tuple[str, str, str]] = []
    owned, path = [], ""
    for mount in settings.mounts:
        if mount.type == "bind":
            _find(mount, subject)
        elif mount.type == "volume":
            path = drivers.take(store.volumes, store.volumes.find(mount.source))
            if not (mount.nocopy or mount.subpath):
                fills.append((store.volumes.directory(mount.source), path, mount.target))
        if mount.chown:
            owned.append(mount.source if mount.type == "bind" else path)
    try:
        if fills:
            rights.call(fill, rootfs.Root(store, record.id, record.name), tuple(fills))
        for path in owned:
            rights.call(give, path, who.uid, who.gid)
    except OSError as error:
        raise RuntimeFailure(f"{subject}: volumes: {reason(error)}", errno=error.errno) from error


def take(store: Store, container: str, settings: Settings) -> None:
    """Before a start: its volumes are there, and mounted where that has to be.

    Raises:
        NotFound: one has been removed.
        RuntimeFailure: one cannot be mounted.
    """
    for name in settings.volumes:
        try:
            drivers.take(store.volumes, store.volumes.find(name))
        except NotFound as error:
            raise NotFound(f"container {container}: {error.message}") from error


def _find(mount: Mount, subject: str) -> None:
    try:
        if mount.create:
            os.makedirs(mount.source, exist_ok=True)
        os.stat(mount.source)
    except FileExistsError:
        pass  # a file, or what else there is
    except OSError as error:
        raise RuntimeFailure(
            f"{subject}: mount {mount.target}: {mount.source}: {(error.strerror or str(error)).lower()}",
            errno=error.errno,
        ) from error


def fill(root: rootfs.Root, wanted: Sequence[tuple[str, str, str]]) -> None:
    """Give empty volumes what a new container has at their places.

    Args:
        wanted: (the volume's directory, its content, the path in the container) of each.
    """
    record = root.store.containers.read(root.id)
    if record is None:
        raise NotFound(f"{root.subject}: not found (removed)")
    tree = rootfs.mounted(root.store, record, root.store.images.get(record.image))
    try:
        for directory, data, target in wanted:
            with locked(directory):
                _fill(tree, directory, data, target)
    finally:
        os.close(tree)


def _fill(tree: int, directory: str, data: str, target: str) -> None:
    if os.stat(data).st_dev != os.stat(directory).st_dev:
        # What is mounted there is filled from inside: a rename does not leave its file system.
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
            _copy(source, f"{directory}/filling")
        finally:
            os.close(source)
        os.rename(f"{directory}/filling", f"{directory}/filled")
    _move_in(f"{directory}/filled", data)
    if directory.endswith(_INSIDE):
        os.rmdir(directory)


def _copy(source: int, path: str) -> None:
    remove_tree(path)
    os.mkdir(path, 0o700)
    made = os.open(path, _DIRECTORY)
    try:
        copier = Copier()
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


def give(path: str, uid: int, gid: int) -> None:
    """Make everything at and below a path that user's and group's, without following links."""
    for _, _, files, directory in os.fwalk(path, follow_symlinks=False):
        for name in files:
            os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False)
        os.fchown(directory, uid, gid)
    if not os.path.isdir(path):
        os.chown(path, uid, gid, follow_symlinks=False)
