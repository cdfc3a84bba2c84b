"""Operations that make the container's root: its file system is put together, and becomes ``/``."""

from __future__ import annotations

import errno
import os

from containerkit.linux import mounts as m
from containerkit.linux import process
from containerkit.runtime.mounting import locked_flags
from containerkit.runtime.namespaces import HoldMaps
from containerkit.runtime.operation import Context, Operation, fd_path
from containerkit.values import frozen


@frozen
class SetPropagation(Operation):
    """Cut the new mount namespace off the host's: what is mounted here stays here."""

    CALLS = ("mount",)

    propagation: int

    def describe(self) -> str:
        return "mount: make every mount " + ("private" if self.propagation & m.MS_PRIVATE else "a slave of the host's")

    def execute(self, context: Context) -> None:
        m.mount("none", "/", "", self.propagation | m.MS_REC)
        # Kept from the host's procfs: the container's own is under the control of its image's mount points.
        context.proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


@frozen
class MountOverlay(Operation):
    """Stack the image's layers (lowest last) under a writable directory."""

    CALLS = ("mount",)

    lower: tuple[str, ...]
    upper: str
    work: str
    extra: tuple[str, ...] = ()

    def describe(self) -> str:
        return f"mount overlay: {len(self.lower)} read-only layer(s) under one writable"

    def execute(self, context: Context) -> None:
        self.mount(context.rootfs)
        context.root = os.open(context.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def mount(self, target: str) -> None:
        """Mount it on ``target``."""
        places = (f"upperdir={self.upper}", f"workdir={self.work}")
        try:
            m.mount_overlay(target, self.lower, (*places, *self.extra))
        except OSError as error:
            raise OSError(error.errno, self._hint(error)) from error

    def _hint(self, error: OSError) -> str:
        if error.errno == errno.ENODEV:
            return "this kernel has no overlayfs (try: modprobe overlay)"
        if error.errno == errno.EINVAL:
            # The kernel says more in its log only; this is what it nearly always means.
            return f"the file system of {self.upper} cannot hold a writable layer (ext4, xfs, btrfs and tmpfs can)"
        return error.strerror or str(error)


@frozen
class MapOverlay(Operation):
    """As :class:`MountOverlay`, for a user namespace: on the disk everything keeps its owners, inside they are others.

    Made outside, where there is the right to: the layers are mounted anew with the namespace's maps, and stacked. What
    the kernel makes in the stack on its own account, it makes as whoever mounts: so that is the container's root.
    """

    CALLS = ("open_tree", "mount_setattr", "mount")

    overlay: MountOverlay
    maps: HoldMaps

    def describe(self) -> str:
        return f"mount_setattr, {self.overlay.describe()}: with the owners of the user namespace"

    def execute(self, context: Context) -> None:
        # Overlayfs takes what is mounted somewhere (what is not, since Linux 6.15): so the layers are mounted over
        # themselves, where nobody sees it.
        with m.private_mounts():
            user_namespace = self.maps.open()
            try:
                # Above and work have to be in one mount.
                for path in dict.fromkeys((os.path.dirname(self.overlay.upper), *self.overlay.lower)):
                    _map(path, user_namespace)
            finally:
                os.close(user_namespace)
            with process.effective_ids(*self.maps.root()):
                self.overlay.mount(context.rootfs)
            context.prepared["/"] = m.open_tree(context.rootfs)


def _map(path: str, user_namespace: int) -> None:
    """Mount the directory over itself, with other owners."""
    tree = m.open_tree(path)
    try:
        m.mount_setattr(tree, m.MOUNT_ATTR_IDMAP, userns=user_namespace)
        target = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            m.move_mount(tree, target)
        finally:
            os.close(target)
    finally:
        os.close(tree)


@frozen
class PlaceRootfs(Operation):
    """The root file system, mounted outside, gets a place in this mount namespace."""

    CALLS = ("move_mount",)

    def describe(self) -> str:
        return "move_mount: the root file system"

    def execute(self, context: Context) -> None:
        # On "/", which everybody reaches: the way to any other place may be closed to this namespace's root.
        context.root = context.prepared.pop("/")
        place = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        m.move_mount(context.root, place)
        os.close(place)


@frozen
class BindRootfs(Operation):
    """Make the root file system a mount of its own: pivot_root(2) asks for one."""

    CALLS = ("mount",)

    def describe(self) -> str:
        return "mount: bind the rootfs onto itself"

    def execute(self, context: Context) -> None:
        m.mount(context.rootfs, context.rootfs, "", m.MS_BIND | m.MS_REC)
        context.root = os.open(context.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


@frozen
class RemountRootReadonly(Operation):
    """``--read-only``: nothing below ``/`` can be written but what is mounted over it."""

    CALLS = ("mount",)

    def describe(self) -> str:
        return "mount: / read-only"

    def execute(self, context: Context) -> None:
        # Through "." of the descriptor: a path would name the directory below the mount.
        target = fd_path(context.root)
        m.mount("none", target, "", m.MS_REMOUNT | m.MS_BIND | m.MS_RDONLY | locked_flags(context.root))


@frozen
class PivotRoot(Operation):
    """The rootfs becomes ``/`` and the host's tree is let go."""

    CALLS = ("fchdir", "pivot_root", "mount", "umount2")

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


@frozen
class MoveRoot(Operation):
    """The rootfs becomes ``/`` where pivot_root(2) cannot: in an initramfs. What is below stays mounted, and hidden."""

    CALLS = ("mount", "chroot")

    def describe(self) -> str:
        return "move the rootfs over /, chroot"

    def execute(self, context: Context) -> None:
        os.fchdir(context.root)
        m.mount(".", "/", "", m.MS_MOVE)
        os.chroot(".")
        os.chdir("/")
        os.close(context.root)
        context.root = -1


@frozen
class SetRootPropagation(Operation):
    """How mounts below the container's ``/`` travel: its rootfsPropagation."""

    CALLS = ("mount",)

    propagation: int

    def describe(self) -> str:
        return "mount: the propagation of /"

    def execute(self, context: Context) -> None:
        m.mount("none", "/", "", self.propagation)
