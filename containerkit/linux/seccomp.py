"""seccomp: a program becomes the filter of this process.

Sources: seccomp(2), prctl(2), include/uapi/linux/{seccomp,filter}.h; runtime-spec, config-linux.md, "Seccomp".

Where programs come from is :mod:`containerkit.linux.seccomp_cache`: that takes libseccomp, and this does not.
"""

from __future__ import annotations

import ctypes
import os
import struct

from containerkit.linux.libc import check, libc
from containerkit.oci.runtime_spec import Seccomp

PR_SET_SECCOMP, SECCOMP_MODE_FILTER, SECCOMP_SET_MODE_FILTER = 22, 2, 1
#: Names in a profile → flags of seccomp(2).
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}
_SECCOMP = {"x86_64": 317, "i686": 354, "armv7l": 383, "ppc64le": 358, "s390x": 348}.get(os.uname().machine, 277)


def flags_of(profile: Seccomp) -> int:
    """The flags of seccomp(2) that a profile asks for; names this kernel's header does not have are left out."""
    return sum({FLAGS.get(name, 0) for name in profile.flags})


def load_filter(program: bytes, flags: int = 0) -> None:
    """Make ``program`` a filter of this process and of all it starts; there is no way back.

    Needs CAP_SYS_ADMIN in the process's user namespace, or no_new_privs.

    Args:
        program: an array of struct sock_filter, as :func:`containerkit.linux.seccomp_cache.filter_for` gives it.
        flags: of seccomp(2).

    Raises:
        OSError: EACCES without the right; EINVAL when the kernel finds the program wrong.
    """
    # struct sock_fprog: a count, and a pointer to the instructions.
    instructions = ctypes.c_char_p(program)
    header = struct.pack("@HP", len(program) // 8, ctypes.cast(instructions, ctypes.c_void_p).value)
    if flags:
        number = ctypes.c_long(_SECCOMP)
        result = libc.syscall(number, ctypes.c_long(SECCOMP_SET_MODE_FILTER), ctypes.c_ulong(flags), header)
    else:
        result = libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), header, None, None)
    check(result, "seccomp")
