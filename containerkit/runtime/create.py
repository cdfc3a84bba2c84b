"""Create: execute a plan's outside operations; what comes back is a child that waits for the word to start."""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import dataclass, field

from containerkit.errors import ContainerkitError, RuntimeFailure, reason
from containerkit.linux.cgroups import Cgroup
from containerkit.oci.runtime_spec import Mount, Spec
from containerkit.runtime import init, messages, plan
from containerkit.runtime.namespaces import AwaitIdMaps
from containerkit.runtime.operation import Context, Operation, Plan


@dataclass
class Child:
    """A container's init, seen from its parent.

    ``costs`` has the nanoseconds of each operation of its plan but the last, in order. ``terminal`` is the master of
    its terminal, where it has one.
    """

    pid: int
    pidfd: int
    channel: socket.socket
    cgroup: Cgroup | None
    costs: list[int] = field(default_factory=list)
    terminal: int | None = None

    def discard(self) -> None:
        """End it, whatever it does, and remove its cgroup: nothing is left."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.channel.close()
        for descriptor in (self.pidfd, self.terminal):
            if descriptor is not None:
                os.close(descriptor)
        if self.cgroup is not None:
            self.cgroup.delete()

    def start(self) -> None:
        """Let the user's program run. Returns once execve has succeeded.

        Raises:
            RuntimeFailure: some operation failed; nothing of the child is left but its zombie.
        """
        try:
            self.channel.send(messages.START)
        except BrokenPipeError:
            pass  # it failed before it was told to go, and has said why
        self.await_program()

    def await_program(self) -> None:
        """As :meth:`start`, for a child that waits for no word."""
        while True:
            message, descriptor = messages.receive(self.channel)
            if message is None:
                break
            if message["kind"] == "failed":
                raise messages.failure(message)
            if message["kind"] == "console":
                self.terminal = descriptor
            if message["kind"] == "executing":
                self.costs.extend(message["costs"])
        self.channel.close()


def create(
    spec: Spec,
    rootfs: str,
    *,
    overlay: Mount | None = None,
    streams: tuple[int, int, int],
    seccomp_filter: bytes = b"",
) -> Child:
    """Make the container of ``spec`` up to the point where its program could run.

    To be called in a process with one thread: it clones.

    Args:
        spec: a validated configuration.
        rootfs: the absolute path of the root file system, or of the directory to mount it on.
        overlay: what to mount there first; None when it is ready.
        streams: descriptors of the program's standard input, output and error.
        seccomp_filter: the compiled profile of ``spec``, as :func:`containerkit.runtime.bundle.read_filter` gives it.

    Raises:
        RuntimeFailure: an operation outside the container failed; nothing is left.
    """
    steps = plan.build(spec, overlay)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    context = Context(rootfs=rootfs, channel=theirs.fileno(), seccomp_filter=seccomp_filter)
    try:
        _execute_outside(steps, context)
    except BaseException:
        if isinstance(context.cgroup, Cgroup):
            context.cgroup.delete()
        ours.close()
        theirs.close()
        raise
    if context.pid == 0:
        for target, descriptor in enumerate(streams):
            os.dup2(descriptor, target)
        ours.close()  # held here too, its end would never be seen
        init.run(steps.inside, context)
    theirs.close()
    cgroup = context.cgroup if isinstance(context.cgroup, Cgroup) else None
    child = Child(context.pid, context.pidfd, ours, cgroup, context.costs)
    try:
        _write_id_maps(steps, child)
    except BaseException:
        child.discard()
        raise
    return child


def _failure(operation: Operation, error: OSError) -> RuntimeFailure:
    return RuntimeFailure(f"{operation.describe()}: {reason(error)}", errno=error.errno)


def _execute_outside(steps: Plan, context: Context) -> None:
    for operation in steps.outside:
        began = time.perf_counter_ns()
        try:
            operation.execute(context)
        except OSError as error:
            raise _failure(operation, error) from error
        except ContainerkitError as error:
            raise RuntimeFailure(error.message, errno=error.errno) from error
        if context.pid == 0:
            context.costs.clear()
            return
        context.costs.append(time.perf_counter_ns() - began)


def _write_id_maps(steps: Plan, child: Child) -> None:
    for operation in steps.inside:
        if isinstance(operation, AwaitIdMaps):
            try:
                operation.write_maps(child.pid)
            except OSError as error:
                raise _failure(operation, error) from error
            child.channel.send(messages.MAPPED)
