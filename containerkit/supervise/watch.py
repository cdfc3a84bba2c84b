"""One run of a container, as its monitor watches it: from the moment when its program runs to its end.

Besides the end itself there may be: memory that has run out, probes of its health, and the end of whoever it is tied
to. How it is started, and what follows an end, is :mod:`containerkit.supervise.monitor`'s.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable

from containerkit.errors import ContainerkitError
from containerkit.linux import process
from containerkit.linux.cgroups import Cgroup, OomNotice
from containerkit.linux.loop import Loop
from containerkit.runtime.create import Child
from containerkit.store.containers import Containers
from containerkit.supervise.health import Health, Prober, Probing
from containerkit.supervise.messages import Enter, Exited, Start
from containerkit.supervise.relief import Descriptor
from containerkit.values import frozen


@frozen
class Init:
    """The container's init. ``began`` is a moment of the monotonic clock."""

    pid: int
    pidfd: Descriptor
    cgroup: Cgroup | None
    began: float


@frozen
class Watched:
    """What is to be known to go on with it."""

    init: Init
    probing: Probing | None
    ran_out: bool
    notice: OomNotice | None
    notice_descriptor: Descriptor


class Watch:
    """A run that goes on.

    Args:
        channel: to whoever asked for it.
        probing: how its health is looked at, where it is.
        reap: its init's wait status, when that has ended.
    """

    def __init__(
        self, loop: Loop, containers: Containers, request: Start, channel: socket.socket, init: Init,
        probing: Probing | None, reap: Callable[[int], int] = process.reap,
    ) -> None:  # fmt: skip
        self._loop, self._containers, self._request, self._channel = loop, containers, request, channel
        self.init, self._reap = init, reap
        self.has_ended = False
        self._ran_out = False
        self._owner: int | None = None  # a pidfd
        self._oom: OomNotice | None = None
        self._prober: Prober | None = None
        loop.add(init.pidfd, self._end_seen)
        if probing is not None:
            self._prober = Prober(loop, probing, self._is_paused, self._report_health)
        if request.owner is not None:
            self._watch_owner(*request.owner)

    @classmethod
    def begin(
        cls, loop: Loop, containers: Containers, request: Start, channel: socket.socket, child: Child, began: float,
        entry: Enter | None,
    ) -> Watch:  # fmt: skip
        """Watch one that has just been started.

        Args:
            entry: how its probes get in.
        """
        probing = None
        if request.health is not None and entry is not None:
            probing = Probing.begin(request.health, entry)
        init = Init(child.pid, Descriptor(child.pidfd), child.cgroup, began)
        found = cls(loop, containers, request, channel, init, probing, child.reap)
        found._notice(None if init.cgroup is None else init.cgroup.oom_notice())
        return found

    @classmethod
    def resume(
        cls, loop: Loop, containers: Containers, request: Start, channel: socket.socket, watched: Watched
    ) -> Watch:
        """Go on with one that another process has watched until now."""
        found = cls(loop, containers, request, channel, watched.init, watched.probing)
        found._ran_out = watched.ran_out
        if watched.notice is not None:
            watched.notice.descriptor = watched.notice_descriptor
        found._notice(watched.notice)
        return found

    def portable(self) -> Watched | None:
        """What another process has to know to go on with it; None while a probe runs."""
        probing = None if self._prober is None else self._prober.portable()
        if self.has_ended or (self._prober is not None and probing is None):
            return None
        descriptor = Descriptor(-1 if self._oom is None else self._oom.descriptor)
        return Watched(self.init, probing, self._ran_out, self._oom, descriptor)

    # -- while it runs -----------------------------------------------------------------------------------------------

    def _end_seen(self, _: int) -> None:
        self.has_ended = True

    def _watch_owner(self, pid: int, started: int) -> None:
        # Not the channel alone: a process that the owner has forked has it, too, and may live on.
        self._owner = process.pidfd(pid, started)
        if self._owner is None:
            self._abandoned(0)
            return
        for descriptor in (self._owner, self._channel.fileno()):
            self._loop.add(descriptor, self._abandoned)

    def _abandoned(self, _: int) -> None:
        """Nobody waits for it any more."""
        self._leave_owner()
        signal.pidfd_send_signal(self.init.pidfd, signal.SIGKILL)
        if self.init.cgroup is not None:
            self.init.cgroup.kill()  # a frozen process ends when it thaws, which this sees to

    def _leave_owner(self) -> None:
        self._loop.remove(self._channel.fileno())
        if self._owner is not None:
            self._loop.remove(self._owner)

    def _notice(self, notice: OomNotice | None) -> None:
        self._oom = notice
        if notice is not None:
            self._loop.add(notice.descriptor, self._oom_seen, notice.events)

    def _oom_seen(self, _: int) -> None:
        if self._oom is not None and self._oom.seen():
            self._ran_out = True
            self._tell("oom")

    def _is_paused(self) -> bool:
        return self.init.cgroup is not None and self.init.cgroup.is_frozen()

    def _report_health(self, health: Health, is_news: bool) -> None:
        action = f"health_status: {health.status}" if is_news else ""
        try:
            self._containers.amend(self._request.id, action, health=health.dumps())
        except ContainerkitError:
            pass  # the disk is full: the next one may be written

    # -- the end -----------------------------------------------------------------------------------------------------

    def finish(self) -> Exited:
        """How it ended; nothing of its processes is left."""
        if self._prober is not None:
            self._prober.stop()
        self._loop.remove(self.init.pidfd)
        os.close(self.init.pidfd)
        status = self._reap(self.init.pid)
        if self._oom is not None:
            self._loop.remove(self._oom.descriptor)
            self._oom.close()
        oom_killed = self._end_cgroup()
        if oom_killed and not self._ran_out:
            self._tell("oom")
        return Exited(process.exit_code(status), time.monotonic() - self.init.began, oom_killed)

    def _end_cgroup(self) -> bool:
        """End what is left of it; whether the out-of-memory killer had ended something."""
        cgroup = self.init.cgroup
        if cgroup is None:
            return False
        oom_killed = cgroup.oom_kills() > 0
        try:
            cgroup.kill()
            cgroup.delete()
        except ContainerkitError:
            pass  # a process hangs in the kernel: how the container ended is still written down
        return oom_killed

    def await_owner(self) -> None:
        """It is over, and who it was tied to looks at what it has left, until they hang up or are gone."""
        self._leave_owner()
        if self._owner is not None:
            process.wait_for_any(self._owner, self._channel.fileno())

    def _tell(self, action: str) -> None:
        try:
            self._containers.amend(self._request.id, action)
        except ContainerkitError:
            pass  # the disk is full: its exit says so, too
