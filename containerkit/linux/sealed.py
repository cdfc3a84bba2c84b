"""The interpreter as a sealed file in memory: nobody can write to it (CVE-2019-5736).

A container's program can be ``/proc/self/exe``, and that is this interpreter until it is executed: opened for writing,
the host's Python would be overwritten. Whoever enters a container does so from a sealed copy.
"""

from __future__ import annotations

import fcntl
import os
import sys
from typing import NoReturn

_NAME = "containerkit-python"
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
#: Executable, and said so: since Linux 6.3 a system may refuse memfds that do not say.
_MFD_EXEC = 0x10


def interpreter() -> int:
    """A descriptor of a sealed copy of this interpreter."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        descriptor = os.memfd_create(_NAME, flags | _MFD_EXEC)
    except OSError:
        descriptor = os.memfd_create(_NAME, flags)  # before Linux 6.3
    with open(os.path.realpath(sys.executable), "rb") as source:
        size = os.fstat(source.fileno()).st_size
        copied = 0
        while copied < size:
            copied += os.sendfile(descriptor, source.fileno(), copied, size - copied)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


def command(module: str) -> list[str]:
    """The arguments of an interpreter that calls ``main()`` of ``module``, which is one of this tree's."""
    path = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # What is imported is there to stay: to look for garbage in it takes a tenth of the time that the imports take.
    boot = (
        f"import gc,sys;gc.disable();sys.path.insert(0,{path!r});from {module} import main;"
        "gc.freeze();gc.enable();sys.exit(main())"
    )
    return [sys.executable, "-I", "-S", "-c", boot]


def become(module: str) -> NoReturn:
    """Go on in a sealed copy, with the same arguments and environment.

    Args:
        module: whose ``main()`` is called there.
    """
    os.execve(interpreter(), [*command(module), *sys.argv[1:]], os.environ)
