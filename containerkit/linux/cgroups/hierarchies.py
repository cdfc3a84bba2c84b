"""Where each controller is mounted.

Source: proc_pid_mountinfo(5); Documentation/admin-guide/cgroup-v2.rst, "Mounting".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import field, replace
from functools import cache

from containerkit.linux.files import kernel_lines
from containerkit.values import frozen

#: v1 controllers a container joins where they are mounted. Named hierarchies (name=systemd) are left alone.
V1_CONTROLLERS = frozenset(
    ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "net_cls", "perf_event")
)


@frozen
class Hierarchies:
    """The mounted hierarchies.

    Args:
        v1: mount point and controllers of each v1 hierarchy.
        v2: mount point of the v2 tree, or None.
        v2_controllers: the controllers that the v2 tree has.
    """

    v1: tuple[tuple[str, frozenset[str]], ...] = ()
    v2: str | None = None
    v2_controllers: frozenset[str] = field(default_factory=frozenset)

    @property
    def mode(self) -> str:
        """``"v1"``, ``"v2"``, ``"hybrid"``, or ``"none"``."""
        if self.v2 is None:
            return "v1" if self.v1 else "none"
        return "hybrid" if self.v1 else "v2"

    @property
    def roots(self) -> tuple[str, ...]:
        """Every mount point, v1 first."""
        v1 = tuple(root for root, _ in self.v1)
        return v1 if self.v2 is None else (*v1, self.v2)

    @property
    def control(self) -> str | None:
        """The mount point of the hierarchy through which processes are listed, frozen and killed."""
        return self.v2 or self.v1_root("freezer") or next(iter(self.roots), None)

    def v1_root(self, controller: str) -> str | None:
        """The mount point of a v1 controller, or None."""
        return next((root for root, controllers in self.v1 if controller in controllers), None)

    def v2_root(self, controller: str) -> str | None:
        """The v2 tree's mount point, when it has the controller."""
        return self.v2 if controller in self.v2_controllers else None


def parse(mountinfo: Iterable[str]) -> Hierarchies:
    """The hierarchies that the lines of ``/proc/PID/mountinfo`` tell of; which controllers v2 has is not in it."""
    v1: dict[frozenset[str], tuple[str, bool]] = {}
    v2: tuple[str, bool] | None = None
    for line in mountinfo:
        mount, _, rest = line.partition(" - ")
        kind, _, options = rest.partition(" ")
        if not kind.startswith("cgroup"):
            continue
        root, point = mount.split(" ")[3:5]
        found = (_unescape(point), root == "/")
        if kind == "cgroup2":
            v2 = _better(v2, found)
        elif controllers := V1_CONTROLLERS.intersection(options.rpartition(" ")[2].split(",")):
            v1[controllers] = _better(v1.get(controllers), found)
    return Hierarchies(tuple((point, names) for names, (point, _) in v1.items()), v2[0] if v2 else None)


def _better(known: tuple[str, bool] | None, found: tuple[str, bool]) -> tuple[str, bool]:
    # The same hierarchy can be mounted again somewhere else (a container's view of it): the first whole one counts.
    return found if known is None or (found[1] and not known[1]) else known


def _unescape(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def delegated_parent() -> str | None:
    """The cgroup below which this process may make cgroups: ``""`` (the root) for root, None for nowhere.

    For others it is the topmost cgroup above its own that the session manager has given to the user. v2 only, for v1
    cannot be delegated safely (systemd, "Control Group APIs and Delegation").
    """
    if os.geteuid() == 0:
        return ""
    found = detect()
    if found.mode != "v2":
        return None
    path = kernel_lines("/proc/self/cgroup")[0].removeprefix("0::").rstrip("/")
    # To move a process, the cgroup.procs of the cgroup above both places has to be writable too.
    given = None
    while path and os.access(f"{found.v2}{path}/cgroup.procs", os.W_OK):
        given, path = path, path.rpartition("/")[0]
    return given


@cache
def detect() -> Hierarchies:
    """The hierarchies of this machine; read once per process."""
    found = parse(kernel_lines("/proc/self/mountinfo"))
    if found.v2 is None:
        return found
    with open(f"{found.v2}/cgroup.controllers") as file:
        return replace(found, v2_controllers=frozenset(file.read().split()))
