"""The helper: one exec'd process from start to end. It ends that process and all it started when its caller goes."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable

from containerkit.errors import ContainerkitError, RuntimeFailure
from containerkit.linux import process
from containerkit.linux.cgroups import Cgroup, ExecGroup
from containerkit.runtime import bundle
from containerkit.runtime.create import Child
from containerkit.runtime.enter import enter
from containerkit.runtime.understudy import Understudy
from containerkit.store.containers import Containers
from containerkit.store.database import Database
from containerkit.supervise.messages import Enter, Exited, Failed, Signal, Started, receive_reply, send_reply

#: Milliseconds: what ends within these is written down at its end, start and end.
_SHORT = 50


def run(
    request: Enter, channel: socket.socket, descriptors: list[int], understudy: Understudy | None = None,
    stay: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Run the process of ``request`` and look after it.

    Args:
        descriptors: stdin, stdout, stderr.
        understudy: who becomes that process.
        stay: called when this process is to look after no other one: it goes on for long, or not all is well.
    """
    stdin, stdout, stderr = descriptors
    try:
        Helper(request, channel, understudy).run((stdin, stdout, stderr), stay)
    except (ContainerkitError, OSError) as problem:
        stay()
        send_reply(channel, Failed.of(problem, "helper"))


class Helper:
    """One exec'd process as its helper sees it."""

    def __init__(self, request: Enter, channel: socket.socket, understudy: Understudy | None) -> None:
        self.request = request
        self.understudy = understudy
        self.channel = channel
        self.group: ExecGroup | None = None
        self.began = time.monotonic()
        self.oom_kills = self._oom_kills()
        self.id = os.urandom(32).hex()
        self.containers = Containers(Database(request.database)) if request.database else None

    def run(self, streams: tuple[int, int, int], stay: Callable[[], None]) -> None:
        """Start it, tell, wait for it or for the caller's word, tell how it ended."""
        target = process.pidfd(self.request.pid, self.request.pid_started)
        if target is None:
            raise RuntimeFailure("the container has ended", exit_code=125)
        if self.request.cgroup:
            self.group = Cgroup(self.request.cgroup).sub(f"exec-{os.getpid()}")
        try:
            child = self._enter(target, streams)
            self._tell_started(child)
            # Nobody waits for what is written down: of a program that ends at once, the end is told before.
            is_short = self._watch(child, _SHORT)
            if not is_short:
                stay()
                self._write_start()
                self._watch(child, None)
            code = self._tell_exit(child)
            os.close(child.pidfd)
            if is_short:
                self._write_start()
            self._write_down("exec_die", exitCode=code)
        finally:
            if self.group is not None:
                self.group.delete()
            if self.containers is not None:
                self.containers.database.close()

    def _enter(self, target: int, streams: tuple[int, int, int]) -> Child:
        request = self.request
        program = bundle.read_filter(request.bundle) if request.filtered else b""
        try:
            return enter(
                request.process, target, namespaces=request.namespaces, group=self.group, streams=streams,
                seccomp_filter=program, owner=request.owner, understudy=self.understudy,
            )  # fmt: skip
        finally:
            for descriptor in (target, *streams):
                os.close(descriptor)

    def _tell_started(self, child: Child) -> None:
        try:
            child.await_program()
        except BaseException:
            child.discard()
            raise
        if child.terminal is None:
            send_reply(self.channel, Started(child.pid))
        else:
            send_reply(self.channel, Started(child.pid), (child.terminal,))
            os.close(child.terminal)

    def _watch(self, child: Child, patience: float | None) -> bool:
        """Do what the caller says until it has ended; False when it has not, and ``patience`` milliseconds were up."""
        poll = select.poll()
        poll.register(child.pidfd, select.POLLIN)
        poll.register(self.channel, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(patience)}
            if child.pidfd in ready or not ready:
                return bool(ready)
            word, _ = receive_reply(self.channel)
            if isinstance(word, Signal) and not word.tree:
                with contextlib.suppress(OSError, OverflowError):  # it has ended; or there is no such signal
                    signal.pidfd_send_signal(child.pidfd, word.number)
            elif word is None or isinstance(word, Signal):
                self._end(child)
                poll.unregister(self.channel)

    def _end(self, child: Child) -> None:
        if self.group is not None:
            self.group.kill()
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)

    def _tell_exit(self, child: Child) -> int:
        status = child.reap(child.pid)
        # The kernel counts for the whole container; a process that SIGKILL ended meanwhile is the one.
        was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        oom_killed = was_killed and self._oom_kills() > self.oom_kills
        code = process.exit_code(status)
        send_reply(self.channel, Exited(code, time.monotonic() - self.began, oom_killed))
        return code

    def _write_start(self) -> None:
        self._write_down("exec_start: " + " ".join(self.request.process.args))

    def _write_down(self, action: str, **told: object) -> None:
        if self.containers is not None:
            with contextlib.suppress(ContainerkitError):  # the disk is full
                self.containers.amend(os.path.basename(self.request.bundle), action, {"execID": self.id, **told})

    def _oom_kills(self) -> int:
        return Cgroup(self.request.cgroup).oom_kills() if self.request.cgroup else 0
