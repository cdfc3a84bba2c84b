"""The monitor: one container from its start to its end. A fork of the spawner; it waits on events and never polls.

::

    create (runtime) ─> write down the pids ─> start ─> loop(output, control, health, exit) ─> finish
       ^                                                                                         |
       └──────────────────────────── the restart policy, after a while ──────────────────────────┘

What it is killed in the middle of, :mod:`containerkit.supervise.recover` ends.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from containerkit.errors import ContainerkitError, RuntimeFailure, reason
from containerkit.linux import process
from containerkit.linux.cgroups import OomNotice
from containerkit.linux.loop import Loop
from containerkit.oci.runtime_spec import Spec
from containerkit.runtime import bundle, create
from containerkit.runtime.gate import Gate
from containerkit.runtime.understudy import Understudy
from containerkit.store.containers import Containers, process_columns
from containerkit.store.database import Database
from containerkit.store.netrows import written_ports
from containerkit.store.trees import remove_tree
from containerkit.supervise import restarts
from containerkit.supervise.control import Control
from containerkit.supervise.health import Health, Prober
from containerkit.supervise.messages import Enter, Exited, Failed, Start, Started, send_reply
from containerkit.supervise.networks.inside import Inside
from containerkit.supervise.networks.networking import Networking
from containerkit.supervise.output.log import LogWriter
from containerkit.supervise.output.streams import Streams
from containerkit.supervise.pausing import Holds

#: Seconds after which a start is well over, and a container is one that may live for long.
_SETTLED = 0.2
#: Seconds that those who are attached have to read the rest of the output of a container that has ended.
_FOR_CLIENTS = 30.0


def run(request: Start, channel: socket.socket, descriptors: list[int], understudy: Understudy | None = None) -> None:
    """Look after the container of ``request`` until it has ended for good.

    Args:
        understudy: who becomes its init, at the first start.
        descriptors: lease, stdin, gates (runtime/gate.py), and where an ordinary user's networks are (inside.py).
    """
    lease, stdin, *rest = descriptors
    gates = None if request.stepper is None else (_gate(request.stepper, rest.pop(0)), Gate(rest.pop(0)))
    process.set_title(f"containerkit-monitor {request.name}")
    monitor = Monitor(request, channel, lease, Inside(*rest) if rest else None, gates, understudy)
    if not monitor.start(stdin):
        return
    os.close(stdin)
    gc.enable()  # what was there at the fork stays frozen
    monitor.loop.after(_SETTLED, monitor.settle)
    while True:
        monitor.watch()
        if not monitor.finish() or not monitor.retry():
            return


def _gate(stepper: tuple[int, int], descriptor: int) -> Gate:
    """The monitor's. The stepper's end is seen at it, too: a process that the stepper has forked may live on."""
    owner = process.pidfd(*stepper)
    if owner is None:
        with socket.socket(fileno=os.dup(descriptor)) as gate:
            gate.shutdown(socket.SHUT_RDWR)  # nobody gives the word any more
    return Gate(descriptor, owner=-1 if owner is None else owner)


class Monitor:
    """The container's life as its monitor sees it."""

    def __init__(
        self, request: Start, channel: socket.socket, lease: int, inside: Inside | None = None,
        gates: tuple[Gate, Gate] | None = None, understudy: Understudy | None = None,
    ) -> None:  # fmt: skip
        self.request = request
        self.gates = gates
        self.understudy = understudy
        self.channel = channel
        self.lease = lease
        self.database = Database(request.database)
        self.containers = Containers(self.database)
        self.log = LogWriter(request.log, request.log_size, request.log_files)
        self.loop = Loop()
        self.streams = Streams(self.loop, self.log)
        self.control: Control | None = None
        self.networking = self._networking(inside)
        self.prober: Prober | None = None
        self.child: create.Child
        self.owner: int | None = None  # a pidfd
        self.oom: OomNotice | None = None
        self.spec: Spec
        self.began = self.finished = 0.0
        self.has_ended = False
        self.ran_out = False
        self.stays_ended = False
        self.restarts = 0
        self.wait = 0.0
        self.last: Exited | None = None

    def _networking(self, inside: Inside | None) -> Networking | None:
        wanted = self.request.networked
        return None if wanted is None else Networking(self.loop, self.database, self.request.id, wanted, inside)

    # -- start -------------------------------------------------------------------------------------------------------

    def start(self, stdin: int) -> bool:
        """Bring the container up; False when it failed, which then has been reported and undone."""
        try:
            if self.networking is not None:
                self.networking.take_ports()
                self.networking.go_in()
            self._create(stdin)
        except (ContainerkitError, OSError) as error:
            self._failed(error)
            return False
        try:
            # The mounts go on in the init while its networks are set up, and the pids written down, here.
            works = self._works()
            for work in works if self.gates is None else self.gates[0].through(works):
                work()
            if self.control is None:
                holds = Holds(self.containers, self.request.id, lambda: self.child.cgroup)
                self.control = Control(
                    self.loop, self.request.control, lambda: self.streams, self._stay_ended, holds, self._refresh
                )
            self.child.start()
        except (ContainerkitError, OSError) as error:
            self.child.discard()
            self._failed(error)
            return False
        self._up()
        return True

    def _works(self) -> tuple[Callable[[], None], ...]:
        """What is done here meanwhile; in the words of stepping/."""
        if self.networking is None:
            return (self._write_down,)
        return self._connect, self._write_down, self.networking.publish

    def _connect(self) -> None:
        assert self.networking is not None
        try:
            self.networking.connect(self.child.open_network())
        except OSError as error:
            self.child.check()  # it may have ended by itself: what it says is the reason
            raise RuntimeFailure(f"network: {reason(error)}", errno=error.errno) from error

    def _create(self, stdin: int) -> None:
        request = self.request
        spec = bundle.load(request.bundle)
        if request.hidden:
            spec = replace(spec, process=replace(spec.process, env=(*spec.process.env, *request.hidden)))
        self.spec = spec
        if spec.process.terminal:
            theirs = (os.dup(stdin),) * 3
        else:
            theirs = self.streams.open_pipes(stdin, keep_open=request.stdin_open)
        try:
            self.child = create.create(
                spec,
                os.path.join(request.bundle, spec.root.path),
                overlay=request.overlay,
                streams=theirs,
                seccomp_filter=bundle.read_filter(request.bundle, spec),
                gates=self.gates,
                understudy=self.understudy,
            )
        finally:
            self.understudy = None  # those who start it again make one at that moment
            for descriptor in set(theirs):
                os.close(descriptor)

    def _write_down(self) -> None:
        self.began = time.monotonic()  # the clock may be set meanwhile
        self.containers.move(
            self.request.id,
            "run",
            started=time.time(),
            finished=None,
            exit_code=None,
            oom_killed=0,
            error="",
            restarts=self.restarts,
            health=Health().dumps() if self.request.health is not None else "",
            ports=written_ports(self.networking.ports) if self.networking is not None else "[]",
            **process_columns(
                self.child.pid, process.start_time(self.child.pid), os.getpid(), process.start_time(os.getpid())
            ),
        )

    def _up(self) -> None:
        child = self.child
        if self.gates is not None:
            self.gates[0].close()
            self.gates = None  # those who start it again wait for nobody
        if child.terminal is not None:
            self.streams.take_terminal(child.terminal, keep_open=self.request.stdin_open)
            child.terminal = None
        self.has_ended = False
        self.loop.add(child.pidfd, self._end_seen)
        if self.request.health is not None:
            self.prober = Prober(self.loop, self.request.health, self._entry(), self._is_paused, self._report_health)
        try:
            with open(os.path.join(self.request.bundle, "timings.json"), "w") as file:
                json.dump(child.costs, file)
        except OSError:
            pass  # the disk is full: the container runs, and nobody knows what its start cost
        if not self.restarts:
            send_reply(self.channel, Started(child.pid))
        if self.request.owner is not None:
            self._watch_owner(*self.request.owner)
        self._await_oom()

    def _watch_owner(self, pid: int, started: int) -> None:
        # Not the channel alone: a process that the owner has forked has it, too, and may live on.
        self.owner = process.pidfd(pid, started)
        if self.owner is None:
            self._abandoned(0)
            return
        for descriptor in (self.owner, self.channel.fileno()):
            self.loop.add(descriptor, self._abandoned)

    def _leave_owner(self) -> None:
        self.loop.remove(self.channel.fileno())
        if self.owner is not None:
            self.loop.remove(self.owner)

    def _await_oom(self) -> None:
        self.ran_out = False
        self.oom = None if self.child.cgroup is None else self.child.cgroup.oom_notice()
        if self.oom is not None:
            self.loop.add(self.oom.descriptor, self._oom_seen, self.oom.events)

    def _failed(self, problem: ContainerkitError | OSError) -> None:
        failed = Failed.of(problem, "monitor")
        self.streams.finish()
        if self.request.fresh and not self.restarts:
            self._close()
            remove_tree(self.request.bundle)
            self.containers.delete(self.request.id, volumes=True)
        else:
            # As docker has it: one that never ran is as created, another one has ended once more.
            move = "exit" if self.request.has_run or self.restarts else "fail"
            self._move(move, exit_code=failed.exit_code, error=failed.text, finished=time.time())
            self._close()
        self._release_volumes()
        self._say(failed)

    def settle(self) -> None:
        """Keep no memory for what comes at the end: it is opened once more then."""
        self.database.close()
        process.give_back_memory()

    # -- while it runs -----------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Do what comes up until the init has ended."""
        while not self.has_ended:
            self.loop.turn()

    def _end_seen(self, _: int) -> None:
        self.has_ended = True

    def _abandoned(self, _: int) -> None:
        """Nobody waits for it any more."""
        self._leave_owner()
        signal.pidfd_send_signal(self.child.pidfd, signal.SIGKILL)
        if self.child.cgroup is not None:
            self.child.cgroup.kill()  # a frozen process ends when it thaws, which this sees to

    def _oom_seen(self, _: int) -> None:
        if self.oom is not None and self.oom.seen():
            self.ran_out = True
            self._tell("oom")

    def _stay_ended(self) -> None:
        self.stays_ended = True

    def _refresh(self) -> None:
        """Its networks are others: as the rows say."""
        if self.networking is not None:
            self.networking.refresh()
            self.containers.amend(self.request.id, ports=written_ports(self.networking.ports))
            self.networking.publish()

    def _entry(self) -> Enter:
        pid, process_spec = self.child.pid, self.spec.process
        return Enter.of(self.spec, pid, process.start_time(pid) or 0, self.request.bundle, process_spec)

    def _is_paused(self) -> bool:
        return self.child.cgroup is not None and self.child.cgroup.is_frozen()

    def _report_health(self, health: Health, is_news: bool) -> None:
        action = f"health_status: {health.status}" if is_news else ""
        try:
            self.containers.amend(self.request.id, action, health=health.dumps())
        except ContainerkitError:
            pass  # the disk is full: the next one may be written

    # -- the end -----------------------------------------------------------------------------------------------------

    def finish(self) -> bool:
        """The end of a run: exit status, clean-up, and only then the words that say so. Whether to start it again."""
        if self.prober is not None:
            self.prober.stop()
            self.prober = None
        self.loop.remove(self.child.pidfd)
        os.close(self.child.pidfd)
        _, status = os.waitpid(self.child.pid, 0)
        self.finished = time.time()
        if self.oom is not None:
            self.loop.remove(self.oom.descriptor)
            self.oom.close()
            self.oom = None
        oom_killed = self._end_cgroup()
        if self.networking is not None:
            self.networking.disconnect()
        self.streams.finish()
        self.last = Exited(process.exit_code(status), time.monotonic() - self.began, oom_killed)
        if oom_killed and not self.ran_out:
            self._tell("oom")
        if not self._is_wanted(self.last.exit_code):
            self._end_for_good()
            return False
        self._move("retry", exit_code=self.last.exit_code, finished=self.finished, oom_killed=int(oom_killed))
        return True

    def _end_cgroup(self) -> bool:
        """End what is left of it; whether the out-of-memory killer had ended something."""
        cgroup = self.child.cgroup
        if cgroup is None:
            return False
        oom_killed = cgroup.oom_kills() > 0
        try:
            cgroup.kill()
            cgroup.delete()
        except ContainerkitError:
            pass  # a process hangs in the kernel: how the container ended is still written down
        return oom_killed

    def _is_wanted(self, code: int) -> bool:
        """Whether its restart policy, as it is now, starts it again."""
        if self.stays_ended or self.request.remove:
            return False
        try:
            record = self.containers.read(self.request.id)
        except ContainerkitError:
            return False
        if record is None or record.stopped:
            return False
        policy, retries = record.options.get("restart", ("no", 0))
        return restarts.wanted(policy, retries, code, self.restarts)

    def retry(self) -> bool:
        """Wait for as long as the policy says and start it again; False when that is not wanted any more, or fails."""
        assert self.last is not None
        self.wait = restarts.back_off(self.wait, self.last.duration)
        waited: list[bool] = []
        timer = self.loop.after(self.wait, lambda: waited.append(True))
        while not waited and not self.stays_ended:
            self.loop.turn()
        timer.cancel()
        if not self._is_wanted(self.last.exit_code):
            self._end_for_good()
            return False
        self.restarts += 1
        self.streams = Streams(self.loop, self.log)
        stdin = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self.start(stdin)
        finally:
            os.close(stdin)

    def _end_for_good(self) -> None:
        last = self.last
        assert last is not None
        # Before the row says so: a next monitor may come at once, and binds its own.
        self._close()
        if self.request.owner is not None:
            self._hand_over(last)
        try:
            if self.request.remove:
                self._set_aside()
                self.containers.delete(self.request.id, exit_code=last.exit_code, volumes=True)
            else:
                self._move(
                    "exit", exit_code=last.exit_code, finished=self.finished, oom_killed=int(last.oom_killed),
                    error=self.log.error,
                )  # fmt: skip
        except (ContainerkitError, OSError):
            # Removed meanwhile, or the disk is full: the lease goes with this process, and who looks next sees that.
            pass
        self._release_volumes()
        self._say(last)
        if self.request.remove:
            with contextlib.suppress(OSError):
                remove_tree(self.request.aside)  # whoever opens the store next tries again

    def _set_aside(self) -> None:
        """Its directory is where whoever opens the store sweeps: nobody waits until all in it is removed."""
        try:
            os.rename(self.request.bundle, self.request.aside)
        except OSError:
            remove_tree(self.request.bundle)  # not of one file system

    def _hand_over(self, last: Exited) -> None:
        """What the container has written is the caller's to look at, until it hangs up or is gone."""
        self._leave_owner()
        with contextlib.suppress(OSError):
            send_reply(self.channel, last)
        if self.owner is not None:
            process.wait_for_any(self.owner, self.channel.fileno())

    def _release_volumes(self) -> None:
        if not self.request.volumes:
            return
        # Not at the top: few containers have such volumes.
        from containerkit.supervise.volumes import drivers

        sys.path[:] = self.request.path
        try:
            drivers.release(self.database, self.request.volumes)
        except (ContainerkitError, OSError):
            pass  # whoever opens the store next tries again

    def _tell(self, action: str) -> None:
        try:
            self.containers.amend(self.request.id, action)
        except ContainerkitError:
            pass  # the disk is full: its exit says so, too

    def _move(self, move: str, **columns: object) -> None:
        """Write down a move that ends a run."""
        if move != "retry":
            columns["monitor"] = None
        self.containers.move(self.request.id, move, pid=None, **columns)

    def _close(self) -> None:
        if self.networking is not None:
            self.networking.close()
        if self.control is not None:
            self.control.close()
            self.control = None

    def _say(self, last_word: Failed | Exited) -> None:
        # Whoever hears it may act at once: the container must have no owner any more, nor its disk a user.
        self.log.close()
        self.database.close()
        os.close(self.lease)
        if self.request.owner is None or isinstance(last_word, Failed):
            send_reply(self.channel, last_word)
        self.channel.close()
        # Who waits for the end waits for this process's.
        if self.streams.has_more_to_give() and os.fork() == 0:
            self.streams.wait_for_clients(_FOR_CLIENTS)
