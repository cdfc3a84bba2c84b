"""Freeze and thaw.

Sources: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst; cgroup-v2.rst, "cgroup.freeze", "cgroup.events".
"""

from __future__ import annotations

import select
import time

from containerkit.errors import Timeout
from containerkit.linux.cgroups import files
from containerkit.linux.cgroups.controller import no_limits, no_stats, no_writes, pairs

V1, V2 = "freezer", ""
FILES_V1: tuple[str, ...] = ()
FILES_V2: tuple[str, ...] = ()

limits = no_limits
writes_v1 = writes_v2 = no_writes
stats_v1 = stats_v2 = no_stats


def freeze_v1(directory: str, timeout: float) -> None:
    """Freeze and wait until every task is.

    Raises:
        Timeout: a task could not be stopped; what had been is thawed again.
        OSError: the kernel's refusal.
    """
    deadline, pause = time.monotonic() + timeout, 0.0005
    while True:
        # A task forked while the kernel went through the list is caught by asking again (FREEZING until then).
        files.write(f"{directory}/freezer.state", "FROZEN")
        if files.read(f"{directory}/freezer.state").startswith(b"FROZEN"):
            return
        if time.monotonic() > deadline:
            thaw_v1(directory)
            raise Timeout(f"cgroup {directory}: freezing took more than {timeout:g} s")
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def thaw_v1(directory: str) -> None:
    """Let the tasks run again; at once."""
    files.write(f"{directory}/freezer.state", "THAWED")


def is_frozen_v1(directory: str) -> bool:
    """Whether every task is frozen."""
    return files.read(f"{directory}/freezer.state").startswith(b"FROZEN")


def freeze_v2(directory: str, timeout: float) -> None:
    """As :func:`freeze_v1`; the kernel tells when it is done."""
    files.write(f"{directory}/cgroup.freeze", "1")
    if not wait_event(directory, "frozen", 1, timeout):
        thaw_v2(directory)
        raise Timeout(f"cgroup {directory}: freezing took more than {timeout:g} s")


def thaw_v2(directory: str) -> None:
    """Let the tasks run again."""
    files.write(f"{directory}/cgroup.freeze", "0")


def is_frozen_v2(directory: str) -> bool:
    """Whether every task is frozen."""
    return pairs(files.read(f"{directory}/cgroup.events")).get("frozen") == 1


def wait_event(directory: str, key: str, wanted: int, timeout: float) -> bool:
    """Wait until ``key`` of ``cgroup.events`` is ``wanted``; False when ``timeout`` seconds have passed."""
    deadline = time.monotonic() + timeout
    with open(f"{directory}/cgroup.events", "rb", buffering=0) as events:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while True:
            # Reading arms the notification: a change after this line wakes poll.
            events.seek(0)
            if pairs(events.read(4096)).get(key) == wanted:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            poll.poll(left * 1000 + 1)
