"""Processes: prctl(2), identity over pid reuse, titles, closing descriptors.

A pid alone names whoever has it now. A process is named here by its pid and its start time (field 22 of
``/proc/PID/stat``, clock ticks since boot) and the boot id.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from containerkit.linux import capabilities
from containerkit.linux.libc import check, libc, syscall_number

PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_NAME = 1, 2, 4, 8, 15
PR_SET_NO_NEW_PRIVS = 38
_close_range = syscall_number("close_range")
_keyctl = syscall_number("keyctl")
_long = ctypes.c_long


def prctl(option: int, value: int) -> None:
    """prctl(2) with one argument."""
    check(libc.prctl(option, ctypes.c_ulong(value), _long(0), _long(0), _long(0)), "prctl")


def start_time(pid: int) -> int | None:
    """Clock ticks since boot at which ``pid`` started; None when there is no such process or it is a zombie."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(descriptor, 2048)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    # The command's name, in parentheses, may hold spaces and parentheses of its own.
    fields = text[text.rfind(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def readable(descriptor: int, timeout: float | None) -> bool:
    """Wait until there is something to read, or a pidfd's process has ended; False after ``timeout`` seconds."""
    return wait_for_any(descriptor, timeout=timeout)


def wait_for_any(*descriptors: int, timeout: float | None = None) -> bool:
    """As :func:`readable`, for one of several."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))


def reap(pid: int) -> int:
    """The wait status of a child, when it has ended."""
    return os.waitpid(pid, 0)[1]


def exit_code(status: int) -> int:
    """A wait status as a shell tells it: the exit code, or 128+n after signal n."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def pidfd(pid: int | None, started: int | None) -> int | None:
    """A pidfd for the process with that pid and start time; None when it has ended."""
    if pid is None:
        return None
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    # Opened first, looked at second: if it is the right one now, the descriptor is.
    if start_time(pid) == started:
        return descriptor
    os.close(descriptor)
    return None


@cache
def boot_id() -> str:
    """The kernel's name for this boot."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def end_with(parent: int) -> None:
    """This process is killed when its parent, that one, ends; at once, when that has ended before."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def parent_death_signal() -> int:
    """The signal that this process gets when its parent ends; 0 for none."""
    found = ctypes.c_int()
    check(libc.prctl(PR_GET_PDEATHSIG, ctypes.byref(found), _long(0), _long(0), _long(0)), "prctl PR_GET_PDEATHSIG")
    return found.value


@contextmanager
def still_ends_with_parent() -> Iterator[None]:
    """A change of rights would have this process not end with its parent any more (prctl(2)): after a block of this it
    does again.
    """
    told, parent = parent_death_signal(), os.getppid()
    try:
        yield
    finally:
        if told:
            prctl(PR_SET_PDEATHSIG, told)
            if os.getppid() != parent:
                os.kill(os.getpid(), told)  # it has ended meanwhile


@contextmanager
def effective_ids(uid: int, gid: int) -> Iterator[None]:
    """Be this user and group for a while, with all the rights of before. The process has one thread."""
    effective, permitted, inheritable = capabilities.capget()
    with still_ends_with_parent():
        prctl(PR_SET_KEEPCAPS, 1)
        os.setresgid(-1, gid, -1)
        os.setresuid(-1, uid, -1)
        try:
            # They go from the effective set with the user 0, and stay permitted.
            capabilities.capset(permitted, permitted, inheritable)
            yield
        finally:
            os.setresuid(-1, 0, -1)
            os.setresgid(-1, 0, -1)
            capabilities.capset(effective, permitted, inheritable)
            prctl(PR_SET_KEEPCAPS, 0)


@contextmanager
def filesystem_ids(uid: int, gid: int) -> Iterator[None]:
    """What this thread makes belongs to them meanwhile; it keeps its rights. Nothing changes for 0 and 0."""
    if (uid, gid) == (0, 0):
        yield
        return
    effective, permitted, inheritable = capabilities.capget()
    with still_ends_with_parent():
        libc.setfsgid(ctypes.c_uint(gid))
        libc.setfsuid(ctypes.c_uint(uid))
        try:
            # Those about files go from the effective set with the user 0.
            capabilities.capset(effective, permitted, inheritable)
            yield
        finally:
            libc.setfsuid(ctypes.c_uint(0))
            libc.setfsgid(ctypes.c_uint(0))
            capabilities.capset(effective, permitted, inheritable)


def set_domainname(name: str) -> None:
    """setdomainname(2)."""
    data = name.encode()
    check(libc.setdomainname(data, ctypes.c_size_t(len(data))), "setdomainname")


#: The specification's names → personality(2).
PERSONALITIES = {"LINUX": 0x0000, "LINUX32": 0x0008}


def set_personality(persona: int) -> None:
    """personality(2)."""
    check(libc.personality(ctypes.c_ulong(persona)), "personality")


def allow_descriptors(count: int) -> None:
    """Let this process open so many more, and what it starts from now on, as far as its hard limit goes."""
    # Not at the top: hardly any process asks.
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + len(os.listdir("/proc/self/fd"))
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )


def join_new_keyring() -> None:
    """Leave the session keyring for an empty one without a name: keyctl_join_session_keyring(3)."""
    check(libc.syscall(_long(_keyctl), _long(1), _long(0)), "keyctl")


def close_from(lowest: int) -> None:
    """Close every descriptor from ``lowest`` up: close_range(2)."""
    check(libc.syscall(_long(_close_range), _long(lowest), ctypes.c_ulong(0xFFFFFFFF), _long(0)), "close_range")


def give_back_memory() -> None:
    """What this process has freed is the system's again, where the C library can do that: malloc_trim(3)."""
    if (trim := getattr(libc, "malloc_trim", None)) is not None:
        trim(ctypes.c_size_t(0))


def set_title(title: str) -> None:
    """What ``ps`` shows of this process: the arguments' memory is written over, and the name (15 characters)."""
    start, end = _arguments()
    room = end - start
    if start and room > 1:
        ctypes.memmove(start, title.encode()[: room - 1].ljust(room, b"\0"), room)
    libc.prctl(PR_SET_NAME, title.encode()[:15], _long(0), _long(0), _long(0))


@cache
def _arguments() -> tuple[int, int]:
    """Where the arguments are in memory; the same in forked children, which need not open anything for it."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b") ")[2].split()
    return int(fields[45]), int(fields[46])
