"""seccomp: profiles to programs, kept on disk, for compiling takes libseccomp and some milliseconds.

Sources: seccomp(2); the manual pages of libseccomp (seccomp_rule_add(3), seccomp_export_bpf(3)).
"""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cache

from containerkit.linux import seccomp_compiler
from containerkit.oci.runtime_spec import Seccomp

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
    identity = f"{profile!r}\n{library_version()}\n{os.uname().machine}\n{seccomp_compiler.REVISION}"
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
