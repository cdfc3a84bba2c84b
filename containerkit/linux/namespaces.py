"""Namespaces: clone3(2), unshare(2), setns(2), and the maps of user namespaces.

Sources: namespaces(7), user_namespaces(7), clone(2), include/uapi/linux/sched.h.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from containerkit.linux.libc import check, libc, syscall_number

CLONE_NEWTIME = 0x00000080
CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

#: runtime-spec name → (clone flag, name below /proc/PID/ns)
KINDS = {
    "user": (CLONE_NEWUSER, "user"),
    "mount": (CLONE_NEWNS, "mnt"),
    "uts": (CLONE_NEWUTS, "uts"),
    "ipc": (CLONE_NEWIPC, "ipc"),
    "pid": (CLONE_NEWPID, "pid"),
    "network": (CLONE_NEWNET, "net"),
    "cgroup": (CLONE_NEWCGROUP, "cgroup"),
    "time": (CLONE_NEWTIME, "time"),
}

_NS_GET_PARENT = 0xB702

_clone3 = syscall_number("clone3")
_long = ctypes.c_long


def clone3(flags: int, cgroup: int | None = None) -> tuple[int, int]:
    """Fork into new namespaces: clone3(2) with a copy of the address space.

    To be called in a process with one thread only: in the child, Python's own after-fork work is done, as os.fork does.

    Args:
        flags: CLONE_NEW… flags.
        cgroup: descriptor of a v2 cgroup directory the child is born in (CLONE_INTO_CGROUP).

    Returns:
        The child's pid and a pidfd for it; ``(0, -1)`` in the child.
    """
    pidfd = ctypes.c_int(-1)
    flags |= CLONE_PIDFD
    if cgroup is not None:
        flags |= CLONE_INTO_CGROUP
    # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, …, cgroup
    arguments = struct.pack(
        "11Q", flags, ctypes.addressof(pidfd), 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0 if cgroup is None else cgroup
    )
    pid = libc.syscall(_long(_clone3), arguments, _long(len(arguments)))
    if pid == 0:
        # The GIL was kept across the call (PyDLL), so the interpreter's state is whole in the child.
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0, -1
    return check(pid, "clone3"), pidfd.value


def unshare(flags: int) -> None:
    """unshare(2)."""
    check(libc.unshare(flags), "unshare")


def setns(descriptor: int, flags: int) -> None:
    """setns(2) with a namespace's descriptor, or with a pidfd and the flags of all namespaces to take from it."""
    check(libc.setns(descriptor, flags), "setns")


def parent_of(user_namespace: int) -> int:
    """A descriptor of the namespace in which that one was made (ioctl_nsfs(2), NS_GET_PARENT)."""
    found = fcntl.ioctl(user_namespace, _NS_GET_PARENT)
    os.set_inheritable(found, False)
    return found


@contextmanager
def inside_network(descriptor: int) -> Iterator[None]:
    """Be in a network namespace for a while. To be used in a process with one thread."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(descriptor, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)


def write_id_maps(pid: int, uid_map: list[tuple[int, int, int]], gid_map: list[tuple[int, int, int]]) -> None:
    """Give the user namespace of ``pid`` its maps: rows of (inside, outside, size)."""
    for name, rows in (("uid_map", uid_map), ("gid_map", gid_map)):
        if rows:
            text = "".join(f"{inside} {outside} {size}\n" for inside, outside, size in rows)
            descriptor = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                # The kernel takes a map in one write or not at all.
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)
