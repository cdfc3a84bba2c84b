"""What a container is made with: its volumes and binds, those that it takes from others, and what they get first.

::

    settle      options, image and other containers  → one list of mounts, every volume with a name; and which volumes
                                                        are written down with the container's row
    prepare     their directories; empty ones are filled, and ``U`` is done (filling.py)
    entries     … and how the runtime mounts them
    take        before each start: they are there. Those in memory, which forget all, are filled, and given, only now
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import replace

from containerkit.errors import NotFound, RuntimeFailure, Unsupported, reason
from containerkit.linux.confinement import is_rootless
from containerkit.oci import runtime_spec as rs
from containerkit.oci.image_config import ContainerConfig
from containerkit.oci.users import Identity
from containerkit.options import Mount, Settings
from containerkit.store import rights
from containerkit.store.containers import ContainerRecord
from containerkit.store.images import ImageRecord
from containerkit.store.owners import Exchange
from containerkit.store.store import Store
from containerkit.store.volumerows import Use
from containerkit.supervise import configjson, names, rootfs
from containerkit.supervise.userns import Kept
from containerkit.supervise.volumes import drivers, filling


def settle(store: Store, settings: Settings, image: ContainerConfig) -> tuple[Settings, list[Use]]:
    """The options with everything that is mounted: the caller's, other containers', and the image's volumes.

    Returns:
        The options, and the volumes among it.

    Raises:
        NotFound: a container of ``volumes_from``, or an image, is not there.
    """
    found = {mount.target: (mount, False) for mount in settings.mounts}
    taken = {*found, *(settings.tmpfs or {})}
    others_anonymous: set[str] = set()
    for name, mode in settings.volumes_from:
        other = Settings.read(store.containers.find(name).options)
        others_anonymous.update(other.anonymous)
        for mount in other.mounts:
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
            is_anonymous = mount.source in others_anonymous if is_others else mount.is_anonymous
            uses.append(Use(mounts[-1].source, is_anonymous, exists=is_others))
    anonymous = tuple(use.volume for use in uses if use.anonymous)
    return replace(settings, mounts=tuple(mounts), anonymous=anonymous), uses


def _named(store: Store, mount: Mount) -> Mount:
    if mount.is_anonymous:
        return mount._replace(source=names.random_id())
    if mount.type == "image":
        return mount._replace(source=store.images.get(mount.source).id)
    return mount


# -- what the runtime mounts ---------------------------------------------------------------------------------------


def entries(
    store: Store, settings: Settings, *, mapped: bool, exchange: Exchange | None = None, kept: Kept | None = None
) -> Iterator[rs.Mount]:
    """The mounts, as the specification writes them.

    Args:
        mapped: the container has users of its own: files keep the owners that they have on the disk.
        exchange: who has changed places with root on the container's disk, and so in images that are mounted.
        kept: whose files are shown as another's in the host's paths.

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
            yield _image(store, mount, below, shown, exchange)
        elif mount.type == "volume":
            source, swapped = _place(store, mount, kept)
            entry = rs.Mount(mount.target, "bind", source, ("bind", "rprivate", *flags, *below, *shown))
            yield swapped.shown(entry) if swapped is not None else entry
        elif mount.copy_on_write:
            yield _copied_on_write(mount, shown)
        else:
            # All that is mounted below it, too; and that is read-only, too.
            flags = (*(("rro",) if mount.read_only else ()), *mount.options)
            entry = rs.Mount(
                mount.target, "bind", mount.source, ("rbind", mount.propagation or "rprivate", *flags, *shown)
            )
            yield kept.shown(entry) if kept is not None else entry


def _memory(mount: Mount, flags: tuple[str, ...]) -> rs.Mount:
    size = () if mount.size is None else (f"size={mount.size}",)
    mode = () if mount.mode is None else (f"mode={mount.mode:o}",)
    return rs.Mount(mount.target, "tmpfs", "tmpfs", ("nosuid", "nodev", "noexec", *flags, *size, *mode))


def _copied_on_write(mount: Mount, shown: tuple[str, ...]) -> rs.Mount:
    if shown:
        raise Unsupported(f"mount {mount.target}: copy_on_write, in a container of users of its own")
    extra = ("userxattr",) if is_rootless() else ()
    return rs.Mount(mount.target, "overlay", mount.source, ("tmpupper", *extra, *mount.options))


def _image(
    store: Store, mount: Mount, below: tuple[str, ...], shown: tuple[str, ...], exchange: Exchange | None
) -> rs.Mount:
    image = store.images.get(mount.source)
    showing = store.layers.exchanged(store.layers.showing(image.chain_ids, image.layers), exchange)
    layers = [str(path) for path in reversed(showing)]
    if len(layers) == 1:
        return rs.Mount(mount.target, "bind", layers[0], ("bind", "rprivate", "ro", *below, *shown))
    if shown or not layers:
        raise Unsupported(f"mount {mount.target}: an image of {len(layers)} layers, in a container of users of its own")
    extra = ("userxattr",) if is_rootless() else ()
    return rs.Mount(mount.target, "overlay", "overlay", (f"lowerdir={':'.join(layers)}", "ro", *extra, *below))


# -- before it is made ---------------------------------------------------------------------------------------------


def prepare(
    store: Store, record: ContainerRecord, image: ImageRecord, settings: Settings, who: Identity,
    kept: Kept | None = None,
) -> None:  # fmt: skip
    """Make what is to be mounted, for a new container: directories, the first content of volumes, their owners.

    Args:
        who: the container's user, by the numbers that its files have in volumes.
        kept: as for :func:`entries`.

    Raises:
        RuntimeFailure: the source of a bind is not there.
        StorageError: the disk is full.
    """
    for mount in settings.mounts:
        if mount.type == "bind":
            _find(mount, f"container {record.name}")
        elif mount.type == "volume":
            drivers.take(store.volumes, store.volumes.find(mount.source))
    lasting = [mount for mount in settings.mounts if not _is_in_memory(store, mount)]
    _supply(store, record, image, lasting, (who.uid, who.gid), kept)


def take(store: Store, record: ContainerRecord, image: ImageRecord, settings: Settings) -> None:
    """Before a start: its volumes are there, and mounted where that has to be.

    Raises:
        NotFound: one has been removed.
        RuntimeFailure: one cannot be mounted.
    """
    for name in settings.volumes:
        try:
            drivers.take(store.volumes, store.volumes.find(name))
        except NotFound as error:
            raise NotFound(f"container {record.name}: {error.message}") from error
    if forgetful := [mount for mount in settings.mounts if _is_in_memory(store, mount)]:
        user = configjson.read(store, record.id).process.user
        _supply(store, record, image, forgetful, (user.uid, user.gid), None)


def _is_in_memory(store: Store, mount: Mount) -> bool:
    return mount.type == "volume" and drivers.is_in_memory(store.volumes.find(mount.source))


def _supply(
    store: Store, record: ContainerRecord, image: ImageRecord, mounts: Sequence[Mount], owner: tuple[int, int],
    kept: Kept | None,
) -> None:  # fmt: skip
    """Empty volumes take what the image has at their places; what is to be the user's is given to it."""
    places = {mount: _place(store, mount, kept) for mount in mounts if mount.type in ("bind", "volume")}
    fills = [
        filling.Fill(store.volumes.directory(mount.source), path, mount.target, swapped)
        for mount, (path, swapped) in places.items()
        if mount.type == "volume" and not (mount.nocopy or mount.subpath)
    ]
    subject = f"container {record.name}"
    try:
        if fills:
            rights.call(filling.fill, rootfs.Root(store, record.id, record.name), image, fills)
    except OSError as error:
        raise RuntimeFailure(f"{subject}: volumes: {reason(error)}", errno=error.errno) from error
    for mount, (path, swapped) in places.items():
        if mount.chown:
            try:
                rights.call(filling.give, path, mount.subpath, swapped.on_host(*owner) if swapped else owner)
            except OSError as error:
                text = f"{subject}: mount {mount.target}: {mount.subpath or path}: {reason(error)}"
                raise RuntimeFailure(text, errno=error.errno) from error


def _place(store: Store, mount: Mount, kept: Kept | None) -> tuple[str, Kept | None]:
    """Where a volume's or a bind's files are, and whose are shown as another's there."""
    if mount.type == "bind":
        return mount.source, kept
    volume = store.volumes.find(mount.source)
    return drivers.path(store.volumes, volume), kept if drivers.is_hosts(volume) else None


def _find(mount: Mount, subject: str) -> None:
    try:
        if mount.create:
            os.makedirs(mount.source, exist_ok=True)
        os.stat(mount.source + "/" if mount.copy_on_write else mount.source)
    except FileExistsError:
        pass  # a file, or what else there is
    except OSError as error:
        text = f"{subject}: mount {mount.target}: {mount.source}: {reason(error)}"
        raise RuntimeFailure(text, errno=error.errno) from error
