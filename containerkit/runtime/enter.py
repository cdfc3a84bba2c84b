"""Enter: run one more program in a running container.

::

    helper (outside)   understudy          the new process
      | the part ------->| setns(pid) for its children
      |                  | clone3 --------> setns(all other namespaces of the init)
      |                                      the plan of build_enter: cgroup, user, capabilities, seccomp
      |<-- failed | end of file ------------ execve
      | waits for it, reports

Only the new process enters, with everything it needs in memory: the helper stays on the host, where nothing in the
container can see or signal it.
"""

from __future__ import annotations

import os

from containerkit.linux import namespaces as ns
from containerkit.linux.cgroups import Cgroup, ExecGroup
from containerkit.oci.runtime_spec import Process
from containerkit.runtime import plan
from containerkit.runtime.create import Child, give
from containerkit.runtime.namespaces import Clone
from containerkit.runtime.operation import Context, Operation
from containerkit.runtime.understudy import Part, Understudy, ready
from containerkit.values import frozen


@frozen
class EnterNamespaces(Operation):
    """All namespaces of a running container at once: setns(2) with a pidfd."""

    CALLS = ("setns",)

    flags: int

    def describe(self) -> str:
        return "setns: the container's namespaces"

    def execute(self, context: Context) -> None:
        context.proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        ns.setns(context.container, self.flags)
        context.root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


@frozen
class JoinAhead(Operation):
    """Those that only children get into, or only who shares its memory with nobody; executed by the understudy."""

    CALLS = ("setns",)

    flags: int

    def describe(self) -> str:
        return "setns: the container's namespaces that are for children"

    def binds(self) -> bool:
        return bool(self.flags & ns.CLONE_NEWTIME)  # out of this one nobody comes who shares memory

    def execute(self, context: Context) -> None:
        ns.setns(context.container, self.flags)


def enter(
    process: Process,
    target: int,
    *,
    namespaces: tuple[str, ...],
    group: ExecGroup | Cgroup | None,
    streams: tuple[int, int, int],
    seccomp_filter: bytes = b"",
    owner: tuple[int, ...] | None = None,
    preserve: int = 0,
    outlives: bool = False,
    understudy: Understudy | None = None,
) -> Child:
    """Start ``process`` in the container whose init the pidfd ``target`` is.

    To be called in a process with one thread: it may fork. The child's ``await_program()`` tells whether its start
    succeeded.

    Args:
        process: what to run, and as whom.
        namespaces: those of the container that it has of its own, by the specification's names.
        group: the cgroup it belongs to; it is joined from outside the namespaces.
        seccomp_filter: the container's compiled profile; empty for none.
        owner: the host's user and group that it will be, where the container has users of its own.
        preserve: it gets so many descriptors above 2.
        outlives: it may live longer than the calling process.
        understudy: who becomes it, where one has been made ahead; stays the caller's.
    """
    path = "" if group is None else group.path
    steps = plan.build_enter(process, path, filtered=bool(seccomp_filter), outlives=outlives)
    flags = 0
    for kind in namespaces:
        flags |= ns.KINDS[kind][0]
    before = flags & (ns.CLONE_NEWPID | ns.CLONE_NEWTIME)
    give(streams, owner)
    context = Context(cgroup=group, seccomp_filter=seccomp_filter, preserve=preserve, container=target)
    # The cgroup comes before the namespaces (outside): its files are the host's.
    part = Part((*steps.outside, EnterNamespaces(flags & ~before), *steps.inside), context, streams)
    with ready(understudy) as actor:
        pid, pidfd, channel = actor.play(part, *((JoinAhead(before),) if before else ()), Clone())
        return Child(pid, pidfd, channel, None, reap=actor.reap)
