"""The C library, and how a result becomes an ``OSError``.

``PyDLL`` keeps the GIL during a call: that makes :func:`containerkit.linux.namespaces.clone3` safe, and the processes
that make these calls have one thread.
"""

from __future__ import annotations

import ctypes
import os

libc = ctypes.PyDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
# Looked up now: ctypes finds a function at its first use, and that would be in every container's init anew.
for _name in ("mount", "umount2", "pivot_root", "prctl", "unshare", "setns", "inotify_init1", "inotify_add_watch"):
    getattr(libc, _name)

# Since Linux 5.1 new system calls have one number on every architecture (Alpha aside).
_SYSCALLS = {
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
}


#: Older ones have a number per machine; the last is the one that newer machines share.
_PER_MACHINE = {
    "keyctl": {"x86_64": 250, "i686": 288, "armv7l": 311, "ppc64le": 271, "s390x": 280, "": 219},
    "seccomp": {"x86_64": 317, "i686": 354, "armv7l": 383, "ppc64le": 358, "s390x": 348, "": 277},
    "renameat2": {"x86_64": 316, "i686": 353, "armv7l": 382, "ppc64le": 357, "s390x": 347, "": 276},
    "set_tid_address": {"x86_64": 218, "i686": 258, "armv7l": 256, "ppc64le": 232, "s390x": 252, "": 96},
    "ioprio_set": {"x86_64": 251, "i686": 289, "armv7l": 314, "ppc64le": 273, "s390x": 282, "": 30},
    "sched_setattr": {"x86_64": 314, "i686": 351, "armv7l": 380, "ppc64le": 355, "s390x": 345, "": 274},
}


def syscall_number(name: str) -> int:
    """The number of a system call that libc may have no wrapper for."""
    if name in _SYSCALLS:
        return _SYSCALLS[name]
    numbers = _PER_MACHINE[name]
    return numbers.get(os.uname().machine, numbers[""])


def check(result: int, subject: str = "", other: str = "") -> int:
    """``result``, or the ``OSError`` that errno stands for when it is negative; ``subject`` is the file name in it."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), subject or None, None, other or None)
    return result
