"""The child cgroup of one exec'd process with all it starts.

It lives in the control hierarchy only (see the package): there it can be killed alone, and whatever its processes fork
stays in it. In the other hierarchies they are in the container's own cgroup, under its limits and in its counts. On v2
no controller is enabled below the container's cgroup, so the same holds, and the container may keep processes of its
own in it (the rule of no internal processes is about cgroups that have controllers enabled for their children).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from containerkit.errors import InvalidArgument
from containerkit.linux.cgroups import files, processes

if TYPE_CHECKING:
    from containerkit.linux.cgroups.cgroup import Cgroup


class ExecGroup:
    """Made by :meth:`containerkit.linux.cgroups.Cgroup.sub`; exists from then until ``delete()``.

    Raises:
        InvalidArgument: the name holds a slash, or is empty.
        NotFound: the container's cgroup is gone.
    """

    def __init__(self, parent: Cgroup, name: str) -> None:
        if not name or "/" in name or name in (".", ".."):
            raise InvalidArgument(f"cgroup {parent.path}: child {name!r}: expected a name")
        self.parent = parent
        self.path = f"{parent.path}/{name}"
        self._is_v2 = parent.hierarchies.v2 is not None
        self._directory = f"{parent.control}/{name}"
        self._born_inside = False
        try:
            os.mkdir(self._directory, 0o755)
        except FileExistsError:
            pass
        except OSError as problem:
            raise files.error(problem, f"cgroup {self.path}") from problem

    def __repr__(self) -> str:
        return f"ExecGroup({self.path!r})"

    def open_for_clone(self) -> int | None:
        """As :meth:`Cgroup.open_for_clone`: a descriptor of its v2 directory, or None."""
        if not self._is_v2:
            return None
        try:
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as problem:
            raise files.error(problem, f"cgroup {self.path}") from problem
        self._born_inside = True
        return descriptor

    def attach_self(self) -> None:
        """Move the calling process, which has one thread, into it, and into the container's other hierarchies."""
        own_root = self.parent.control
        try:
            for directory in self.parent.directories:
                if directory != own_root:
                    files.write(directory + "/tasks", "0")
            if not self._is_v2:
                files.write(self._directory + "/tasks", "0")
            elif not self._born_inside:
                files.write(self._directory + "/cgroup.procs", "0")
        except OSError as problem:
            raise files.error(problem, f"cgroup {self.path}: join {problem.filename}") from problem

    def pids(self) -> list[int]:
        """The pids in it; empty when it is gone."""
        return processes.pids(self._directory)

    def kill(self, timeout: float = 10.0) -> None:
        """SIGKILL every process in it, and wait until they are gone (reaped or not).

        Raises:
            Timeout: a process hangs in the kernel.
        """
        processes.kill(self._directory, self._is_v2, timeout)

    def delete(self, timeout: float = 2.0) -> None:
        """Remove it. When it is gone already, that is no error.

        Raises:
            RuntimeFailure: processes are left in it after ``timeout`` seconds.
        """
        try:
            processes.remove(self._directory, timeout)
        except OSError as problem:
            raise processes.removal_error(problem, self.path) from problem
