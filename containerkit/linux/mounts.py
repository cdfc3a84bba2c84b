"""Mounts and safe path resolution: mount(2), umount2(2), pivot_root(2), openat2(2), fsopen(2).

Sources: the man pages of those names; flags from include/uapi/linux/mount.h, fcntl.h and openat2.h.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from containerkit.linux.libc import check, libc, syscall_number
from containerkit.linux.namespaces import CLONE_NEWNS, setns, unshare

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_SYNCHRONOUS, MS_REMOUNT = 1, 2, 4, 8, 16, 32
MS_MANDLOCK, MS_DIRSYNC, MS_NOSYMFOLLOW, MS_NOATIME, MS_NODIRATIME = 64, 128, 256, 1024, 2048
MS_BIND, MS_MOVE, MS_REC, MS_SILENT = 4096, 8192, 16384, 32768
MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED = 1 << 17, 1 << 18, 1 << 19, 1 << 20
MS_RELATIME, MS_STRICTATIME, MS_LAZYTIME = 1 << 21, 1 << 24, 1 << 25
MNT_DETACH = 2

#: Attributes of a mount, for mount_setattr(2); the three ways to keep access times are values of one field.
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8
MOUNT_ATTR__ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_NODIRATIME = 0x70, 0x10, 0x20, 0x80
MOUNT_ATTR_IDMAP, MOUNT_ATTR_NOSYMFOLLOW = 0x100000, 0x200000

RESOLVE_NO_XDEV, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT = 0x01, 0x04, 0x08, 0x10
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE, OPEN_TREE_CLONE = -100, 0x1000, 0x8000, 1

FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC, MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH = 1, 1, 0x4, 0x40
FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE = 0, 1, 6

#: Options that mount(2) takes.
_PAGE = 4096

_openat2 = syscall_number("openat2")
_move_mount = syscall_number("move_mount")
_fsopen = syscall_number("fsopen")
_fsconfig = syscall_number("fsconfig")
_fsmount = syscall_number("fsmount")
_open_tree = syscall_number("open_tree")
_mount_setattr = syscall_number("mount_setattr")

# Every argument of syscall(2) is a long; ctypes would pass a bare int as a C int.
_long = ctypes.c_long


def mount(source: str, target: str, fstype: str, flags: int = 0, data: str = "") -> None:
    """mount(2).

    Raises:
        OSError: the kernel's errno, with ``target``.
    """
    result = libc.mount(
        os.fsencode(source), os.fsencode(target), fstype.encode(), ctypes.c_ulong(flags), os.fsencode(data) or None
    )
    check(result, target)


def umount2(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    check(libc.umount2(os.fsencode(target), flags), target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    check(libc.pivot_root(os.fsencode(new_root), os.fsencode(put_old)), new_root)


def openat2(directory: int, path: str, flags: int, *, mode: int = 0, resolve: int = RESOLVE_IN_ROOT) -> int:
    """openat2(2): a descriptor for ``path`` below ``directory``, by default as if that were the root.

    Symbolic links, absolute ones too, and ``..`` are resolved inside; whoever swaps them meanwhile gains nothing.
    """
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, resolve)
    while True:
        result = libc.syscall(_long(_openat2), _long(directory), os.fsencode(path), how, _long(len(how)))
        if result >= 0:
            return int(result)
        # EAGAIN: something on the way was renamed during the walk, and the kernel could not vouch for it.
        if ctypes.get_errno() != 11:
            check(-1, path)


def new_mount(fstype: str, options: list[tuple[str, str]]) -> int:
    """A detached mount made with fsopen, fsconfig and fsmount: no page-size limit on its options.

    Args:
        fstype: file system type.
        options: keys and values in order; an empty value sets a flag.
    """
    context = check(libc.syscall(_long(_fsopen), fstype.encode(), _long(FSOPEN_CLOEXEC)), fstype)
    try:
        for key, value in options:
            command = FSCONFIG_SET_STRING if value else FSCONFIG_SET_FLAG
            raw = os.fsencode(value) if value else None
            check(libc.syscall(_long(_fsconfig), _long(context), _long(command), key.encode(), raw, _long(0)), key)
        check(libc.syscall(_long(_fsconfig), _long(context), _long(FSCONFIG_CMD_CREATE), None, None, _long(0)), fstype)
        return check(libc.syscall(_long(_fsmount), _long(context), _long(FSMOUNT_CLOEXEC), _long(0)), fstype)
    finally:
        os.close(context)


def stacked(layers: Sequence[str]) -> list[tuple[str, str]]:
    """The options of an overlay's layers, uppermost first, for :func:`new_mount`; their paths have to be short."""
    joined = ":".join(layers)
    # fsconfig(2) takes 256 bytes for a value; to give them one by one takes Linux 6.5.
    return [("lowerdir", joined)] if len(joined) < 256 else [("lowerdir+", layer) for layer in layers]


def mount_overlay(target: str, layers: Sequence[str], options: Sequence[str]) -> None:
    """Mount overlayfs on ``target``.

    Args:
        layers: their paths, uppermost first; as many as it takes.
        options: the others, ``"key=value"`` or ``"key"``.

    Raises:
        OSError: as mount(2); EINVAL, too, for some two hundred layers before Linux 6.5.
    """
    # mount(2) takes one page of options. Paths of layers are long, those of descriptors are not; where even they have
    # no room, fsconfig(2) takes layers one by one since Linux 6.5.
    with ExitStack() as opened:
        if not _fits(layers, options):
            layers = [_short(path, opened) for path in layers]
        if _fits(layers, options):
            mount("overlay", target, "overlay", 0, ",".join((f"lowerdir={':'.join(layers)}", *options)))
            return
        pairs = [(key, value) for key, _, value in (option.partition("=") for option in options)]
        made = new_mount("overlay", [*(("lowerdir+", layer) for layer in layers), *pairs])
        opened.callback(os.close, made)
        place = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, place)
        move_mount(made, place)


def _fits(layers: Sequence[str], options: Sequence[str]) -> bool:
    return sum(len(os.fsencode(text)) + 1 for text in (*layers, *options)) + len("lowerdir=") < _PAGE


def _short(path: str, opened: ExitStack) -> str:
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    opened.callback(os.close, descriptor)
    return f"/proc/self/fd/{descriptor}"


def move_mount(mount_fd: int, target_fd: int) -> None:
    """move_mount(2) of a detached mount onto the file that ``target_fd`` is."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    check(libc.syscall(_long(_move_mount), _long(mount_fd), b"", _long(target_fd), b"", _long(flags)), "move_mount")


def open_tree(path: str, *, recursive: bool = False) -> int:
    """open_tree(2): a detached copy of the mount that ``path`` is in, from ``path`` down.

    Args:
        recursive: with what is mounted below.
    """
    flags = OPEN_TREE_CLONE | os.O_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    return check(libc.syscall(_long(_open_tree), _long(AT_FDCWD), os.fsencode(path), _long(flags)), path)


def mount_setattr(mount_fd: int, set_: int = 0, clear: int = 0, *, recursive: bool = False, userns: int = 0) -> None:
    """mount_setattr(2) on the mount whose root ``mount_fd`` is.

    Args:
        set_, clear: MOUNT_ATTR_… bits.
        recursive: for all mounts below, too.
        userns: with MOUNT_ATTR_IDMAP, a descriptor of the user namespace whose maps the mount takes on.
    """
    attributes = struct.pack("4Q", set_, clear, 0, userns)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    result = libc.syscall(
        _long(_mount_setattr), _long(mount_fd), b"", _long(flags), attributes, _long(len(attributes))
    )  # fmt: skip
    check(result, "mount_setattr")


@contextmanager
def private_mounts() -> Iterator[None]:
    """This process, which has one thread, in a mount namespace of its own meanwhile: nobody sees what it mounts."""
    with ExitStack() as after:
        directory = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        after.callback(os.close, directory)
        before = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        after.callback(os.close, before)
        unshare(CLONE_NEWNS)
        # setns(2) leads to the root of the namespace; the working directory comes last.
        after.callback(os.fchdir, directory)
        after.callback(setns, before, CLONE_NEWNS)
        mount("none", "/", "", MS_REC | MS_PRIVATE)
        yield
