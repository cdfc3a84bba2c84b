"""Containers' root file systems: an image's layers, and one writable directory on top.

Words: *layer* (a directory of ``layers/``, read-only from then on), *parent* (the layer below), *snapshot* (what a
container has of its own: ``upper/`` with its changes, ``work/`` for overlayfs, ``rootfs/`` to mount on), *mounts* (what
to mount so that the two are one tree). A snapshot is named by its container's id; its mounts exist only in that
container's mount namespace, and end with it.

One import, one run::

    Layers.showing((A, B))     layers/A/fs, layers/B/fs                 unpacked, kept as long as an image uses them
    prepare("c1", image)       containers/c1/{rootfs,upper,work}        a few mkdir(2), whatever the image's size
                               → overlay on /: lowerdir=B:A, upperdir, workdir
    mounts("c1", image)        the same mount again, for a restart: the changes are in upper/
                               → where overlayfs is not to be had: rootfs/ is a copy, and a bind of it
    remove("c1")               the changes are gone; the layers stay
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from containerkit.errors import InvalidArgument, about, from_os_error
from containerkit.linux.confinement import is_rootless
from containerkit.linux.mounts import new_mount
from containerkit.oci.runtime_spec import Mount
from containerkit.store import rights
from containerkit.store.images import ImageRecord
from containerkit.store.layers import Layers
from containerkit.store.owners import Exchange
from containerkit.store.paths import Paths
from containerkit.store.trees import remove_tree, set_aside
from containerkit.store.workspace import Workspace

if TYPE_CHECKING:
    from containerkit.layers import diff
    from containerkit.layers.pack import Archive
    from containerkit.store.ingest import Ingest, Written

# What these are when nothing is said depends on how the kernel was built.
_OPTIONS = (
    # On: the upper directory is tied to these very lower directories, and a copied or moved store gives ESTALE.
    "index=off",
    # On: chown copies up no data, and upper/ is no longer the whole change that commit and diff read.
    "metacopy=off",
    # Redirects are made by renaming directories (which now is EXDEV, and mv copies), and would be followed in layers,
    # which strangers made.
    "redirect_dir=nofollow",
)
_IN_OPTIONS = frozenset(":,\\")


class Snapshots:
    """The snapshots of one store: on overlayfs, or, where that is not to be had, copies."""

    def __init__(self, paths: Paths, layers: Layers) -> None:
        self._layers = layers
        self._prefix = f"{paths.containers}/"
        self._empty = paths.layers / "empty"
        self._tmp = paths.tmp
        self._can_stack: bool | None = None

    def prepare(self, container_id: str, image: ImageRecord, exchange: Exchange | None = None) -> tuple[Mount, ...]:
        """Make the directories of a snapshot; returns its mounts.

        Args:
            exchange: who has changed places with root on its disk, in its layers too.

        Raises:
            StorageError: a layer is missing and its blob damaged, or the disk is full.
            InvalidArgument: the store's path has a character that overlayfs's options cannot hold.
        """
        base = self._base(container_id)
        lower = self._owned(image, exchange)
        root = self._layers.naming_root(image.chain_ids)
        (above,) = self._layers.exchanged([root], exchange) if root is not None else (None,)
        owner = exchange.of(0, 0) if exchange is not None else None
        try:
            os.mkdir(base, 0o700)
            if exchange is not None:
                exchange.write(base)
            _make(f"{base}/rootfs")
            if self._stacks():
                for name in ("upper", "work"):
                    _make(f"{base}/{name}")
                _make_as(above, f"{base}/upper", owner)
                if not image.chain_ids:
                    self._empty.mkdir(exist_ok=True)
            else:
                # Here and below, not at the top: few containers need what packs, compares and copies trees.
                from containerkit.layers.flatten import flatten

                rights.call(flatten, lower if image.chain_ids else (), f"{base}/rootfs")
                _make_as(above, f"{base}/rootfs", owner)
        except OSError as error:
            raise from_os_error(error, f"container {container_id[:12]}") from error
        return self.mounts(container_id, image)

    def _base(self, container_id: str) -> str:
        base = self._prefix + container_id
        if _IN_OPTIONS & set(base):
            raise InvalidArgument(
                f"store {base}: its path cannot hold any of : , \\ (choose another CONTAINERKIT_ROOT)"
            )
        return base

    def _lower(self, image: ImageRecord) -> tuple[Path, ...]:
        """The image's layers, the lowest first, unpacked; of an image without any, an empty one."""
        return self._layers.showing(image.chain_ids, image.layers) or (self._empty,)

    def _owned(self, image: ImageRecord, exchange: Exchange | None) -> tuple[Path, ...]:
        return self._layers.exchanged(self._lower(image), exchange) if image.chain_ids else self._lower(image)

    def _exchange(self, container_id: str) -> Exchange | None:
        return Exchange.read(self._prefix + container_id) if is_rootless() else None

    def _stacks(self) -> bool:
        """Whether overlayfs takes writable layers here; tried once in a process."""
        if self._can_stack is None:
            self._can_stack = rights.call(can_stack, self._tmp)
        return self._can_stack

    def _is_copy(self, container_id: str) -> bool:
        return not os.path.isdir(f"{self._prefix}{container_id}/upper")

    def mounts(self, container_id: str, image: ImageRecord, *, volatile: bool = False) -> tuple[Mount, ...]:
        """What to mount for a snapshot that is there; makes nothing but a layer that is missing.

        Args:
            volatile: nobody will want the changes after the container's end. Otherwise the kernel writes out the
                whole file system below ``upper/`` when the container ends: milliseconds, or seconds on a busy disk.
        """
        base = self._base(container_id)
        if self._is_copy(container_id):
            return (Mount("/", "bind", f"{base}/rootfs", ("rbind",)),)
        lower = self._owned(image, self._exchange(container_id))
        stacked = ":".join([str(directory) for directory in reversed(lower)])
        extra = (*_OPTIONS, "volatile") if volatile else _OPTIONS
        if is_rootless():
            # In a user namespace overlayfs keeps its notes in attributes that an ordinary user may write.
            extra = (*extra, "userxattr")
        options = (f"lowerdir={stacked}", f"upperdir={base}/upper", f"workdir={base}/work", *extra)
        return (Mount("/", "overlay", "overlay", options),)

    def upper(self, container_id: str) -> Path:
        """The directory that holds the container's changes, or its whole tree where that is a copy."""
        return Path(f"{self._prefix}{container_id}", "rootfs" if self._is_copy(container_id) else "upper")

    def directories(self, container_id: str, image: ImageRecord) -> list[Path]:
        """What the tree consists of, uppermost first; the owners of its layers are not always these."""
        upper = self.upper(container_id)
        return [upper] if upper.name == "rootfs" else [upper, *reversed(self._lower(image))]

    def changes(self, container_id: str, image: ImageRecord, mounted: Sequence[str]) -> list[diff.Change]:
        """What the container has changed of its image's files, sorted by path.

        Args:
            mounted: where something is mounted in it: what the runtime made for that is left out.
        """
        from containerkit.layers import diff

        compare = diff.compare if self._is_copy(container_id) else diff.changes
        layers = self._beneath(container_id, image)
        return rights.call(compare, self.upper(container_id), layers, tuple(mounted))

    def _beneath(self, container_id: str, image: ImageRecord) -> tuple[Path, ...]:
        """Its layers, uppermost first."""
        layers = self._layers.showing(image.chain_ids, image.layers)
        return self._layers.exchanged(layers, self._exchange(container_id))[::-1]

    def pack(
        self, container_id: str, image: ImageRecord, mounted: Sequence[str], ingest: Ingest, epoch: int | None = None
    ) -> Written:
        """Write what the container has changed as a layer.

        Args:
            mounted: where something is mounted in it: what the runtime made for that is left out.
            epoch: later times become this one; seconds since 1970.

        Raises:
            InvalidArgument: a file whose name only a whiteout may have.
            InvalidState: a file became shorter while it was read.
        """
        from containerkit.layers import writable

        layers, exchange = self._beneath(container_id, image), self._exchange(container_id)
        add = writable.add_copy if self._is_copy(container_id) else writable.add_upper
        space = f"{ingest.path}/{container_id}"
        return rights.call(_pack, space, add, self.upper(container_id), layers, tuple(mounted), exchange, epoch)

    def remove(self, container_id: str) -> None:
        """Remove the container's directory with all in it: at once, for nobody starts half of it. Idempotent.

        Raises:
            StorageError: it could not be removed.
        """
        place = self._prefix + container_id
        with about(f"container {container_id[:12]}"):
            with contextlib.suppress(OSError):  # it is gone already; or not of one file system, and goes piece by piece
                place = set_aside(place, self._tmp)
            remove_tree(place)


def _pack(
    space: str, add: Callable[[Archive, Path, Sequence[Path], Sequence[str]], None],
    upper: Path, layers: Sequence[Path], mounted: Sequence[str], exchange: Exchange | None, epoch: int | None,
) -> Written:  # fmt: skip
    from containerkit.layers.pack import Clamped
    from containerkit.store.exchanging import Exchanged
    from containerkit.store.ingest import write_layer

    def write(archive: Archive) -> None:
        archive = archive if epoch is None else Clamped(archive, epoch)
        add(Exchanged(archive, exchange) if exchange is not None else archive, upper, layers, mounted)

    return write_layer(space, write)


def can_stack(tmp: Path) -> bool:
    """Whether overlayfs takes a writable layer below the directory ``tmp``. Nothing is mounted anywhere for it."""
    with Workspace(tmp) as space, contextlib.ExitStack() as stack:
        options = [("userxattr", "")] if is_rootless() else []
        for name in ("lower", "upper", "work"):
            _make(f"{space.path}/{name}")
            directory = os.open(space.path / name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, directory)
            options.append((f"{name}dir", f"/proc/self/fd/{directory}"))
        try:
            os.close(new_mount("overlay", options))
        except OSError:
            return False
    return True


def _make(path: str) -> None:
    os.mkdir(path)
    os.chmod(path, 0o755)  # whatever the umask is


def _make_as(layer: Path | None, root: str, owner: tuple[int, int] | None) -> None:
    """A merged directory is as its uppermost one: here the container's own, not the image's root.

    Args:
        layer: the one that says what the image's root is like.
        owner: whose it is otherwise, if not ours.
    """
    if layer is not None:
        rights.if_refused(_copy_root, layer, root)
    elif owner is not None:
        rights.call(os.chown, root, *owner)


def _copy_root(layer: Path, root: str) -> None:
    found = os.stat(layer)
    os.chown(root, found.st_uid, found.st_gid)
    os.chmod(root, found.st_mode & 0o7777)
