"""The interface: one cgroup, whatever is mounted.

Source: runtime-spec, config-linux.md, "Control groups": a path is below the root of every hierarchy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Concatenate, ParamSpec, TypeVar

from containerkit.errors import InvalidArgument, Unsupported
from containerkit.linux.cgroups import cpuset, files, freezer, limits, memory, pressure, processes
from containerkit.linux.cgroups.controller import Controller
from containerkit.linux.cgroups.exec_group import ExecGroup
from containerkit.linux.cgroups.hierarchies import Hierarchies, detect
from containerkit.linux.cgroups.oom import OomNotice, OomNoticeV1, OomNoticeV2
from containerkit.linux.cgroups.pressure import Pressure
from containerkit.linux.cgroups.reader import StatsReader
from containerkit.linux.cgroups.stats import CgroupStats
from containerkit.oci.runtime_spec import Resources

P = ParamSpec("P")
R = TypeVar("R")


class Cgroup:
    """The cgroup of one path in every hierarchy. Making the object touches nothing.

    Args:
        path: as ``cgroupsPath`` of the runtime specification: ``/containerkit-1f2e``, or deeper.
        hierarchies: where the hierarchies are; this machine's when not given.

    Raises:
        InvalidArgument: the path is relative, the root itself, or leads upwards.
    """

    def __init__(self, path: str, hierarchies: Hierarchies | None = None) -> None:
        parts = path.split("/")
        if len(parts) < 2 or parts[0] or not all(parts[1:]) or {".", ".."} & set(parts):
            # The root is nobody's: to kill or delete it would end the machine.
            raise InvalidArgument(f"cgroup {path}: expected an absolute path below the root, with no . or ..")
        self.path = path
        self.hierarchies = detect() if hierarchies is None else hierarchies
        self._v1 = tuple((root + path, controllers) for root, controllers in self.hierarchies.v1)
        self._v2 = None if self.hierarchies.v2 is None else self.hierarchies.v2 + path
        self._born_inside = False

    def __repr__(self) -> str:
        return f"Cgroup({self.path!r})"

    @property
    def directories(self) -> tuple[str, ...]:
        """Its directory in every hierarchy, v1 first."""
        v1 = tuple(directory for directory, _ in self._v1)
        return v1 if self._v2 is None else (*v1, self._v2)

    @property
    def control(self) -> str:
        """Its directory in the control hierarchy (see the package).

        Raises:
            Unsupported: no cgroup hierarchy is mounted.
        """
        root = self.hierarchies.control
        if root is None:
            raise Unsupported(f"cgroup {self.path}: no cgroup hierarchy is mounted; see cgroups(7)")
        return root + self.path

    def exists(self) -> bool:
        """Whether the cgroup is there."""
        return os.path.isdir(self.control)

    def create(self) -> None:
        """Make it in every hierarchy, and what is missing above it. One that exists is kept.

        Raises:
            Unsupported: no cgroup hierarchy is mounted.
            PermissionDenied: the hierarchy is not delegated to this user.
        """
        _ = self.control
        try:
            for directory, controllers in self._v1:
                _make(directory, "cpuset" in controllers)
            if self._v2 is not None:
                _make(self._v2, False)
                limits.enable(self.path, self.hierarchies, limits.COUNTING)
        except OSError as problem:
            raise files.error(problem, f"cgroup {self.path}: create {problem.filename}") from problem

    def apply(self, resources: Resources) -> None:
        """Set limits; what ``resources`` does not mention is left as it is. May be called while processes run.

        Raises:
            Unsupported: a limit whose controller, or whose file, this machine does not have.
            InvalidArgument: the kernel refuses a value (with its errno).
            RuntimeFailure: it refuses for another reason: EBUSY for a memory limit below what is in use.
            NotFound: the cgroup does not exist.
        """
        limits.apply(self.path, self.hierarchies, resources)

    def home(self, controller: Controller) -> tuple[str | None, str | None]:
        """Its directory where the controller is: (in v1, in v2), at least one of them None."""
        return limits.home(self.path, self.hierarchies, controller)

    def open_for_clone(self) -> int | None:
        """A descriptor of the v2 directory, for clone3(2) with CLONE_INTO_CGROUP; None where v2 is not mounted.

        The child is born in the v2 hierarchy, so its ``attach_self`` (in this object's copy) leaves that out: the
        kernel's lock for moving a process takes milliseconds at times. The caller closes the descriptor.
        """
        if self._v2 is None:
            return None
        self._born_inside = True
        return self._open(self._v2)

    def _open(self, directory: str) -> int:
        try:
            return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as problem:
            raise files.error(problem, f"cgroup {self.path}") from problem

    def attach_self(self) -> None:
        """Move the calling process, which has one thread, into the cgroup.

        v1's ``tasks`` moves a thread, and for the caller itself without the wait for an RCU grace period that moving
        a process costs: 0.1 ms instead of 1 ms per hierarchy.
        """
        try:
            for directory, _ in self._v1:
                files.write(directory + "/tasks", "0")
            if self._v2 is not None and not self._born_inside:
                files.write(self._v2 + "/cgroup.procs", "0")
        except OSError as problem:
            raise files.error(problem, f"cgroup {self.path}: join {problem.filename}") from problem

    def attach(self, pid: int) -> None:
        """Move another process, with all its threads, into the cgroup. About 1 ms per v1 hierarchy.

        Raises:
            NotFound: no such process, or no such cgroup.
        """
        try:
            for directory in self.directories:
                files.write(directory + "/cgroup.procs", str(pid))
        except OSError as problem:
            raise files.error(problem, f"cgroup {self.path}: attach process {pid}") from problem

    def sub(self, name: str) -> ExecGroup:
        """A child cgroup, made now, for one process with all it starts, so that it can be killed alone."""
        return ExecGroup(self, name)

    def stats(self) -> CgroupStats:
        """What its processes have used, now.

        Raises:
            NotFound: the cgroup is gone.
        """
        with StatsReader(self) as reader:
            return reader.stats()

    def pressure(self) -> Mapping[str, Pressure]:
        """By resource, how long its processes have waited for it; empty where v2 is not mounted."""
        return {} if self._v2 is None else pressure.read(self._v2)

    def oom_kills(self) -> int:
        """How many processes the out-of-memory killer has ended; 0 when nothing counts them or the cgroup is gone."""
        v1, v2 = self.home(memory)
        try:
            if v1 is not None:
                return memory.oom_kills_v1(files.read(f"{v1}/memory.oom_control"))
            return memory.oom_kills_v2(files.read(f"{v2}/memory.events")) if v2 is not None else 0
        except FileNotFoundError:
            return 0

    def oom_notice(self) -> OomNotice | None:
        """To be told at the moment when memory runs out; None where nobody tells. The caller closes it."""
        v1, v2 = self.home(memory)
        try:
            if v1 is not None:
                return OomNoticeV1(v1)
            return None if v2 is None else OomNoticeV2(v2)
        except OSError:
            return None  # the cgroup is gone, or a kernel without

    def freeze(self, timeout: float = 10.0) -> None:
        """Stop every process, and wait until all are stopped. Frozen twice is frozen.

        Raises:
            Timeout: one could not be stopped in ``timeout`` seconds; all run again.
            NotFound: the cgroup is gone.
        """
        self._control(freezer.freeze_v2 if self._v2 else freezer.freeze_v1, timeout)

    def thaw(self) -> None:
        """Let the processes run again.

        Raises:
            NotFound: the cgroup is gone.
        """
        self._control(freezer.thaw_v2 if self._v2 else freezer.thaw_v1)

    def is_frozen(self) -> bool:
        """Whether every process is stopped."""
        return self._control(freezer.is_frozen_v2 if self._v2 else freezer.is_frozen_v1)

    def _control(self, act: Callable[Concatenate[str, P], R], *arguments: P.args, **more: P.kwargs) -> R:
        if self._v2 is None and self.hierarchies.v1_root("freezer") is None:
            raise Unsupported(f"cgroup {self.path}: freeze: no freezer controller on this machine")
        try:
            return act(self.control, *arguments, **more)
        except OSError as problem:
            raise files.error(problem, f"cgroup {self.path}") from problem

    def pids(self) -> list[int]:
        """The pids in it and in the cgroups below; empty when it is gone."""
        return processes.pids(self.control)

    def kill(self, timeout: float = 10.0) -> None:
        """SIGKILL every process in it and below, frozen or not, and wait until they are gone (reaped or not).

        Raises:
            Timeout: a process hangs in the kernel.
        """
        processes.kill(self.control, self._v2 is not None, timeout)

    def delete(self, timeout: float = 2.0) -> None:
        """Remove it from every hierarchy, with the cgroups below it. What is gone already is no error.

        Raises:
            RuntimeFailure: processes are left in it after ``timeout`` seconds.
        """
        try:
            for directory in self.directories:
                processes.remove(directory, timeout)
        except OSError as problem:
            raise processes.removal_error(problem, self.path) from problem


def _make(directory: str, is_cpuset: bool) -> None:
    try:
        os.mkdir(directory, 0o755)
    except FileExistsError:
        return
    except FileNotFoundError:
        _make(directory.rpartition("/")[0], is_cpuset)
        _make(directory, is_cpuset)
        return
    if is_cpuset:
        cpuset.inherit(directory)
