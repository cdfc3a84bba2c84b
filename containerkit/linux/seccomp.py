"""seccomp: a program becomes the filter of this process.

Sources: seccomp(2), prctl(2), include/uapi/linux/{seccomp,filter}.h; runtime-spec, config-linux.md, "Seccomp".

Where programs come from is :mod:`containerkit.linux.seccomp_cache`: that takes libseccomp, and this does not.
"""

from __future__ import annotations

import ctypes
import struct

from containerkit.linux.libc import check, libc, syscall_number
from containerkit.oci.runtime_spec import Seccomp

PR_SET_SECCOMP, SECCOMP_MODE_FILTER, SECCOMP_SET_MODE_FILTER = 22, 2, 1
#: Names in a profile → flags of seccomp(2).
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}
#: Its result is the descriptor that tells of calls which a process outside decides on.
_NEW_LISTENER = 8
_SECCOMP = syscall_number("seccomp")


def flags_of(profile: Seccomp) -> int:
    """The flags of seccomp(2) that a profile asks for; names this kernel's header does not have are left out."""
    return sum({FLAGS.get(name, 0) for name in profile.flags})


def notifies(profile: Seccomp) -> bool:
    """Whether a process outside decides on some calls."""
    return any(rule.action == "SCMP_ACT_NOTIFY" for rule in profile.syscalls)


def load_filter(program: bytes, flags: int = 0) -> None:
    """Make ``program`` a filter of this process and of all it starts; there is no way back.

    Needs CAP_SYS_ADMIN in the process's user namespace, or no_new_privs.

    Args:
        program: an array of struct sock_filter, as :func:`containerkit.linux.seccomp_cache.filter_for` gives it.
        flags: of seccomp(2).

    Raises:
        OSError: EACCES without the right; EINVAL when the kernel finds the program wrong.
    """
    header, _instructions = _program(program)
    if flags:
        _seccomp(flags, header)
    else:
        check(libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), header, None, None), "seccomp")


def load_filter_with_listener(program: bytes, flags: int = 0) -> int:
    """As :func:`load_filter`, for a program with the action notify: the descriptor to answer its calls by."""
    header, _instructions = _program(program)
    # With TSYNC the result would be a thread's number.
    return _seccomp(flags & ~FLAGS["SECCOMP_FILTER_FLAG_TSYNC"] | _NEW_LISTENER, header)


def _program(program: bytes) -> tuple[bytes, ctypes.c_char_p]:
    """struct sock_fprog: a count, and a pointer to the instructions, which have to stay as long."""
    instructions = ctypes.c_char_p(program)
    return struct.pack("@HP", len(program) // 8, ctypes.cast(instructions, ctypes.c_void_p).value), instructions


def _seccomp(flags: int, header: bytes) -> int:
    number, mode = ctypes.c_long(_SECCOMP), ctypes.c_long(SECCOMP_SET_MODE_FILTER)
    return check(libc.syscall(number, mode, ctypes.c_ulong(flags), header), "seccomp")
