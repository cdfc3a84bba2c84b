"""seccomp: a profile becomes a program, a program becomes the filter of this process.

Sources: seccomp(2), prctl(2), include/uapi/linux/{seccomp,filter,audit}.h; the manual pages of libseccomp
(seccomp_rule_add(3), seccomp_export_bpf(3)); runtime-spec, config-linux.md, "Seccomp".

Compiling takes libseccomp and some milliseconds, so programs are kept on disk; loading one takes neither.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import struct
import sys
from functools import cache

from containerkit.linux import seccomp_compiler
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
_SECCOMP = {"x86_64": 317, "i686": 354, "armv7l": 383, "ppc64le": 358, "s390x": 348}.get(platform.machine(), 277)
_LIBRARY = "libseccomp.so.2"

# What this process has had in its hands already; a child has it too.
_known: dict[tuple[Seccomp, str], bytes] = {}

compile_filter = seccomp_compiler.compile_filter


def filter_for(profile: Seccomp, cache_dir: str = "") -> bytes:
    """The program for ``profile``, from memory, from disk, or compiled.

    Args:
        cache_dir: where programs are kept, made when it is not there; empty for no such place.

    Raises:
        Unsupported: it has to be compiled, and libseccomp is not installed.
        InvalidArgument: the profile names an unknown action, operator or architecture.
    """
    key = (profile, cache_dir)
    if key not in _known:
        _known[key] = _from_disk(profile, cache_dir) if cache_dir else compile_filter(profile)
    return _known[key]


def _from_disk(profile: Seccomp, cache_dir: str) -> bytes:
    # repr of nested frozen dataclasses is as canonical as JSON would be, and twenty times as quick.
    identity = f"{profile!r}\n{library_version()}\n{platform.machine()}\n{seccomp_compiler.REVISION}"
    name = hashlib.sha256(identity.encode()).hexdigest()
    path = os.path.join(cache_dir, f"{name}.bpf")
    try:
        with open(path, "rb") as file:
            program = file.read()
        if program and len(program) % 8 == 0:
            return program
    except OSError:
        pass
    program = compile_filter(profile)
    _keep(path, program)
    return program


def _keep(path: str, program: bytes) -> None:
    """Best effort: a store that cannot be written only means to compile again."""
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        # fsync too: after a power cut a file of zeros would be loaded as the filter of every container.
        with open(temporary, "wb") as file:
            file.write(program)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        pass


@cache
def library_version() -> str:
    """The installed libseccomp, from the name its link points to, without loading it; empty when not found."""
    multiarch = getattr(sys.implementation, "_multiarch", "")
    for directory in (f"/usr/lib/{multiarch}", f"/lib/{multiarch}", "/usr/lib64", "/usr/lib", f"{sys.prefix}/lib"):
        try:
            return os.path.basename(os.path.realpath(f"{directory}/{_LIBRARY}", strict=True))
        except OSError:
            continue
    return ""


def flags_of(profile: Seccomp) -> int:
    """The flags of seccomp(2) that a profile asks for; names this kernel's header does not have are left out."""
    return sum({FLAGS.get(name, 0) for name in profile.flags})


def load_filter(program: bytes, flags: int = 0) -> None:
    """Make ``program`` a filter of this process and of all it starts; there is no way back.

    Needs CAP_SYS_ADMIN in the process's user namespace, or no_new_privs.

    Args:
        program: an array of struct sock_filter, as :func:`compile_filter` gives it.
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
