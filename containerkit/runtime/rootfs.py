"""Operations that make the container's root: its file system is put together, and becomes ``/``."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass

from containerkit.linux import mounts as m
from containerkit.linux import process
from containerkit.runtime.mounting import locked_flags
from containerkit.runtime.namespaces import HoldMaps
from containerkit.runtime.operation import Context, Operation, fd_path

_PAGE = 4096


@dataclass(frozen=True)
class SetPropagation(Operation):
    """Cut the new mount namespace off the host's: what is mounted here stays here."""

    propagation: int

    def describe(self) -> str:
        return "mount: make every mount " + ("private" if self.propagation & m.MS_PRIVATE else "a slave of the host's")

    def execute(self, context: Context) -> None:
        m.mount("none", "/", "", self.propagation | m.MS_REC)
        # Kept from the host's procfs: the container's own is under the control of its image's mount points.
        context.proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


@dataclass(frozen=True)
class MountOverlay(Operation):
    """Stack the image's layers (lowest last) under a writable directory."""

    lower: tuple[str, ...]
    upper: str
    work: str
    extra: tuple[str, ...] = ()

    def describe(self) -> str:
        return f"mount overlay: {len(self.lower)} read-only layer(s) under one writable"

    def execute(self, context: Context) -> None:
        joined = ":".join(self.lower)
        data = ",".join((f"lowerdir={joined}", f"upperdir={self.upper}", f"workdir={self.work}", *self.extra))
        try:
            if len(data) < _PAGE:
                m.mount("overlay", context.rootfs, "overlay", 0, data)
            else:
                self._mount_many(context)
        except OSError as error:
            raise OSError(error.errno, self._hint(error)) from error
        context.root = os.open(context.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def _hint(self, error: OSError) -> str:
        if error.errno == errno.ENODEV:
            return "this kernel has no overlayfs (try: modprobe overlay)"
        if error.errno == errno.EINVAL:
            # The kernel says more in its log only; this is what it nearly always means.
            return f"the file system of {self.upper} cannot hold a writable layer (ext4, xfs, btrfs and tmpfs can)"
        return error.strerror or str(error)

    def _mount_many(self, context: Context) -> None:
        # mount(2) takes one page of options; fsconfig(2) takes layers one by one (lowerdir+ since Linux 6.5).
        options = [("lowerdir+", path) for path in self.lower]
        options += [("upperdir", self.upper), ("workdir", self.work)]
        options += [(key, value) for key, _, value in (item.partition("=") for item in self.extra)]
        mount_fd = m.new_mount("overlay", options)
        target = os.open(context.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        m.move_mount(mount_fd, target)
        os.close(mount_fd)
        os.close(target)


@dataclass(frozen=True)
class MapOverlay(Operation):
    """As :class:`MountOverlay`, for a user namespace: on the disk everything keeps its owners, inside they are others.

    Made outside, where there is the right to: the layers are mounted anew with the namespace's maps, and stacked. What
    the kernel makes in the stack on its own account, it makes as whoever mounts: so that is the container's root.
    """

    overlay: MountOverlay
    maps: HoldMaps

    def describe(self) -> str:
        return f"mount_setattr, {self.overlay.describe()}: with the owners of the user namespace"

    def execute(self, context: Context) -> None:
        with contextlib.ExitStack() as stack:
            user_namespace = self.maps.open()
            stack.callback(os.close, user_namespace)

            def mapped(path: str) -> str:
                tree = m.open_tree(path)
                stack.callback(os.close, tree)
                m.mount_setattr(tree, m.MOUNT_ATTR_IDMAP, userns=user_namespace)
                return fd_path(tree)

            # Above and work have to be in one mount.
            base, above = os.path.split(self.overlay.upper)
            writable = mapped(base)
            options = m.stacked([mapped(path) for path in self.overlay.lower])
            options += [("upperdir", f"{writable}/{above}")]
            options += [("workdir", f"{writable}/{os.path.basename(self.overlay.work)}")]
            options += [(key, value) for key, _, value in (item.partition("=") for item in self.overlay.extra)]
            with process.effective_ids(*self.maps.root()):
                context.prepared["/"] = m.new_mount("overlay", options)


@dataclass(frozen=True)
class PlaceRootfs(Operation):
    """The root file system, mounted outside, gets a place in this mount namespace."""

    def describe(self) -> str:
        return "move_mount: the root file system"

    def execute(self, context: Context) -> None:
        # On "/", which everybody reaches: the way to any other place may be closed to this namespace's root.
        context.root = context.prepared.pop("/")
        place = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        m.move_mount(context.root, place)
        os.close(place)


@dataclass(frozen=True)
class BindRootfs(Operation):
    """Make the root file system a mount of its own: pivot_root(2) asks for one."""

    def describe(self) -> str:
        return "mount: bind the rootfs onto itself"

    def execute(self, context: Context) -> None:
        m.mount(context.rootfs, context.rootfs, "", m.MS_BIND | m.MS_REC)
        context.root = os.open(context.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


@dataclass(frozen=True)
class RemountRootReadonly(Operation):
    """``--read-only``: nothing below ``/`` can be written but what is mounted over it."""

    def describe(self) -> str:
        return "mount: / read-only"

    def execute(self, context: Context) -> None:
        # Through "." of the descriptor: a path would name the directory below the mount.
        target = fd_path(context.root)
        m.mount("none", target, "", m.MS_REMOUNT | m.MS_BIND | m.MS_RDONLY | locked_flags(context.root))


@dataclass(frozen=True)
class PivotRoot(Operation):
    """The rootfs becomes ``/`` and the host's tree is let go."""

    def describe(self) -> str:
        return "pivot_root into the rootfs, umount the host's tree"

    def execute(self, context: Context) -> None:
        old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fchdir(context.root)
        # pivot_root(".", ".") stacks the old root on the new one: no directory has to be made for it (pivot_root(2)).
        m.pivot_root(".", ".")
        os.fchdir(old)
        # A slave first: the detach must not travel to the host.
        m.mount("none", ".", "", m.MS_SLAVE | m.MS_REC)
        m.umount2(".", m.MNT_DETACH)
        os.chdir("/")
        os.close(old)
        os.close(context.root)
        context.root = -1


@dataclass(frozen=True)
class MoveRoot(Operation):
    """The rootfs becomes ``/`` where pivot_root(2) cannot: in an initramfs. What is below stays mounted, and hidden."""

    def describe(self) -> str:
        return "move the rootfs over /, chroot"

    def execute(self, context: Context) -> None:
        os.fchdir(context.root)
        m.mount(".", "/", "", m.MS_MOVE)
        os.chroot(".")
        os.chdir("/")
        os.close(context.root)
        context.root = -1


@dataclass(frozen=True)
class SetRootPropagation(Operation):
    """How mounts below the container's ``/`` travel: its rootfsPropagation."""

    propagation: int

    def describe(self) -> str:
        return "mount: the propagation of /"

    def execute(self, context: Context) -> None:
        m.mount("none", "/", "", self.propagation)
