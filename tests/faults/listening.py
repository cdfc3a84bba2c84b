"""A filter that asks before each call that changes something, and the descriptor at which it asks.

Sources: seccomp(2) and seccomp_unotify(2); include/uapi/linux/seccomp.h. The filter is inherited by every process that
the filtered one starts, and nobody can take it off.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import struct
import time
from dataclasses import dataclass
from functools import cache

from containerkit.linux import seccomp, seccomp_compiler
from containerkit.linux.libc import check, libc
from containerkit.oci.runtime_spec import Seccomp, SeccompArg, SeccompSyscall

#: Calls on names: which of their arguments is a name, and which is the directory that it is relative to.
PATHS = {
    "mkdir": (0, None), "mkdirat": (1, 0), "rmdir": (0, None), "unlink": (0, None), "unlinkat": (1, 0),
    "rename": (1, None), "renameat": (3, 2), "renameat2": (3, 2), "link": (1, None), "linkat": (3, 2),
    "symlink": (1, None), "symlinkat": (2, 1), "mknod": (0, None), "mknodat": (1, 0), "truncate": (0, None),
    "open": (0, None), "openat": (1, 0), "creat": (0, None),
}  # fmt: skip
#: Calls on descriptors, which are their first argument; of two, the one that is written to.
DESCRIPTORS = {
    "write": 0, "pwrite64": 0, "writev": 0, "pwritev": 0, "pwritev2": 0, "ftruncate": 0, "fallocate": 0, "fsync": 0,
    "fdatasync": 0, "syncfs": 0, "sendfile": 0, "copy_file_range": 2,
}  # fmt: skip
#: Others: mounts, namespaces, messages to other processes and to netlink.
OTHERS = (
    "mount", "umount2", "pivot_root", "move_mount", "fsmount", "fsconfig", "mount_setattr", "unshare", "setns",
    "sendmsg", "sendto",
)  # fmt: skip
_LOOP = {"LOOP_SET_FD": 0x4C00, "LOOP_CLR_FD": 0x4C01, "LOOP_CONFIGURE": 0x4C0A, "LOOP_CTL_GET_FREE": 0x4C82}
_ASK = "SCMP_ACT_NOTIFY"
#: A signal that is not deadly does not interrupt a call that waits for its answer: each is counted once (Linux 5.19).
_WAIT_KILLABLE = 32
_RECV, _SEND, _CONTINUE = 0xC0502100, 0xC0182101, 1
_NOTICE = struct.Struct("=QIIiIQ6Q")
_PIDFD_GETFD = 438


@dataclass(frozen=True)
class Call:
    """A call that waits for its answer."""

    id: int
    thread: int
    name: str
    arguments: tuple[int, ...]


def program() -> bytes:
    """The filter, as classic BPF."""
    creating = [
        SeccompSyscall((name,), _ASK, args=(SeccompArg(place, os.O_CREAT, "SCMP_CMP_MASKED_EQ", os.O_CREAT),))
        for name, place in (("open", 1), ("openat", 2))
    ]
    loops = [
        SeccompSyscall(("ioctl",), _ASK, args=(SeccompArg(1, number, "SCMP_CMP_EQ"),)) for number in _LOOP.values()
    ]
    plain = tuple(name for name in (*PATHS, *DESCRIPTORS, *OTHERS) if name not in ("open", "openat"))
    return seccomp_compiler.compile_filter(
        Seccomp("SCMP_ACT_ALLOW", syscalls=(SeccompSyscall(plain, _ASK), *creating, *loops))
    )


def submit(filter: bytes) -> int:
    """From now on this process asks. The descriptor is to be taken by another process, which this cannot send it to."""
    return seccomp.load_filter_with_listener(filter, _WAIT_KILLABLE)


def taken(pid: int, timeout: float = 60) -> int:
    """The descriptor of a process that has called :func:`submit`: pidfd_getfd(2)."""
    pidfd = os.pidfd_open(pid)
    try:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for name in os.listdir(f"/proc/{pid}/fd"):
                if _link(f"/proc/{pid}/fd/{name}") == "anon_inode:seccomp notify":
                    number = ctypes.c_long(_PIDFD_GETFD)
                    return check(libc.syscall(number, ctypes.c_long(pidfd), ctypes.c_long(int(name)), ctypes.c_long(0)))
            time.sleep(0.001)
        raise TimeoutError(f"process {pid} has no filter yet")
    finally:
        os.close(pidfd)


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""  # closed since it was listed


def receive(listener: int, timeout: float) -> Call | None:
    """The next call; None when there was none for so many seconds, or the caller has ended meanwhile.

    Raises:
        EOFError: no process with the filter is left.
    """
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    ready = dict(poll.poll(timeout * 1000))
    if not ready:
        return None
    if not ready[listener] & select.POLLIN:
        raise EOFError
    buffer = bytearray(_NOTICE.size)
    try:
        fcntl.ioctl(listener, _RECV, buffer)
    except FileNotFoundError:
        return None
    id, thread, _, number, _, _, *arguments = _NOTICE.unpack(buffer)
    return Call(id, thread, name_of(number), tuple(arguments))


def answer(listener: int, call: Call, error: int = 0) -> None:
    """Let it happen, or let it fail with that error number."""
    reply = struct.pack("=QqiI", call.id, 0, -error, 0 if error else _CONTINUE)
    try:
        fcntl.ioctl(listener, _SEND, reply)
    except FileNotFoundError:
        pass  # the caller has been killed


@cache
def name_of(number: int) -> str:
    """A call's name by its number."""
    return seccomp_compiler._call(seccomp_compiler._library(), number)
