"""The monitor: one container from its start to its end. It waits on events and never polls.

::

    create (runtime) ─> write down the pids ─> start ─> watch.py: output, control, health, exit ─> the end
       ^                                                   |                                        |
       |                             after a moment, at rest: relief.py                             |
       └──────────────────────────── the restart policy, after a while ────────────────────────────┘

What it is killed in the middle of, :mod:`containerkit.supervise.recover` ends.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from containerkit.errors import ContainerkitError, RuntimeFailure, reason
from containerkit.linux import process
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
from containerkit.supervise.health import Health
from containerkit.supervise.messages import Enter, Exited, Failed, Start, Started, send_reply
from containerkit.supervise.networks.inside import Inside
from containerkit.supervise.networks.networking import Laid, Networking
from containerkit.supervise.output.log import LogWriter
from containerkit.supervise.output.streams import Flows, Streams
from containerkit.supervise.pausing import Holds
from containerkit.supervise.relief import Descriptor, Relief
from containerkit.supervise.watch import Watch, Watched
from containerkit.values import frozen

#: Seconds after which a start is well over, and a container is one that may live for long.
_SETTLED = 0.2
#: Seconds that those who are attached have to read the rest of the output of a container that has ended.
_FOR_CLIENTS = 30.0


def run(
    request: Start, channel: socket.socket, descriptors: list[int], understudy: Understudy | None,
    stay: Callable[[], None], relief: Relief,
) -> None:  # fmt: skip
    """Look after the container of ``request`` until it has ended for good, or somebody else looks after it.

    Args:
        descriptors: lease, stdin, gates (runtime/gate.py), and where an ordinary user's networks are (inside.py).
        understudy: who becomes its init, at the first start.
        stay: called when this process is to look after no other container: it goes on for long, or not all is well.
        relief: who takes over when it goes on for long.
    """
    lease, stdin, *rest = descriptors
    gates = None if request.stepper is None else (_gate(request.stepper, rest.pop(0)), Gate(rest.pop(0)))
    monitor = Monitor(request, channel, lease, _inside(rest), gates, understudy, stay, relief)
    if not monitor.start(stdin):
        return
    os.close(stdin)
    gc.enable()  # what was there at the fork stays frozen
    monitor.live()


@frozen
class Duty:
    """A running container, for another process to go on with."""

    request: Start
    channel: socket.socket
    lease: Descriptor
    log_error: str
    streams: Flows
    control: socket.socket
    networks: Laid | None
    watched: Watched
    stays_ended: bool
    restarts: int
    wait: float


def take_over(duty: Duty) -> Callable[[], None]:
    """Prepare for the duty of :func:`run`; what it returns does it, once the other process has ended.

    Raises:
        OSError: there is no room for it.
    """
    monitor = Monitor(duty.request, duty.channel, duty.lease)
    monitor.resume(duty)

    def go_on() -> None:
        gc.enable()
        process.give_back_memory()
        monitor.live()

    return go_on


def _inside(descriptors: list[int]) -> Inside | None:
    """Where an ordinary user's networks are, and a connection to their keeper."""
    if not descriptors:
        return None
    network, connection = descriptors
    return Inside(network, socket.socket(fileno=connection))


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
        stay: Callable[[], None] = lambda: None, relief: Relief | None = None,
    ) -> None:  # fmt: skip
        self.request = request
        self.gates = gates
        self.understudy = understudy
        self.stay = stay
        self.relief = relief
        self.channel = channel
        self.lease = lease
        self.database = Database(request.database)
        self.containers = Containers(self.database)
        self.log = LogWriter(request.log, request.log_size, request.log_files)
        self.loop = Loop()
        self.streams = Streams(self.loop, self.log)
        self.control: Control | None = None
        self.networking = self._networking(inside)
        self.child: create.Child
        self.spec: Spec
        self.began = self.finished = 0.0
        self.watch: Watch
        self.is_settled = False
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
                self._listen()
            self.child.start()
        except (ContainerkitError, OSError) as error:
            self.child.discard()
            self._failed(error)
            return False
        self._up()
        return True

    def _listen(self, listening: socket.socket | None = None) -> None:
        holds = Holds(self.containers, self.request.id, lambda: self.watch.init.cgroup)
        self.control = Control(
            self.loop, self.request.control, lambda: self.streams, self._stay_ended, holds, self._refresh, listening
        )

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
            with self._understudy() as understudy:
                self.child = create.create(
                    spec,
                    os.path.join(request.bundle, spec.root.path),
                    overlay=request.overlay,
                    streams=theirs,
                    seccomp_filter=bundle.read_filter(request.bundle, spec),
                    gates=self.gates,
                    understudy=understudy,
                )
            if self.relief is not None and self.child.reap != self.relief.reap:
                self.relief = None  # the init is a child of ours
        finally:
            for descriptor in set(theirs):
                os.close(descriptor)

    @contextlib.contextmanager
    def _understudy(self) -> Iterator[Understudy | None]:
        """The one that was made ahead, at the first start; then, one of the relief's."""
        understudy, self.understudy = self.understudy, None
        own = None
        if understudy is None and self.relief is not None:
            with contextlib.suppress(OSError):
                understudy = own = self.relief.understudy()
        try:
            yield understudy
        finally:
            if own is not None:
                own.dismiss()

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
            **process_columns(self.child.pid, process.start_time(self.child.pid), *self._monitor()),
        )

    def _monitor(self) -> tuple[int, int | None]:
        """Who looks after it, now or in a moment."""
        if self.relief is not None:
            return self.relief.pid, self.relief.started
        return os.getpid(), process.start_time(os.getpid())

    def _up(self) -> None:
        child = self.child
        if self.gates is not None:
            self.gates[0].close()
            self.gates = None  # those who start it again wait for nobody
        if child.terminal is not None:
            self.streams.take_terminal(child.terminal, keep_open=self.request.stdin_open)
            child.terminal = None
        try:
            with open(os.path.join(self.request.bundle, "timings.json"), "w") as file:
                json.dump(child.costs, file)
        except OSError:
            pass  # the disk is full: the container runs, and nobody knows what its start cost
        if not self.restarts:
            send_reply(self.channel, Started(child.pid))
        entry = None if self.request.health is None else self._entry()
        self.watch = Watch.begin(self.loop, self.containers, self.request, self.channel, child, self.began, entry)
        self.is_settled = False
        self.loop.after(_SETTLED, self.settle)

    def _entry(self) -> Enter:
        pid, process_spec = self.child.pid, self.spec.process
        return Enter.of(self.spec, pid, process.start_time(pid) or 0, self.request.bundle, process_spec)

    def _failed(self, problem: ContainerkitError | OSError) -> None:
        self.stay()
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

    # -- while it runs -----------------------------------------------------------------------------------------------

    def live(self) -> None:
        """Do what comes up until it has ended for good."""
        while True:
            while not self.watch.has_ended:
                if self.is_settled and self.relief is not None:
                    self._hand_over(self.relief)
                self.loop.turn()
            if not self.finish() or not self.retry():
                return

    def settle(self) -> None:
        """It may live for long: keep no memory for what comes at the end, which is opened once more then."""
        self.stay()
        self.database.close()
        self.is_settled = True
        if self.relief is None or self._duty() is None:  # else this process is about to end
            process.give_back_memory()

    def _hand_over(self, relief: Relief) -> None:
        """Have somebody else go on, when nothing is under way: does not return then."""
        if (duty := self._duty()) is not None:
            relief.hand_over(duty)
            self.relief = None  # it could not
            process.give_back_memory()

    def _duty(self) -> Duty | None:
        networks = None if self.networking is None else self.networking.portable()
        if self.networking is not None and networks is None:
            return None
        if self.control is None or (control := self.control.portable()) is None:
            return None
        if (watched := self.watch.portable()) is None or (streams := self.streams.portable()) is None:
            return None
        return Duty(
            self.request, self.channel, Descriptor(self.lease), self.log.error, streams, control, networks, watched,
            self.stays_ended, self.restarts, self.wait,
        )  # fmt: skip

    def resume(self, duty: Duty) -> None:
        """Go on where another process has been."""
        self.log.error = duty.log_error
        self.streams.resume(duty.streams)
        if self.networking is not None and duty.networks is not None:
            self.networking.resume(duty.networks)
        self.stays_ended, self.restarts, self.wait = duty.stays_ended, duty.restarts, duty.wait
        self.watch = Watch.resume(self.loop, self.containers, self.request, self.channel, duty.watched)
        self._listen(duty.control)

    def _stay_ended(self) -> None:
        self.stays_ended = True

    def _refresh(self) -> None:
        """Its networks are others: as the rows say."""
        if self.networking is not None:
            self.networking.refresh()
            self.containers.amend(self.request.id, ports=written_ports(self.networking.ports))
            self.networking.publish()

    # -- the end -----------------------------------------------------------------------------------------------------

    def finish(self) -> bool:
        """The end of a run: exit status, clean-up, and only then the words that say so. Whether to start it again."""
        self.finished = time.time()
        self.last = self.watch.finish()
        if self.networking is not None:
            self.networking.disconnect()
        self.streams.finish()
        if not self._is_wanted(self.last.exit_code):
            self._end_for_good()
            return False
        self._move("retry", exit_code=self.last.exit_code, finished=self.finished, oom_killed=int(self.last.oom_killed))
        return True

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
        self.stay()  # who waits for the end of it all waits for this process's
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
            self._show(last)
        try:
            if self.request.remove:
                self._take_away()
                self.containers.delete(self.request.id, exit_code=last.exit_code, volumes=True)
            else:
                self._move(
                    "exit", exit_code=last.exit_code, finished=self.finished, oom_killed=int(last.oom_killed),
                    error=self.log.error,
                )  # fmt: skip
        except (ContainerkitError, OSError):
            # Removed meanwhile, or the disk is full: the lease goes with this process, and who looks next sees that.
            self.stay()
        self._release_volumes()
        self._say(last)
        if self.request.remove:
            with contextlib.suppress(OSError):
                remove_tree(self.request.aside)  # whoever opens the store next tries again

    def _take_away(self) -> None:
        """Its directory is where whoever opens the store sweeps: nobody waits until all in it is removed."""
        try:
            os.rename(self.request.bundle, self.request.aside)
        except OSError:
            remove_tree(self.request.bundle)  # not of one file system

    def _show(self, last: Exited) -> None:
        """What the container has written is the caller's to look at, until it hangs up or is gone."""
        with contextlib.suppress(OSError):
            send_reply(self.channel, last)
        self.watch.await_owner()

    def _release_volumes(self) -> None:
        if not self.request.volumes:
            return
        # Not at the top: few containers have such volumes.
        from containerkit.supervise.volumes import drivers

        self.stay()  # what drivers do in this process is theirs
        sys.path[:] = self.request.path
        try:
            drivers.release(self.database, self.request.volumes)
        except (ContainerkitError, OSError):
            pass  # whoever opens the store next tries again

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
        if self.streams.has_more_to_give():
            self.stay()
            if os.fork() == 0:  # a child: nobody's wait for a pid takes longer than the container's end
                self.streams.wait_for_clients(_FOR_CLIENTS)
