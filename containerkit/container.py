"""Container: a handle on one container."""

from __future__ import annotations

import builtins
import contextlib
import os
import signal as signals
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Unpack

from containerkit import engine as engines
from containerkit.containerfacts import ContainerFacts
from containerkit.errors import InvalidArgument, InvalidState, NotFound, Timeout
from containerkit.options import (
    Command,
    Duration,
    ResourceOptions,
    RunOptions,
    Settings,
    container_name,
    duration,
    foreign,
    shows_options,
    signal_number,
)
from containerkit.reading import inspection, listing, logs
from containerkit.results import LogLine, Plan, Result
from containerkit.running import conditions, files, starting
from containerkit.running.execution import Execution
from containerkit.running.files import ContainerPath
from containerkit.running.process import Process
from containerkit.store.containers import ALIVE
from containerkit.supervise import ending, pausing, recover, rootfs, updating
from containerkit.supervise.networks import membership
from containerkit.supervise.output import attachments

if TYPE_CHECKING:
    from containerkit.engine import Engine
    from containerkit.image import Image
    from containerkit.layers.diff import Change
    from containerkit.measuring.recording import Recording
    from containerkit.measuring.stats import Stats
    from containerkit.reading.top import ProcessInfo
    from containerkit.running.conditions import Condition
    from containerkit.xray.values import XRay


@foreign.answers
class Container(ContainerFacts):
    """A container. Made by ``run``, ``create``, ``get`` and ``list``; reads its current state when asked.

    ``engine``, of each of these: where; default: :func:`containerkit.default_engine`.
    """

    # -- finding and making ------------------------------------------------------------------------------------------

    @classmethod
    def get(cls, name_or_id: str, *, engine: Engine | None = None) -> Container:
        """The container of that name, id, or unique beginning of an id.

        >>> ck.Container.get("box") == ck.containers["box"] == box
        True

        Raises:
            NotFound: there is none.
        """
        if not isinstance(name_or_id, str):
            raise InvalidArgument(f"container {name_or_id!r}: expected a name or an id")
        engine = engine or engines.default_engine()
        record = recover.truth(engine.store, engine.store.containers.find(name_or_id))
        if record is None:
            raise NotFound(f"container {name_or_id}: not found")
        return cls(engine, record.id, record.name)

    @classmethod
    def list(
        cls, *, all: bool = False, filters: Mapping[str, str] | None = None, engine: Engine | None = None
    ) -> list[Container]:
        """The running containers, newest first; with ``all``, the others too.

        >>> ck.Container.list(all=True, filters={"name": "box"})[0].status
        'running'

        Args:
            filters: ``name`` (a part of it), ``status``, ``image`` (a reference), ``label`` (``"key=value"``).
        """
        engine = engine or engines.default_engine()
        found = listing.records(engine.store, all=all, filters=filters)
        return [cls(engine, record.id, record.name) for record in found]

    @classmethod
    @shows_options(RunOptions)
    def create(
        cls, image: str | Image, command: Command = None, *, engine: Engine | None = None, **options: Unpack[RunOptions]
    ) -> Container:
        """Make a container without starting it.

        >>> ck.Container.create("busybox", "sleep 600", name="later").status
        'created'

        Args:
            image: a reference, an id or an Image.
            command: a list, or a string split as a shell splits words; default: the image's own.
        """
        return (engine or engines.default_engine()).create(image, command, **options)

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self) -> Container:
        """Start it, created or ended.

        Raises:
            InvalidState: it runs already.
            RuntimeFailure: it could not be started; it is as created, and ``inspect()`` says why.
        """
        starting.start(self._engine.store, self._record(), self.image._record)
        return self

    def kill(self, signal: str | int = "KILL") -> Container:
        """Send a signal to its pid 1; KILL ends every process of it, and the call returns when they are gone.

        >>> box.kill("USR1").kill().exit_code
        137

        Raises:
            InvalidState: it does not run.
        """
        number = signal_number(signal)
        store, record = self._engine.store, self._running("kill", ALIVE)
        own = signal_number(Settings.read(record.options).stop_signal or "TERM")
        store.containers.amend(record.id, "kill", {"signal": number})
        if number in (signals.SIGKILL, own):
            ending.stay_ended(store, record)  # whoever ends it does not want its restart policy to have the last word
        if number == signals.SIGKILL:
            ending.kill(store, record)
        else:
            ending.send(record, number)
        return self

    @foreign.knows_keywords
    def stop(self, timeout: Duration | None = None) -> Container:
        """Ask it to end with its stop signal; kill it when it has not after ``timeout``. An ended one stays ended.

        >>> box.stop(timeout=0.5).start().status
        'running'

        Args:
            timeout: seconds; default: the container's ``stop_timeout``, else 10.
        """
        record = self._record()
        if record.state not in ALIVE:
            return self
        chosen = Settings.read(record.options)
        grace = duration(timeout, "timeout") if timeout is not None else chosen.stop_timeout
        number = signal_number(chosen.stop_signal or "TERM")
        ending.stop(self._engine.store, record, number, 10.0 if grace is None else grace)
        return self

    def restart(self, timeout: Duration | None = None) -> Container:
        """Stop it, as :meth:`stop` does, and start it."""
        self.stop(timeout).start()
        self._engine.store.containers.amend(self._id, "restart")
        return self

    def pause(self) -> Container:
        """Stop every process of it where it is; none of them notices.

        >>> box.pause().status, box.unpause().status
        ('paused', 'running')

        Raises:
            InvalidState: it does not run, or is paused already.
            Timeout: a process could not be stopped; all run again.
        """
        pausing.pause(self._engine.store, self._record())
        return self

    def unpause(self) -> Container:
        """Let its processes go on.

        Raises:
            InvalidState: it is not paused.
        """
        pausing.unpause(self._engine.store, self._record())
        return self

    def rename(self, name: str) -> Container:
        """Give it another name; its host name stays. Those that are linked to it, or joined it, follow.

        Raises:
            AlreadyExists: another container has that name.
        """
        record = self._record()
        self._engine.store.containers.rename(record.id, container_name(name))
        membership.tell_linked(self._engine.store, record._replace(name=name))
        self._last_name = name
        return self

    def update(self, **resources: Unpack[ResourceOptions]) -> Container:
        """Change limits, or the restart policy, also while it runs; what is not named stays.

        >>> box.update(memory="128m", pids_limit=50).stats().memory_limit_bytes
        134217728

        Args:
            resources: ``memory``, ``cpus``, ``pids_limit`` … as for ``run``, and ``restart``.

        Raises:
            InvalidArgument: an option that cannot change, or a value that the kernel refuses; nothing has changed then.
        """
        updating.update(self._engine.store, self._record(), resources)
        return self

    @foreign.knows_keywords
    def wait(self, timeout: Duration | None = None) -> int:
        """Wait until it has ended; its exit code.

        >>> ck.run("busybox", ["sh", "-c", "exit 3"]).wait(timeout=10)
        3

        Args:
            timeout: seconds; it goes on running when they are up.

        Raises:
            Timeout: it has not ended by then.
            InvalidState: it was never started.
        """
        seconds = None if timeout is None else duration(timeout, "timeout")
        if not ending.wait(self._engine.store, self._id, seconds):
            raise Timeout(f"container {self._last_name}: still running after {seconds} s")
        record = self._truth()
        code = record.exit_code if record is not None else self._engine.store.events.last_exit(self._id)
        if code is None and record is None:
            raise NotFound(f"container {self._last_name}: not found (removed)")
        if code is None:
            raise InvalidState(f"container {self._last_name}: cannot wait: it was never started")
        return code

    def wait_for(self, condition: Condition, timeout: Duration = 60) -> Container:
        """Wait until it is ready: ``c.wait_for(ck.until.port(80))``.

        >>> web = ck.run("busybox", "httpd -f -h /etc").wait_for(ck.until.port(80), timeout=10)

        Args:
            condition: of ``ck.until``: ``healthy()``, ``log(text)``, ``port(80)``, ``http("/")``, ``exec([…])``,
                ``file(path)``.
            timeout: seconds.

        Raises:
            InvalidState: it ended first; the error has its last log lines.
            Timeout: it was not so in time; the same.
        """
        conditions.wait(self, condition, duration(timeout, "timeout"))
        return self

    @foreign.knows_keywords
    def remove(self, *, force: bool = False, volumes: bool = False) -> Container:
        """Remove it, its log and its writable layer.

        >>> name = box.remove(force=True)
        >>> "box" in ck.containers
        False

        Args:
            force: kill it first when it runs.
            volumes: remove its anonymous volumes, too, where no other container uses them.

        Raises:
            InvalidState: it runs, and not ``force``.
        """
        ending.remove(self._engine.store, self._record(), force=force, volumes=volumes)
        return self

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(NotFound):
            self.remove(force=True, volumes=True)

    # -- processes in it ---------------------------------------------------------------------------------------------

    @foreign.knows_keywords
    def exec(
        self,
        command: Command,
        *,
        input: bytes | str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | int | None = None,
        workdir: str | None = None,
        timeout: Duration | None = None,
        check: bool = False,
    ) -> Result:
        """Run one more command in it, to its end.

        >>> box.exec("cat /proc/1/comm").stdout
        'sleep\\n'
        >>> box.exec(["sh", "-c", "wc -c >&2; exit 3"], input="hello")
        Result(exit_code=3, stdout='', stderr='5\\n')

        Args:
            command: a list, or a string split as a shell splits words.
            input: what it reads from standard input.
            env: variables over the container's.
            user: ``"name"``, ``"1000"``, ``"1000:100"``; default: the container's.
            workdir: an absolute path; default: the container's.
            timeout: seconds; then it is killed, with everything it started.
            check: raise when the exit code is not 0.

        Raises:
            InvalidState: the container does not run.
            RuntimeFailure: the program could not be started; ``exit_code`` 127 absent, 126 not executable.
            Timeout: time was up; ``result`` has the output so far.
            ProcessFailed: with ``check``.
        """
        seconds = None if timeout is None else duration(timeout, "timeout")
        result = self._execution(command, env, user, workdir, tty=False).run(input, seconds)
        return result.check() if check else result

    @foreign.knows_keywords
    def popen(
        self,
        command: Command,
        *,
        tty: bool = False,
        env: Mapping[str, str] | None = None,
        user: str | int | None = None,
        workdir: str | None = None,
    ) -> Process:
        """Start one more command in it and return at once, with its streams as files (as ``subprocess.Popen``).

        It ends, with everything it started, when the returned object is closed or this process ends.

        >>> with box.popen("cat") as cat:
        ...     cat.communicate(b"hello")
        (b'hello', b'')

        Args:
            command: a list, or a string split as a shell splits words.
            tty: it has a terminal, and standard error is in ``stdout``.
            env: variables over the container's.
            user: ``"name"``, ``"1000"``, ``"1000:100"``; default: the container's.
            workdir: an absolute path; default: the container's.
        """
        return Process._start(self._execution(command, env, user, workdir, tty=tty))

    def attach(
        self,
        *,
        stdin: bool = True,
        stdout: bool = True,
        stderr: bool = True,
        detach_keys: str = "ctrl-p,ctrl-q",
    ) -> Process:
        """Its own streams as files: output from now on, and its input when it was made with ``stdin_open``.

        Any number of clients may be attached, from any process. ``close()`` of what is returned lets the container go
        on; closing its ``stdin`` ends the container's input, as for ``subprocess.Popen``. The log has all output.

        >>> echo = ck.run("busybox", "cat", stdin_open=True)
        >>> with echo.attach() as client:
        ...     client.communicate(b"hello")
        (b'hello', b'')

        Args:
            stdin, stdout, stderr: which streams; the others are None.
            detach_keys: written to a terminal, these keys detach instead.

        Raises:
            InvalidState: it does not run.
        """
        record = self._running("attach", ALIVE - {"restarting"})
        keys = attachments.parse_keys(detach_keys)
        stderr = stderr and not Settings.read(record.options).tty
        attached = attachments.attach(self._engine.store, record, (1,) * stdout + (2,) * stderr)
        return Process._attached(attached, stdin=stdin, streams=(stdout, stderr), detach_keys=keys)

    def _execution(
        self, command: Command, env: Mapping[str, str] | None, user: str | int | None, workdir: str | None, *, tty: bool
    ) -> Execution:
        return Execution.prepare(
            self._engine.store, self._running("exec"), self._spec(), command,
            env=env, user=user, workdir=workdir, tty=tty,
        )  # fmt: skip

    # -- output ------------------------------------------------------------------------------------------------------

    @foreign.knows_keywords
    def logs(
        self,
        *,
        stdout: bool = True,
        stderr: bool = True,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        tail: int | None = None,
        timestamps: bool = False,
    ) -> str:
        """What it wrote so far, as text.

        >>> done = ck.run("busybox", "echo hello")
        >>> done.wait(), done.logs(tail=10)
        (0, 'hello\\n')

        Args:
            since, until: a datetime or epoch seconds.
            tail: only the last so many lines.
            timestamps: put the time (UTC) before each line.
            stdout, stderr: which streams.
        """
        selection = logs.Selection(stdout, stderr, since, until, tail)
        self._record()
        return logs.text(logs.lines(self._file("log"), selection), timestamps=timestamps)

    def log_lines(
        self,
        *,
        follow: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        tail: int | None = None,
    ) -> Iterator[LogLine]:
        """What it wrote, line by line.

        >>> for line in ck.run("busybox", "echo hello").log_lines(follow=True):
        ...     print(line.stream, line.text)
        stdout hello

        Args:
            follow: go on until it ends.
            stdout, stderr: which streams.
            since, until: a datetime or epoch seconds.
            tail: only the last so many lines.
        """
        self._record()
        selection = logs.Selection(stdout, stderr, since, until, tail)
        return logs.lines(self._file("log"), selection, self._ends if follow else None)

    def _ends(self) -> tuple[int, ...] | None:
        """Descriptors, one of which is readable when the container may have ended; None when it has."""
        record = self._truth()
        return None if record is None or record.state not in ALIVE else ending.pidfds(record)

    # -- files -------------------------------------------------------------------------------------------------------

    def _root(self) -> rootfs.Root:
        return rootfs.Root(self._engine.store, self._id, self._record().name)

    def copy_in(self, source: str | os.PathLike[str], path: str, *, archive: bool = False) -> Container:
        """Copy a file or directory of this machine into it, running or not; as ``docker cp``.

        >>> box.copy_in("/etc/passwd", "/tmp/").path("/tmp/passwd").exists()
        True

        Args:
            source: a path; a directory's ends in ``/.`` when only what is in it is meant.
            path: in the container: a directory to copy into, or the new name.
            archive: keep owners and attributes; otherwise root of the container owns what is copied.

        Raises:
            NotFound: no such source, or no directory to copy into.
            InvalidState: a directory is where a file is to go, or the other way.
        """
        files.copy_in(self._root(), files.absolute(source), path, archive=archive)
        return self

    def copy_out(self, path: str, destination: str | os.PathLike[str], *, archive: bool = False) -> Container:
        """Copy a file or directory of it to this machine; as :meth:`copy_in`, the other way.

        >>> box.copy_out("/etc/hosts", "its-hosts").copy_out("/tmp", ".").status
        'running'

        Args:
            archive: keep owners and attributes; otherwise whoever calls owns what is copied.
        """
        files.copy_out(self._root(), path, files.absolute(destination), archive=archive)
        return self

    def export(self, path: str | os.PathLike[str]) -> Container:
        """Write its files as a tar archive, running or not, without what is mounted in it; as ``docker export``.

        >>> box.export("box.tar").status
        'running'

        Args:
            path: the archive's; it appears when it is whole.

        Raises:
            InvalidState: a file changed its size while it was read (pause the container, or try again).
        """
        files.export(self._root(), files.absolute(path))
        return self

    @foreign.knows_keywords
    def commit(
        self,
        tag: str | None = None,
        *,
        message: str | None = None,
        author: str | None = None,
        changes: Sequence[str] = (),
        pause: bool = True,
    ) -> Image:
        """An image of what it is now: its image's layers, and one more of all that it has changed, running or not.

        What is mounted in it is left out. As with docker, the image's containers get what this one was given: its
        command, user, variables, working directory and labels; ``changes`` come after that.

        >>> "A=1" in box.commit("tools:2", message="as it is now", changes=["ENV A=1"]).call("env").stdout
        True

        Args:
            tag: the reference the image gets.
            message: a comment for the image's history.
            author: who made it.
            changes: Dockerfile instructions for its config: ``['CMD ["sh"]', "ENV A=1"]``.
            pause: stop its processes meanwhile, so that no file is read half-written.

        Raises:
            InvalidArgument: a wrong instruction or reference; a file whose name begins with ``.wh.``, which in an
                image is a deletion.
            InvalidState: without ``pause``: a file changed while it was read.
            StorageError: the disk is full. Nothing is left of a failed commit.
        """
        from containerkit.image import Image
        from containerkit.supervise import committing

        wishes = committing.Wishes(tag, message, author, changes)
        made = committing.commit(self._engine.store, self._record(), self.image._record, wishes, pause=pause)
        return Image(self._engine, made.id, tag or "")

    def path(self, path: str = "/") -> ContainerPath:
        """A path in it, with the methods of ``pathlib``: ``c.path("/etc/hosts").read_text()``.

        The kernel's settings below ``/proc/sys`` are those of whoever opens them, here the caller's: ``exec`` sees the
        container's.

        >>> note = box.path("/tmp/note")
        >>> note.write_text("hello"), note.read_text()
        (5, 'hello')
        """
        return ContainerPath(self._root(), path)

    # -- measuring ---------------------------------------------------------------------------------------------------

    @foreign.knows_keywords
    def stats(self) -> Stats:
        """What it uses now.

        >>> box.stats().pids
        1

        Raises:
            InvalidState: it does not run.
        """
        from containerkit.measuring.stats import read_stats

        record = self._running("measure", ALIVE - {"restarting"})
        return read_stats(self._engine.store, record)[0]

    def top(self) -> builtins.list[ProcessInfo]:
        """Its processes, by pid.

        >>> [process.command for process in box.top()]
        ['sleep 600']

        Raises:
            InvalidState: it does not run.
        """
        from containerkit.reading.top import processes

        record = self._running("list processes", ALIVE - {"restarting"})
        return processes(self._spec().linux.cgroups_path, record.pid)

    def diff(self) -> builtins.list[Change]:
        """What it has changed of its image's files, sorted by path.

        >>> box.exec("touch /tmp/note").check() and [(change.kind, change.path) for change in box.diff()]
        [('changed', '/tmp'), ('added', '/tmp/note')]
        """
        mounted = [mount.destination for mount in self._spec().mounts]
        return self._engine.store.snapshots.changes(self._record().id, self.image._record, mounted)

    def record(self, interval: Duration = 0.1) -> Recording:
        """Measure it around a block: ``with c.record() as rec: …``, then ``rec.frame()`` and ``rec.plot()``.

        >>> with box.record(interval=0.1) as recording:
        ...     result = box.exec("sleep 1")
        >>> "cpu_percent" in recording.frame()
        True

        Args:
            interval: seconds between samples.
        """
        from containerkit.measuring.recording import Recording

        record = self._running("measure", ALIVE - {"restarting"})
        return Recording(self._engine.store, record, duration(interval, "interval"))

    def explain(self) -> Plan:
        """The operations that its start consists of, and what each cost the last time."""
        record = self._record()
        (overlay,) = self._engine.store.snapshots.mounts(
            record.id, self.image._record, volatile=bool(record.auto_remove)
        )
        return inspection.explain(self._spec(), overlay, self._file("timings.json"))

    def xray(self) -> XRay:
        """What it is to the kernel: namespaces and who shares them, cgroups, mounts, layers, rights, links, users.

        Of one that has ended, or of another user's, it says which parts are missing.
        """
        from containerkit.xray import reading

        return reading.take(self._engine.store, self._record(), self._spec(), lambda: self.image)

    # -- looks -------------------------------------------------------------------------------------------------------

    def panel(self) -> Any:
        """Live charts of what it uses, with its limits and what happens to it; sliders for the limits; buttons."""
        from containerkit.notebook.panel import ContainerPanel

        return ContainerPanel(self, self._engine)

    def log_view(self) -> Any:
        """Its log as a widget: followed, gone through and searched, however large it is."""
        from containerkit.notebook.logview import LogView

        return LogView(self, self._file("log"))

    def terminal(self, command: Command = None) -> Any:
        """A terminal in it as a widget.

        Args:
            command: what runs in it; default: ``sh``.

        Raises:
            InvalidState: it does not run.
            RuntimeFailure: the program could not be started.
        """
        from containerkit.notebook.terminal import Terminal

        process = self.popen(command or "sh", tty=True, env={"TERM": "xterm-256color"})
        return Terminal(process, self.name)
