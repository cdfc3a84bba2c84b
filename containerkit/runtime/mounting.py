"""Operations on what is mounted in the root: the configuration's mounts, and the paths that are protected or hidden.

All of them run before pivot_root, on descriptors resolved inside the root file system: an image whose ``/dev`` or
``/proc`` is a symbolic link reaches nothing outside.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from containerkit.linux import mounts as m
from containerkit.linux.cgroups import detect
from containerkit.runtime.mount_options import MountOptions
from containerkit.runtime.namespaces import HoldMaps
from containerkit.runtime.operation import Context, Operation, fd_path
from containerkit.values import frozen


@frozen
class MapMount(Operation):
    """A bind mount that shows its files' owners by other numbers; made outside, where there is the right to."""

    CALLS = ("open_tree", "mount_setattr")

    destination: str
    source: str
    maps: HoldMaps
    recursive: bool = False
    subpath: str = ""

    def describe(self) -> str:
        return f"mount_setattr: {self.source} with other owners, for {self.destination}"

    def execute(self, context: Context) -> None:
        with source_of(self.source, self.subpath) as source:
            tree = m.open_tree(source, recursive=self.recursive)
        context.prepared[self.destination] = tree
        user_namespace = self.maps.open()
        try:
            m.mount_setattr(tree, m.MOUNT_ATTR_IDMAP, recursive=self.recursive, userns=user_namespace)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP):
                text = f"the file system of {self.source} has no idmapped mounts (ext4, xfs, btrfs and tmpfs have)"
                raise OSError(error.errno, text) from error
            raise
        finally:
            os.close(user_namespace)


@frozen
class HoldMount(Operation):
    """A bind mount from before this mount namespace was cut off the host's: mounts travel through it both ways."""

    CALLS = ("mount",)

    destination: str
    source: str

    def describe(self) -> str:
        return f"open_tree {self.source}, which stays shared, for {self.destination}"

    def execute(self, context: Context) -> None:
        context.prepared[self.destination] = m.open_tree(self.source, recursive=True)


@contextmanager
def source_of(source: str, subpath: str) -> Iterator[str]:
    """The path of what is mounted; a part of the source is found inside it, whatever links there are.

    Raises:
        OSError: there is no such part.
    """
    if not subpath:
        yield source
        return
    root = os.open(source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = m.openat2(root, subpath, os.O_PATH)
    finally:
        os.close(root)
    try:
        yield fd_path(found)
    finally:
        os.close(found)


@frozen
class Mount(Operation):
    """One entry of the configuration's ``mounts``."""

    CALLS = ("openat2", "mount")

    destination: str
    type: str
    source: str
    options: MountOptions

    def describe(self) -> str:
        what = f"bind {self.source}" if self.options.is_bind else self.type
        return f"mount {what} on {self.destination}" + (f" ({self.options.data})" if self.options.data else "")

    def calls(self) -> tuple[str, ...]:
        return ("open_tree", "openat2", "move_mount") if self.options.is_bind else self.CALLS

    def execute(self, context: Context) -> None:
        try:
            made = self.bind(context) if self.options.is_bind else self._mount(context)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.destination) from error
        try:
            self._adjust(made)
        finally:
            os.close(made)

    def bind(self, context: Context) -> int:
        """Put a bind mount at its place.

        Returns:
            Its root, by a descriptor that is of it from the beginning: who may change what is on the way to its place,
            as another container with the same volume may, does not get another mount adjusted instead.
        """
        tree = context.prepared.pop(self.destination, -1)
        if tree < 0:
            with source_of(self.source, self.options.subpath) as source:
                tree = m.open_tree(source, recursive=bool(self.options.flags & m.MS_REC))
        target = context.target(self.destination, directory=os.path.isdir(fd_path(tree)))
        try:
            m.move_mount(tree, target)
        finally:
            os.close(target)
        return tree

    def _mount(self, context: Context) -> int:
        """The root of a new file system, mounted at its place."""
        target = context.target(self.destination)
        try:
            self._mount_at(fd_path(target))
            if "tmpcopyup" in self.options.own:
                self._copy_up(context, target)
            if self.options.subpath:
                return self._show_part(context, target)
        finally:
            os.close(target)
        return context.target(self.destination)

    def _show_part(self, context: Context, target: int) -> int:
        """Of a file system that has just been mounted only a part is to be seen."""
        whole = context.target(self.destination)
        try:
            with source_of(fd_path(whole), self.options.subpath) as source:
                part = m.open_tree(source)
            m.umount2(fd_path(whole), m.MNT_DETACH)
        finally:
            os.close(whole)
        m.move_mount(part, target)
        return part

    def _mount_at(self, target: str) -> None:
        options = self.options
        if self.type == "overlay":
            layers, *rest = options.data.split(",")
            m.mount_overlay(target, layers.removeprefix("lowerdir=").split(":"), rest)
        else:
            # A mount that is to have content first becomes read-only afterwards.
            flags = options.flags & ~m.MS_RDONLY if "tmpcopyup" in options.own else options.flags
            m.mount(self.source or self.type, target, self.type, flags, options.data)

    def _copy_up(self, context: Context, covered: int) -> None:
        # Not at the top: few mounts ask for it, and the host's files can still be read.
        from containerkit.layers.copy import Copier

        # The descriptor is of the directory below the new mount.
        upper = context.target(self.destination)
        try:
            below = os.open(fd_path(covered), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            Copier().copy_content(below, upper)
            os.close(below)
            if self.options.flags & m.MS_RDONLY:
                m.mount("none", fd_path(upper), "", m.MS_REMOUNT | m.MS_BIND | self.options.flags)
        finally:
            os.close(upper)

    def _adjust(self, made: int) -> None:
        # The kernel ignores the flags of a bind and takes a propagation alone: each needs a call of its own.
        flags = self.options.flags & ~(m.MS_BIND | m.MS_REC)
        if self.options.is_bind and flags:
            m.mount("none", fd_path(made), "", m.MS_REMOUNT | m.MS_BIND | flags | locked_flags(made))
        if self.options.propagation:
            m.mount("none", fd_path(made), "", self.options.propagation)
        if any(self.options.recursive):
            m.mount_setattr(made, *self.options.recursive, recursive=True)


@frozen
class MountCgroups(Operation):
    """``/sys/fs/cgroup``: the hierarchies of this machine, as the container's cgroup namespace shows them."""

    CALLS = ("openat2", "mount")

    destination: str
    options: MountOptions

    def describe(self) -> str:
        return f"mount cgroup on {self.destination}"

    def execute(self, context: Context) -> None:
        found = detect()
        flags = self.options.flags
        if found.mode == "v2":
            self._mount(context, self.destination, "cgroup2", flags)
            return
        target = context.target(self.destination)
        m.mount("tmpfs", fd_path(target), "tmpfs", m.MS_NOSUID | m.MS_NODEV | m.MS_NOEXEC, "mode=755")
        os.close(target)
        for root, controllers in found.v1:
            name = os.path.basename(root)
            self._mount(context, f"{self.destination}/{name}", "cgroup", flags, ",".join(sorted(controllers)))
            self._link(context, name, controllers)
        if found.v2 is not None:
            self._mount(context, f"{self.destination}/unified", "cgroup2", flags)
        if flags & m.MS_RDONLY:
            target = context.target(self.destination)
            m.mount("none", fd_path(target), "", m.MS_REMOUNT | m.MS_BIND | m.MS_RDONLY | locked_flags(target))
            os.close(target)

    def _mount(self, context: Context, path: str, fstype: str, flags: int, data: str = "") -> None:
        target = context.target(path)
        try:
            m.mount(fstype, fd_path(target), fstype, flags, data)
        finally:
            os.close(target)

    def _link(self, context: Context, name: str, controllers: frozenset[str]) -> None:
        # Where several are mounted as one, each is found by its own name too.
        parent = context.target(self.destination)
        try:
            for controller in controllers - {name}:
                os.symlink(name, controller, dir_fd=parent)
        finally:
            os.close(parent)


@frozen
class ReadonlyPath(Operation):
    """A path that the container may read and not write."""

    CALLS = ("openat2", "mount")

    path: str

    def describe(self) -> str:
        return f"mount: {self.path} read-only"

    def execute(self, context: Context) -> None:
        try:
            target = m.openat2(context.root, self.path, os.O_PATH)
        except FileNotFoundError:
            return
        m.mount(fd_path(target), fd_path(target), "", m.MS_BIND | m.MS_REC)
        os.close(target)
        target = m.openat2(context.root, self.path, os.O_PATH)
        m.mount("none", fd_path(target), "", m.MS_REMOUNT | m.MS_BIND | m.MS_RDONLY | locked_flags(target))
        os.close(target)


@frozen
class MaskPath(Operation):
    """A path whose content the container does not see: an empty directory or ``/dev/null`` lies over it."""

    CALLS = ("openat2", "mount")

    path: str

    def describe(self) -> str:
        return f"mount: hide {self.path}"

    def execute(self, context: Context) -> None:
        try:
            target = m.openat2(context.root, self.path, os.O_PATH)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            if stat.S_ISDIR(os.fstat(target).st_mode):
                m.mount("tmpfs", fd_path(target), "tmpfs", m.MS_RDONLY, "nr_blocks=1,nr_inodes=1")
            else:
                self._cover(target)
        finally:
            os.close(target)

    def _cover(self, target: int) -> None:
        # The host's own /dev/null, and really that device: a file in its place would let the container read it.
        null = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
        try:
            found = os.fstat(null)
            if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(1, 3):
                raise OSError(22, "/dev/null is not the null device", "/dev/null")
            m.mount(fd_path(null), fd_path(target), "", m.MS_BIND)
        finally:
            os.close(null)


def locked_flags(target: int) -> int:
    """Flags that a remount must repeat: in a user namespace they are locked."""
    found = os.fstatvfs(target).f_flag
    return found & (m.MS_NOSUID | m.MS_NODEV | m.MS_NOEXEC | m.MS_RDONLY)
