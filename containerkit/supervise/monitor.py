"""The monitor: one container from its start to its end. A fork of the spawner; it waits on events and never polls.

::

    create (runtime) ─> write down the pids ─> start ─> loop(output, exit) ─> finish

What it is killed in the middle of, :mod:`containerkit.supervise.recover` ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import time

from containerkit.errors import ContainerkitError
from containerkit.linux import process
from containerkit.runtime import bundle, create
from containerkit.store.containers import Containers, process_columns
from containerkit.store.database import Database
from containerkit.store.trees import remove_tree
from containerkit.supervise.log import READ_SIZE, LogWriter
from containerkit.supervise.messages import Exited, Failed, Start, Started, send_reply

_MiB = 1 << 20


def run(request: Start, channel: socket.socket, descriptors: list[int]) -> None:
    """Look after the container of ``request`` until it has ended. Descriptors: lease, stdin."""
    lease, stdin = descriptors
    process.set_title(f"containerkit-monitor {request.name}")
    monitor = Monitor(request, channel, lease)
    if monitor.start(stdin):
        monitor.watch()
        monitor.finish()


class Monitor:
    """The container's life as its monitor sees it."""

    def __init__(self, request: Start, channel: socket.socket, lease: int) -> None:
        self.request = request
        self.channel = channel
        self.lease = lease
        self.database = Database(request.database)
        self.containers = Containers(self.database)
        self.log = LogWriter(request.log)
        self.outputs: dict[int, int] = {}
        self.child: create.Child
        self.began = 0.0

    def start(self, stdin: int) -> bool:
        """Bring the container up; False when it failed, which then has been reported and undone."""
        request = self.request
        theirs: list[int] = []
        try:
            spec = bundle.load(request.bundle)
            theirs = [] if spec.process.terminal else self._make_pipes()
            streams = (stdin, stdin, stdin) if spec.process.terminal else (stdin, theirs[0], theirs[1])
            self.child = create.create(
                spec,
                os.path.join(request.bundle, spec.root.path),
                overlay=request.overlay,
                streams=streams,
                seccomp_filter=bundle.read_filter(request.bundle, spec),
            )
        except (ContainerkitError, OSError) as error:
            self._failed(error)
            return False
        finally:
            for descriptor in (*theirs, stdin):
                os.close(descriptor)
        return self._go()

    def _make_pipes(self) -> list[int]:
        theirs = []
        for stream in (1, 2):
            reader, writer = os.pipe()
            try:
                fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, _MiB)
            except PermissionError:
                pass  # over the user's allowance of pipe pages: it works with less
            os.set_blocking(reader, False)
            self.outputs[reader] = stream
            theirs.append(writer)
        return theirs

    def _go(self) -> bool:
        # The mounts go on in the init while the pids are written down here.
        columns = process_columns(
            self.child.pid, process.start_time(self.child.pid), os.getpid(), process.start_time(os.getpid())
        )
        self.began = time.time()
        try:
            self.containers.move(
                self.request.id,
                "run",
                started=self.began,
                finished=None,
                exit_code=None,
                oom_killed=0,
                error="",
                **columns,
            )
            self.child.start()
        except (ContainerkitError, OSError) as error:
            self.child.discard()
            self._failed(error)
            return False
        if self.child.terminal is not None:
            os.set_blocking(self.child.terminal, False)
            self.outputs[self.child.terminal] = 1
        self._write_costs()
        send_reply(self.channel, Started(self.child.pid))
        return True

    def _write_costs(self) -> None:
        try:
            with open(os.path.join(self.request.bundle, "timings.json"), "w") as file:
                json.dump(self.child.costs, file)
        except OSError:
            pass  # the disk is full: the container runs, and nobody knows what its start cost

    def _failed(self, problem: ContainerkitError | OSError) -> None:
        failed = Failed.of(problem, "monitor")
        if self.request.fresh:
            remove_tree(self.request.bundle)
            self.containers.delete(self.request.id)
        else:
            self.containers.move(
                self.request.id, "fail", exit_code=failed.exit_code, error=failed.text, pid=None, monitor=None
            )
        self._say(failed)

    def watch(self) -> None:
        """Copy output into the log until the init has ended and its streams are empty."""
        poll = select.poll()
        poll.register(self.child.pidfd, select.POLLIN)
        for descriptor in self.outputs:
            poll.register(descriptor, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self.child.pidfd:
                    return self._drain()
                if not self._copy(descriptor):
                    poll.unregister(descriptor)
                    os.close(descriptor)
                    del self.outputs[descriptor]

    def _copy(self, descriptor: int) -> bool:
        """One read into the log. False at the end of the stream."""
        try:
            data = os.read(descriptor, READ_SIZE)
        except BlockingIOError:
            return True
        except OSError:
            return False  # EIO: the last holder of a terminal's other end is gone
        if data:
            self.log.write(self.outputs[descriptor], data)
        return bool(data)

    def _drain(self) -> None:
        # The init has ended, and with its pid namespace every process of the container: what is still in the pipes is
        # all there will be. Somebody outside may hold a pipe open, so its end is not waited for.
        poll = select.poll()
        for descriptor in self.outputs:
            poll.register(descriptor, select.POLLIN)
        while ready := poll.poll(0):
            for descriptor, _ in ready:
                if not self._copy(descriptor):
                    poll.unregister(descriptor)

    def finish(self) -> None:
        """The end: exit status, clean-up, and only then the words that say so."""
        _, status = os.waitpid(self.child.pid, 0)
        code = process.exit_code(status)
        finished = time.time()
        oom_killed = False
        if self.child.cgroup is not None:
            oom_killed = self.child.cgroup.oom_kills() > 0
            try:
                self.child.cgroup.kill()
                self.child.cgroup.delete()
            except ContainerkitError:
                pass  # a process hangs in the kernel: how the container ended is still written down
        self._record(code, finished, oom_killed)
        self._say(Exited(code, finished - self.began, oom_killed))

    def _say(self, last_word: Failed | Exited) -> None:
        # Whoever hears it may act at once: the container must have no owner any more, nor its disk a user.
        self.log.close()
        self.database.close()
        os.close(self.lease)
        send_reply(self.channel, last_word)

    def _record(self, code: int, finished: float, oom_killed: bool) -> None:
        try:
            if self.request.remove:
                remove_tree(self.request.bundle)
                self.containers.delete(self.request.id, exit_code=code)
            else:
                self.containers.move(
                    self.request.id, "exit", exit_code=code, finished=finished, oom_killed=int(oom_killed),
                    error=self.log.error, pid=None, monitor=None,
                )  # fmt: skip
        except (ContainerkitError, OSError):
            # Removed meanwhile, or the disk is full: the lease goes with this process, and who looks next sees that.
            pass
