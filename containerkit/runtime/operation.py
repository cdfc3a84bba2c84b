"""Operation, Plan and Context: a start as data."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from containerkit.linux import mounts
from containerkit.linux.confinement import is_confined, may_set_groups
from containerkit.runtime.gate import Gate
from containerkit.values import frozen

if TYPE_CHECKING:
    from containerkit.linux.cgroups import Cgroup, ExecGroup


@dataclass
class Context:
    """What operations hand on to each other while a plan is executed.

    ``rootfs`` is the path that becomes ``/``, ``root`` a descriptor of it once it is mounted, ``proc`` a descriptor of
    a procfs that the container cannot have tampered with, ``channel`` the init's end of the message channel.
    ``listener`` is a socket where the word to start may come from, when whoever creates ends before, ``container`` a
    pidfd of the init of the container that is entered. ``preserve`` is how many descriptors above 2 the program gets,
    ``prepared`` has the detached mounts that were made outside, by destination, and ``state`` is what hooks are told.
    ``sets_groups``: setgroups(2) is allowed; ``hides``: nobody may look at the init from its first moment. ``gate``: it
    waits there before each operation.
    """

    rootfs: str = ""
    channel: int = -1
    cgroup: Cgroup | ExecGroup | None = None
    seccomp_filter: bytes = b""
    root: int = -1
    proc: int = -1
    terminal: int = -1
    costs: list[int] = field(default_factory=list)
    listener: int = -1
    container: int = -1
    preserve: int = 0
    prepared: dict[str, int] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    sets_groups: bool = field(default_factory=lambda: not is_confined() or may_set_groups())
    hides: bool = True
    gate: Gate | None = None

    def target(self, path: str, *, directory: bool = True) -> int:
        """A descriptor (O_PATH) of ``path`` inside the root file system, made when it is absent."""
        try:
            return mounts.openat2(self.root, path, os.O_PATH)
        except FileNotFoundError:
            return self._make(path, directory)

    def _make(self, path: str, directory: bool) -> int:
        *parents, name = [part for part in path.split("/") if part and part != "."]
        walked = "/"
        for part in parents:
            walked = os.path.join(walked, part)
            try:
                os.close(mounts.openat2(self.root, walked, os.O_PATH))
            except FileNotFoundError:
                self._make(walked, True)
        parent = mounts.openat2(self.root, walked, os.O_PATH | os.O_DIRECTORY)
        try:
            if directory:
                os.mkdir(name, 0o755, dir_fd=parent)
            else:
                os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
        except FileExistsError:
            pass
        finally:
            os.close(parent)
        return mounts.openat2(self.root, path, os.O_PATH)


class Operation:
    """One step of a start. Subclasses are frozen dataclasses: values that can be compared, shown and executed."""

    #: The system calls that it stands for: those that tell.
    CALLS: ClassVar[tuple[str, ...]]

    def calls(self) -> tuple[str, ...]:
        """The system calls that this one stands for."""
        return self.CALLS

    def describe(self) -> str:
        """The step in words a person reads, with the system call's name where there is one."""
        raise NotImplementedError

    def binds(self) -> bool:
        """Whether an understudy is of no use for another container once it, or its init, has done this."""
        return False

    def execute(self, context: Context) -> None:
        """Do it.

        Raises:
            OSError: the kernel refused; the errno is its own.
        """
        raise NotImplementedError


@frozen
class Plan:
    """The operations of one start, in order."""

    outside: tuple[Operation, ...]
    inside: tuple[Operation, ...]

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.outside + self.inside)

    def __len__(self) -> int:
        return len(self.outside) + len(self.inside)


def fd_path(descriptor: int) -> str:
    """The path by which mount(2) takes a file that is already open."""
    return f"/proc/self/fd/{descriptor}"
