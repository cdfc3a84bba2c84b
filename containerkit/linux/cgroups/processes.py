"""List and kill the processes of a cgroup, with all that are in cgroups below it.

Sources: cgroup-v2.rst, "cgroup.kill"; cgroups(7).
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator

from containerkit.errors import ContainerkitError, RuntimeFailure, Timeout
from containerkit.linux.cgroups import files, freezer


def walk(directory: str) -> Iterator[str]:
    """The cgroups at and below ``directory``, children before parents; nothing when it does not exist."""
    try:
        children = [entry.path for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return
    for child in children:
        yield from walk(child)
    yield directory


def pids(directory: str) -> list[int]:
    """The pids of all processes in it, as seen from here. Those of a foreign pid namespace are left out."""
    found: set[int] = set()
    for group in walk(directory):
        try:
            with open(f"{group}/cgroup.procs", "rb") as file:
                found.update(int(pid) for pid in file.read().split())
        except OSError:
            continue  # removed meanwhile, or a threaded group (EOPNOTSUPP), whose processes its parent lists
    # 0 stands for a process that has no number in our pid namespace. To kill(2) it would mean ourselves.
    return sorted(found - {0})


def kill(directory: str, is_v2: bool, timeout: float) -> None:
    """SIGKILL to every process, and wait until all are gone. A cgroup that does not exist has none.

    Raises:
        Timeout: a process hangs in the kernel.
    """
    if not is_v2:
        _kill_one_by_one(directory, timeout, "freezer.state", "FROZEN", "THAWED")
        return
    try:
        # At once, forks in flight included.
        files.write(f"{directory}/cgroup.kill", "1")
    except FileNotFoundError:
        # Before Linux 5.14, or the directory is gone.
        _kill_one_by_one(directory, timeout, "cgroup.freeze", "1", "0")
        return
    try:
        ended = freezer.wait_event(directory, "populated", 0, timeout)
    except FileNotFoundError:
        return
    if not ended:
        raise Timeout(f"cgroup {directory}: processes {pids(directory)} did not end within {timeout:g} s of SIGKILL")


def _kill_one_by_one(directory: str, timeout: float, file: str, frozen: str, thawed: str) -> None:
    deadline, pause = time.monotonic() + timeout, 0.0005
    while found := pids(directory):
        # Frozen, none of them can fork while the list is worked through; the signal takes effect with the thaw.
        _try_write(f"{directory}/{file}", frozen)
        for pid in pids(directory):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        _try_write(f"{directory}/{file}", thawed)
        if time.monotonic() > deadline:
            raise Timeout(f"cgroup {directory}: processes {found} did not end within {timeout:g} s of SIGKILL")
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def _try_write(path: str, value: str) -> None:
    try:
        files.write(path, value)
    except OSError:
        pass  # no freezer in this hierarchy, or the directory is gone: the loop goes on until nobody is left


def remove(directory: str, timeout: float) -> None:
    """Remove the cgroup and those below it. One that does not exist is removed already.

    Raises:
        OSError: EBUSY when processes are left after ``timeout`` seconds; EACCES and the like at once.
    """
    deadline, pause = time.monotonic() + timeout, 0.0002
    while True:
        try:
            os.rmdir(directory)
            return
        except FileNotFoundError:
            return
        except OSError as problem:
            if problem.errno not in (errno.EBUSY, errno.ENOTEMPTY) or time.monotonic() > deadline:
                raise
        # EBUSY: children, or a process that was killed is still on its way out.
        for child in list(walk(directory))[:-1]:
            _try_rmdir(child)
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def removal_error(problem: OSError, path: str) -> ContainerkitError:
    """The member of our tree for what :func:`remove` raised; ``path`` is the cgroup's."""
    if problem.errno != errno.EBUSY:
        return files.error(problem, f"cgroup {path}: delete {problem.filename}")
    left = pids(os.fsdecode(problem.filename))
    return RuntimeFailure(f"cgroup {path}: delete: processes left: {left}", errno=problem.errno)


def _try_rmdir(directory: str) -> None:
    try:
        os.rmdir(directory)
    except OSError:
        pass
