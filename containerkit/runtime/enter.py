"""Enter: run one more program in a running container.

::

    helper (outside)                       the new process
      | setns(pid) for its children
      | clone3 ----------------------------> setns(all other namespaces of the init)
      |                                      the plan of build_enter: cgroup, user, capabilities, seccomp
      |<-- failed | end of file ------------ execve
      | waits for it, reports

Only the new process enters, with everything it needs in memory: the helper stays on the host, where nothing in the
container can see or signal it.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from containerkit.linux import namespaces as ns
from containerkit.linux import seccomp
from containerkit.linux.cgroups import ExecGroup
from containerkit.oci.runtime_spec import Process, Spec
from containerkit.runtime import init, plan
from containerkit.runtime.create import Child
from containerkit.runtime.namespaces import clone
from containerkit.runtime.operation import Context, Operation


@dataclass(frozen=True)
class EnterNamespaces(Operation):
    """All namespaces of a running container at once: setns(2) with a pidfd."""

    pidfd: int
    flags: int

    def describe(self) -> str:
        return "setns: the container's namespaces"

    def execute(self, context: Context) -> None:
        context.proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        ns.setns(self.pidfd, self.flags)
        context.root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def enter(
    spec: Spec,
    process: Process,
    target: int,
    *,
    cgroup: ExecGroup | None,
    streams: tuple[int, int, int],
    seccomp_cache: str = "",
) -> Child:
    """Start ``process`` in the container whose init the pidfd ``target`` is. Its ``await_program()`` tells
    whether that succeeded.

    To be called in a process with one thread that ends afterwards: its children belong to the container.

    Args:
        spec: the container's configuration.
        process: what to run, and as whom.
        cgroup: where the process belongs; it is joined from outside the namespaces.
    """
    steps = plan.build_enter(spec, process)
    flags = 0
    for entry in spec.linux.namespaces:
        flags |= ns.KINDS[entry.type][0]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    context = Context(channel=theirs.fileno(), cgroup=cgroup)
    if spec.linux.seccomp is not None:
        context.seccomp_filter = seccomp.filter_for(spec.linux.seccomp, seccomp_cache)
    if flags & ns.CLONE_NEWPID:
        ns.setns(target, ns.CLONE_NEWPID)
    pid, pidfd = clone(0, cgroup)
    if pid == 0:
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        ours.detach()
        # The cgroup comes before the namespaces (outside): its files are the host's.
        joined = EnterNamespaces(target, flags & ~ns.CLONE_NEWPID)
        init.run((*steps.outside, joined, *steps.inside), context)
    theirs.close()
    return Child(pid, pidfd, ours, None)
