"""Create: execute a plan's outside operations; what comes back is a child that waits for the word to start."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from containerkit.errors import ContainerkitError, RuntimeFailure, reason
from containerkit.linux import process
from containerkit.linux.cgroups import Cgroup
from containerkit.linux.confinement import is_confined
from containerkit.oci.runtime_spec import Mount, Spec
from containerkit.runtime import messages, plan
from containerkit.runtime.gate import Gate, given_up
from containerkit.runtime.hooks import AwaitHooks
from containerkit.runtime.namespaces import AwaitIdMaps, Clone, JoinNamespace, OffsetClocks, ShowNetwork
from containerkit.runtime.operation import Context, Operation, Plan
from containerkit.runtime.understudy import Part, Understudy, ready


@dataclass
class Child:
    """A container's init, seen from who starts it.

    ``costs`` has the nanoseconds of each operation of its plan but the last, in order. ``terminal`` is the master of
    its terminal, where it has one. ``take_listener`` is given the descriptor that tells of system calls which a process
    outside decides on, at once, for the init may make such calls itself. ``network`` is its network namespace, where it
    had to be shown (runtime/namespaces.py, ``ShowNetwork``). ``gate`` is the parent's: whoever walks through the start
    may be gone while the init waits. ``reap`` is that of the understudy.
    """

    pid: int
    pidfd: int
    channel: socket.socket
    cgroup: Cgroup | None
    costs: list[int] = field(default_factory=list)
    terminal: int | None = None
    network: int | None = None
    take_listener: Callable[[int], None] = os.close
    gate: Gate | None = None
    reap: Callable[[int], int] = process.reap

    def discard(self) -> None:
        """End it, whatever it does, and remove its cgroup: nothing is left."""
        os.kill(self.pid, signal.SIGKILL)
        self.reap(self.pid)
        self.channel.close()
        for descriptor in (self.pidfd, self.terminal, self.network):
            if descriptor is not None:
                os.close(descriptor)
        if self.cgroup is not None:
            self.cgroup.delete()

    def open_network(self) -> int:
        """A descriptor of its network namespace, the caller's to close.

        Raises:
            OSError: it has ended.
        """
        found, self.network = self.network, None
        return os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC) if found is None else found

    def start(self) -> None:
        """Let the user's program run. Returns once execve has succeeded.

        Raises:
            RuntimeFailure: some operation failed; nothing of the child is left but its zombie.
        """
        self._say(messages.START)
        self.await_program()

    def await_program(self) -> None:
        """As :meth:`start`, for a child that waits for no word."""
        while self._hear() is not None:
            pass
        self.channel.close()

    def check(self) -> None:
        """Nothing, while it goes on.

        Raises:
            RuntimeFailure: some operation has failed.
        """
        while process.readable(self.channel.fileno(), 0) and self._hear() is not None:
            pass

    def await_ready(self) -> None:
        """Wait until nothing but the word to start is missing.

        Raises:
            RuntimeFailure: some operation failed.
        """
        self._await("ready")

    def detach(self) -> None:
        """Let it wait for the word on the listening socket it was given; from now on it does not end with us."""
        self._say(messages.DETACHED)
        self.channel.close()

    def _say(self, word: bytes) -> None:
        try:
            self.channel.send(word)
        except BrokenPipeError:
            pass  # it failed before it was told, and has said why

    def _await(self, kind: str) -> None:
        while (heard := self._hear()) != kind:
            if heard is None:
                raise RuntimeFailure("the container's init was killed")

    def _hear(self) -> str | None:
        """The kind of its next message, None at the end of file."""
        if self.gate is not None and self.gate.is_left(self.channel.fileno()):
            raise given_up()
        message, descriptor = messages.receive(self.channel)
        if message is None:
            return None
        kind: str = message["kind"]
        if kind == "failed":
            raise messages.failure(message)
        if kind == "console":
            self.terminal = descriptor
        if kind == "network":
            self.network = descriptor
        if kind == "seccomp" and descriptor is not None:
            self.take_listener(descriptor)
        if kind == "executing":
            self.costs.extend(message["costs"])
        return kind

    def attend(self, steps: Plan, state: Mapping[str, Any]) -> None:
        """Do the parent's half of those operations that have one."""
        for operation in steps.inside:
            if isinstance(operation, AwaitIdMaps):
                try:
                    operation.write_maps(self.pid)
                except OSError as error:
                    raise _failure(operation, error) from error
                self._say(messages.MAPPED)
            elif isinstance(operation, ShowNetwork):
                self._await("network")
            elif isinstance(operation, AwaitHooks):
                self._await("hooks")
                operation.run({**state, "status": "creating", "pid": self.pid})
                self._say(messages.HOOKED)


def create(
    spec: Spec,
    rootfs: str,
    *,
    overlay: Mount | None = None,
    streams: tuple[int, int, int],
    seccomp_filter: bytes = b"",
    state: Mapping[str, Any] | None = None,
    listener: int = -1,
    preserve: int = 0,
    pivot: bool = True,
    gates: tuple[Gate, Gate] | None = None,
    understudy: Understudy | None = None,
) -> Child:
    """Make the container of ``spec`` up to the point where its program could run.

    To be called in a process with one thread: it may fork.

    Args:
        spec: a validated configuration.
        rootfs: the absolute path of the root file system, or of the directory to mount it on.
        overlay: what to mount there first; None when it is ready.
        streams: descriptors of the program's standard input, output and error.
        seccomp_filter: the compiled profile of ``spec``, as :func:`containerkit.runtime.bundle.read_filter` gives it.
        state: what hooks are told of the container, but its status and pid (runtime-spec, "State").
        listener: a listening SOCK_SEQPACKET socket, for :meth:`Child.detach`.
        preserve: the program gets so many descriptors above 2.
        pivot: False where the root file system cannot be pivoted to (an initramfs).
        gates: where this process and the init wait before each operation (gate.py); the second one is closed here.
        understudy: who becomes the init, where one has been made ahead; stays the caller's.

    Raises:
        RuntimeFailure: an operation outside the container failed; nothing is left.
    """
    steps = plan.build(spec, overlay, pivot=pivot, waits=listener >= 0, confined=is_confined())
    context = Context(
        rootfs=rootfs, seccomp_filter=seccomp_filter, listener=listener, preserve=preserve, state=dict(state or {}),
        hides=_may_hide(spec, steps, gates is not None),
    )  # fmt: skip
    part = Part(steps.inside, context, streams, -1 if gates is None else gates[1].descriptor)
    give(streams, spec.linux.host_ids(spec.process.user))
    with ready(understudy) as actor:
        child = _execute_outside(steps, part, actor, gates)
    try:
        child.attend(steps, context.state)
    except BaseException:
        child.discard()
        raise
    return child


def _may_hide(spec: Spec, steps: Plan, is_walked: bool) -> bool:
    """Whether nobody needs to look at the init."""
    # Root of a user namespace has no more right to give maps to a process that hides than an ordinary user has.
    is_mapped = any(isinstance(operation, AwaitIdMaps) for operation in steps.inside)
    # An ordinary user who walks through a start looks at the init, as nobody in its new pid namespace can.
    pids = spec.linux.namespace("pid")
    is_shown = is_walked and pids is not None and not pids.path
    return os.geteuid() == 0 and not (is_confined() and (is_mapped or is_shown))


def _execute_outside(steps: Plan, part: Part, understudy: Understudy, gates: tuple[Gate, Gate] | None) -> Child:
    """Make all that is outside of the container; the last of it is the init."""
    context = part.context
    try:
        for operation in steps.outside if gates is None else gates[0].through(steps.outside):
            began = time.perf_counter_ns()
            if isinstance(operation, Clone):
                born = understudy.play(replace(part, context=replace(context, costs=[])), operation)
            elif isinstance(operation, JoinNamespace | OffsetClocks):
                understudy.perform(operation)
            else:
                operation.execute(context)
            context.costs.append(time.perf_counter_ns() - began)
    except BaseException as error:
        if isinstance(context.cgroup, Cgroup):
            context.cgroup.delete()
        if isinstance(error, OSError):
            raise _failure(operation, error) from error
        if isinstance(error, ContainerkitError):
            raise RuntimeFailure(error.message, errno=error.errno) from error
        raise
    finally:
        if gates is not None:
            gates[1].close()
        for mount in context.prepared.values():
            os.close(mount)
    cgroup = context.cgroup if isinstance(context.cgroup, Cgroup) else None
    return Child(*born, cgroup, context.costs, gate=gates and gates[0], reap=understudy.reap)


def give(streams: tuple[int, int, int], owner: tuple[int, ...] | None) -> None:
    """Make them the program's, so that it can open ``/dev/stdout``; where it shares our users it does that itself.

    Args:
        owner: the host's user and group that it is, in a user namespace.
    """
    if owner is None:
        return
    for descriptor in streams:
        if not stat.S_ISCHR(os.fstat(descriptor).st_mode):
            try:
                os.fchown(descriptor, *owner)
            except OSError:
                pass  # its file system knows no owners, or is read-only: then not


def _failure(operation: Operation, error: OSError) -> RuntimeFailure:
    return RuntimeFailure(f"{operation.describe()}: {reason(error)}", errno=error.errno)
