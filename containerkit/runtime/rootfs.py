"""Operations that make the container's view of files: mounts, devices, masks, pivot_root.

All of them run before pivot_root, on descriptors resolved inside the root file system: an image whose ``/dev`` or
``/proc`` is a symbolic link reaches nothing outside.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import termios
from dataclasses import dataclass

from containerkit.linux import mounts as m
from containerkit.linux import process
from containerkit.linux.cgroups import detect
from containerkit.runtime import messages
from containerkit.runtime.mount_options import MountOptions
from containerkit.runtime.namespaces import HoldMaps
from containerkit.runtime.operation import Context, Operation, fd_path

_PAGE = 4096
TIOCGPTPEER, TIOCSPTLCK = 0x5441, 0x40045431


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
class MapMount(Operation):
    """A bind mount that shows its files' owners by other numbers; made outside, where there is the right to."""

    destination: str
    source: str
    maps: HoldMaps
    recursive: bool = False

    def describe(self) -> str:
        return f"mount_setattr: {self.source} with other owners, for {self.destination}"

    def execute(self, context: Context) -> None:
        tree = m.open_tree(self.source, recursive=self.recursive)
        context.prepared[self.destination] = tree
        user_namespace = self.maps.open()
        try:
            m.mount_setattr(tree, m.MOUNT_ATTR_IDMAP, recursive=self.recursive, userns=user_namespace)
        finally:
            os.close(user_namespace)


@dataclass(frozen=True)
class Mount(Operation):
    """One entry of the configuration's ``mounts``."""

    destination: str
    type: str
    source: str
    options: MountOptions

    def describe(self) -> str:
        what = f"bind {self.source}" if self.options.is_bind else self.type
        return f"mount {what} on {self.destination}" + (f" ({self.options.data})" if self.options.data else "")

    def execute(self, context: Context) -> None:
        prepared = context.prepared.pop(self.destination, None)
        source = self.source if prepared is None else fd_path(prepared)
        directory = not self.options.is_bind or os.path.isdir(source)
        target = context.target(self.destination, directory=directory)
        try:
            if prepared is not None:
                m.move_mount(prepared, target)
                os.close(prepared)
            else:
                self._mount(fd_path(target))
            if "tmpcopyup" in self.options.own:
                self._copy_up(context, target)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.destination) from error
        finally:
            os.close(target)
        self._adjust(context)

    def _mount(self, target: str) -> None:
        options = self.options
        if options.is_bind:
            m.mount(self.source, target, "", options.flags & (m.MS_BIND | m.MS_REC))
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

    def _adjust(self, context: Context) -> None:
        # The kernel ignores the flags of a bind and takes a propagation alone: each needs a call of its own, on the
        # mount just made, which the old descriptor is below of.
        flags = self.options.flags & ~(m.MS_BIND | m.MS_REC)
        recursive = any(self.options.recursive)
        if not (self.options.is_bind and flags) and not self.options.propagation and not recursive:
            return
        target = context.target(self.destination)
        try:
            if self.options.is_bind and flags:
                flags |= _locked_flags(target)
                m.mount("none", fd_path(target), "", m.MS_REMOUNT | m.MS_BIND | flags)
            if self.options.propagation:
                m.mount("none", fd_path(target), "", self.options.propagation)
            if recursive:
                m.mount_setattr(target, *self.options.recursive, recursive=True)
        finally:
            os.close(target)


def _locked_flags(target: int) -> int:
    """Flags that a remount must repeat: in a user namespace they are locked."""
    found = os.fstatvfs(target).f_flag
    return found & (m.MS_NOSUID | m.MS_NODEV | m.MS_NOEXEC | m.MS_RDONLY)


@dataclass(frozen=True)
class MountCgroups(Operation):
    """``/sys/fs/cgroup``: the hierarchies of this machine, as the container's cgroup namespace shows them."""

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
            m.mount("none", fd_path(target), "", m.MS_REMOUNT | m.MS_BIND | m.MS_RDONLY | _locked_flags(target))
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


@dataclass(frozen=True)
class CreateDevice(Operation):
    """A device node, or a bind of the host's where mknod(2) is not allowed."""

    path: str
    type: str
    major: int
    minor: int
    mode: int
    uid: int = 0
    gid: int = 0
    bind: bool = False

    def describe(self) -> str:
        return f"{'bind' if self.bind else 'mknod'} {self.path} ({self.type} {self.major}:{self.minor})"

    def execute(self, context: Context) -> None:
        if self.bind:
            target = context.target(self.path, directory=False)
            m.mount(self.path, fd_path(target), "", m.MS_BIND)
            os.close(target)
            return
        kind = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}[self.type]
        directory, name = os.path.split(self.path)
        parent = context.target(directory)
        try:
            os.mknod(name, kind | self.mode, os.makedev(self.major, self.minor), dir_fd=parent)
            os.chmod(f"{fd_path(parent)}/{name}", self.mode)
            if self.uid or self.gid:
                os.chown(name, self.uid, self.gid, dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            pass
        finally:
            os.close(parent)


@dataclass(frozen=True)
class LinkDevices(Operation):
    """``/dev/fd``, ``/dev/stdin``, … and ``/dev/ptmx``, which the specification asks for."""

    links: tuple[tuple[str, str], ...] = (
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
        ("pts/ptmx", "ptmx"),
    )

    def describe(self) -> str:
        return "symlink /dev/" + ", ".join(name for _, name in self.links)

    def execute(self, context: Context) -> None:
        parent = context.target("/dev")
        for target, name in self.links:
            try:
                os.symlink(target, name, dir_fd=parent)
            except FileExistsError:
                pass
        os.close(parent)


@dataclass(frozen=True)
class MakeWorkingDirectory(Operation):
    """The working directory, where the image has none: what people expect of WORKDIR."""

    path: str

    def describe(self) -> str:
        return f"mkdir {self.path} if absent"

    def execute(self, context: Context) -> None:
        os.close(context.target(self.path))


@dataclass(frozen=True)
class OpenTerminal(Operation):
    """A terminal of the container's own devpts; its master goes to the parent.

    ``columns`` and ``rows`` in characters, 0 for unset; ``console``: it is the container's, and /dev/console too.
    """

    columns: int
    rows: int
    console: bool

    def describe(self) -> str:
        return "open a terminal" + (": /dev/console" if self.console else "")

    def execute(self, context: Context) -> None:
        master = m.openat2(context.root, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
        # TIOCGPTPEER opens the other end without a path that could be something else by now.
        context.terminal = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        if self.rows or self.columns:
            termios.tcsetwinsize(master, (self.rows, self.columns))
        if self.console:
            console = context.target("/dev/console", directory=False)
            m.mount(fd_path(context.terminal), fd_path(console), "", m.MS_BIND)
            os.close(console)
        messages.send_descriptor(context.channel, "console", master)
        os.close(master)


@dataclass(frozen=True)
class ReadonlyPath(Operation):
    """A path that the container may read and not write."""

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
        m.mount("none", fd_path(target), "", m.MS_REMOUNT | m.MS_BIND | m.MS_RDONLY | _locked_flags(target))
        os.close(target)


@dataclass(frozen=True)
class MaskPath(Operation):
    """A path whose content the container does not see: an empty directory or ``/dev/null`` lies over it."""

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


@dataclass(frozen=True)
class RemountRootReadonly(Operation):
    """``--read-only``: nothing below ``/`` can be written but what is mounted over it."""

    def describe(self) -> str:
        return "mount: / read-only"

    def execute(self, context: Context) -> None:
        # Through "." of the descriptor: a path would name the directory below the mount.
        target = fd_path(context.root)
        m.mount("none", target, "", m.MS_REMOUNT | m.MS_BIND | m.MS_RDONLY | _locked_flags(context.root))


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
