"""Capabilities: names and numbers, capset(2), the bounding and ambient sets.

Sources: capabilities(7), capset(2), prctl(2), include/uapi/linux/capability.h.

A machine may not have all of them, or this process may not: what cannot be given is left out rather than refused, for a
container with fewer rights than asked is safe, and its program says what it misses.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from functools import cache

from containerkit.errors import InvalidArgument, suggestion
from containerkit.linux.files import kernel_lines
from containerkit.linux.libc import check, libc
from containerkit.values import frozen

#: In the kernel's order: the number is the place.
NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
NUMBERS = {name: number for number, name in enumerate(NAMES)}

#: What Docker gives a container.
DEFAULT = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
)  # fmt: skip

PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_CAP_AMBIENT = 23, 24, 47
PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL = 2, 4
_VERSION_3 = 0x20080522

# A function object of its own (an index gives a new one): with types given, ctypes takes plain ints, which halves the
# cost of the thirty calls of a start.
_prctl = libc["prctl"]
_prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)


@frozen
class CapabilitySets:
    """A process's five sets; names in the kernel's order."""

    inheritable: tuple[str, ...]
    permitted: tuple[str, ...]
    effective: tuple[str, ...]
    bounding: tuple[str, ...]
    ambient: tuple[str, ...]


def number(name: str) -> int:
    """The number of ``CAP_NAME``.

    Raises:
        InvalidArgument: no such capability.
    """
    try:
        return NUMBERS[name]
    except KeyError:
        raise InvalidArgument(f"capability {name}: unknown; see capabilities(7)") from None


def mask(names: Iterable[str]) -> int:
    """The set as a bit mask."""
    bits = 0
    for name in names:
        bits |= 1 << number(name)
    return bits


def names(bits: int) -> tuple[str, ...]:
    """The set of a bit mask; bits that have no name here are left out."""
    return tuple(name for place, name in enumerate(NAMES) if bits >> place & 1)


@cache
def last_cap() -> int:
    """The highest number this kernel knows (``/proc/sys/kernel/cap_last_cap``)."""
    try:
        with open("/proc/sys/kernel/cap_last_cap") as file:
            return int(file.read())
    except OSError:
        return len(NAMES) - 1


def read(pid: int | str = "self") -> CapabilitySets:
    """The sets of a process, from ``/proc/PID/status``.

    Raises:
        OSError: no such process.
    """
    fields = dict(line.partition(":")[::2] for line in kernel_lines(f"/proc/{pid}/status"))
    inheritable, permitted, effective, bounding, ambient = (
        names(int(fields[key], 16)) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    )
    return CapabilitySets(inheritable, permitted, effective, bounding, ambient)


def resolve(cap_add: Iterable[str] = (), cap_drop: Iterable[str] = (), privileged: bool = False) -> tuple[str, ...]:
    """The capabilities of a container, as Docker works them out.

    Args:
        cap_add: names with or without ``CAP_``, in any case, or ``ALL``.
        cap_drop: the same. ``ALL`` drops everything but what ``cap_add`` names.
        privileged: all there are, whatever is added or dropped.

    Raises:
        InvalidArgument: an unknown name.
    """
    added, dropped = ([_full_name(name) for name in given] for given in (cap_add, cap_drop))
    if privileged:
        return NAMES
    if "ALL" in added:
        held = set(NAMES).difference(dropped)
    elif "ALL" in dropped:
        held = set(added)
    else:
        held = {*DEFAULT}.difference(dropped) | set(added)
    return tuple(name for name in NAMES if name in held)


def _full_name(given: str) -> str:
    upper = given.strip().upper()
    if upper in ("ALL", "CAP_ALL"):
        return "ALL"
    name = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if name not in NUMBERS:
        near = suggestion(name, NUMBERS)
        raise InvalidArgument(f"capability {given}: unknown{near}; see capabilities(7)")
    return name


def drop_bounding(keep: Iterable[str]) -> None:
    """Take everything but ``keep`` off the bounding set. Needs CAP_SETPCAP, unless there is nothing to take.

    Raises:
        OSError: EPERM.
    """
    kept = mask(keep)
    for place in range(last_cap() + 1):
        if kept >> place & 1 or _prctl(PR_CAPBSET_DROP, place, 0, 0, 0) == 0:
            continue
        # Without CAP_SETPCAP the kernel refuses to drop even what is not there.
        refusal = ctypes.get_errno()
        if _prctl(PR_CAPBSET_READ, place, 0, 0, 0) == 1:
            raise OSError(refusal, os.strerror(refusal), f"PR_CAPBSET_DROP {NAMES[place : place + 1]}")


def apply(effective: Iterable[str], permitted: Iterable[str], inheritable: Iterable[str]) -> None:
    """Set three sets of this thread: capset(2). What the process is not permitted, or has no bound for, is left out.

    Raises:
        OSError: EPERM.
    """
    _, held, inherited = capget()
    allowed = mask(permitted) & held
    passed = mask(inheritable)
    if passed:
        # A new inheritable capability has to be in the bounding set, and permitted unless CAP_SETPCAP is held.
        passed &= inherited | held & _bounding()
    capset(mask(effective) & allowed, allowed, passed)


def _bounding() -> int:
    bits = 0
    for place in range(last_cap() + 1):
        if _prctl(PR_CAPBSET_READ, place, 0, 0, 0) == 1:
            bits |= 1 << place
    return bits


def capget() -> tuple[int, int, int]:
    """capget(2) of this thread: effective, permitted, inheritable."""
    data = ctypes.create_string_buffer(24)
    check(libc.capget(struct.pack("=Ii", _VERSION_3, 0), data), "capget")
    low = struct.unpack_from("=3I", data, 0)
    high = struct.unpack_from("=3I", data, 12)
    effective, permitted, inheritable = (a | b << 32 for a, b in zip(low, high, strict=True))
    return effective, permitted, inheritable


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) of this thread."""
    sets = (effective, permitted, inheritable)
    data = struct.pack("=6I", *(bits & 0xFFFFFFFF for bits in sets), *(bits >> 32 for bits in sets))
    check(libc.capset(struct.pack("=Ii", _VERSION_3, 0), data), "capset")


def raise_ambient(wanted: Iterable[str]) -> None:
    """Make the ambient set exactly ``wanted``, of what is permitted and inheritable; the rest is left out.

    Raises:
        OSError: EINVAL before Linux 4.3.
    """
    check(_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "PR_CAP_AMBIENT_CLEAR_ALL")
    _, permitted, inheritable = capget()
    for name in wanted:
        place = number(name)
        if permitted & inheritable & 1 << place:
            check(_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, place, 0, 0), name)
