"""The processes of a container, as the host sees them."""

from __future__ import annotations

import os
import pwd
from datetime import datetime, timezone
from functools import lru_cache

from containerkit.linux import procfs
from containerkit.linux.cgroups import Cgroup
from containerkit.values import frozen

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@frozen
class ProcessInfo:
    """One process (proc_pid_stat(5)).

    Args:
        pid: on the host; ``container_pid``: inside; ``ppid``: its parent's, on the host.
        user: the host's name for who runs it, or the number.
        state: the kernel's letter: R running, S sleeping, D in the kernel, T stopped, Z ended.
        cpu_seconds: user and system time.
        memory_bytes: resident.
        started: when (UTC).
        command: with its arguments; in brackets its name, where it has none.
    """

    pid: int
    container_pid: int
    ppid: int
    user: str
    state: str
    cpu_seconds: float
    memory_bytes: int
    started: datetime
    command: str


def processes(cgroup: str, init: int | None) -> list[ProcessInfo]:
    """All processes of a container: those in its cgroup, or, without one, in the pid namespace of its init; by pid."""
    found = (_process(pid) for pid in (Cgroup(cgroup).pids() if cgroup else _neighbours(init)))
    return [one for one in found if one is not None]


def _neighbours(init: int | None) -> list[int]:
    """The processes in the pid namespace of that one."""
    wanted = _namespace(init)
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return sorted(pid for pid in pids if wanted is not None and _namespace(pid) == wanted)


def _namespace(pid: int | None) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None  # it has ended, or is another user's


def _process(pid: int) -> ProcessInfo | None:
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            name, _, rest = file.read().partition("(")[2].rpartition(") ")
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = file.read().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
        owner = os.stat(f"/proc/{pid}").st_uid
        inner = _container_pid(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has just ended
    fields = rest.split()
    return ProcessInfo(
        pid=pid,
        container_pid=inner,
        ppid=int(fields[1]),
        user=_user(owner),
        state=fields[0],
        cpu_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
        memory_bytes=int(fields[21]) * _PAGE,
        started=datetime.fromtimestamp(_booted() + int(fields[19]) / _TICKS, timezone.utc),
        command=arguments or f"[{name}]",
    )


def _container_pid(pid: int) -> int:
    return int(procfs.status(pid).get("NSpid", str(pid)).split()[-1])


@lru_cache(maxsize=1)
def _booted() -> int:
    """Epoch seconds at which the machine started (proc_stat(5))."""
    with open("/proc/stat") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("btime "))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
