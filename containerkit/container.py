"""Container: a handle on one container."""

from __future__ import annotations

import builtins
import contextlib
import os
import signal as signals
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Unpack, overload

from containerkit import conditions, connections, files, inspection, listing, logs, mountinfo, template
from containerkit import engine as engines
from containerkit.errors import InvalidArgument, InvalidState, NotFound, Timeout
from containerkit.execution import Execution
from containerkit.files import ContainerPath
from containerkit.oci.runtime_spec import Spec
from containerkit.options import (
    Command,
    Duration,
    LogOptions,
    Mount,
    ResourceOptions,
    RunOptions,
    Settings,
    container_name,
    duration,
    settings,
    shows_options,
    signal_number,
)
from containerkit.process import Process
from containerkit.results import LogLine, Plan, Result
from containerkit.store.containers import ALIVE
from containerkit.supervise import (
    attachments,
    configure,
    ending,
    launch,
    messages,
    networks,
    pausing,
    recover,
    rootfs,
    sessions,
    specs,
    updating,
)
from containerkit.supervise.health import Health
from containerkit.supervise.output import Output
from containerkit.views import html

if TYPE_CHECKING:
    from containerkit.conditions import Condition
    from containerkit.connections import Endpoint
    from containerkit.engine import Engine
    from containerkit.image import Image
    from containerkit.layers.diff import Change
    from containerkit.linux.netview import Interface, Neighbour, Route
    from containerkit.recording import Recording
    from containerkit.stats import Stats
    from containerkit.store.containers import ContainerRecord
    from containerkit.top import ProcessInfo


class Container:
    """A container. Made by ``run``, ``create``, ``get`` and ``list``; reads its current state when asked."""

    def __init__(self, engine: Engine, id: str, name: str) -> None:
        self._engine = engine
        self._id = id
        self._last_name = name

    # -- finding and making ------------------------------------------------------------------------------------------

    @classmethod
    def get(cls, name_or_id: str, *, engine: Engine | None = None) -> Container:
        """The container of that name, id, or unique beginning of an id.

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

        Args:
            filters: ``name`` (a part of it), ``status``, ``image`` (a reference), ``label`` (``"key=value"``).
        """
        engine = engine or engines.default_engine()
        found = listing.records(engine.store, all=all, filters=filters)
        return [cls(engine, record.id, record.name) for record in found]

    @classmethod
    @shows_options
    def create(
        cls, image: str | Image, command: Command = None, *, engine: Engine | None = None, **options: Unpack[RunOptions]
    ) -> Container:
        """Make a container without starting it.

        Args:
            image: a reference, an id or an Image.
            command: a list, or a string split as a shell splits words; default: the image's own.
        """
        return (engine or engines.default_engine()).create(image, command, **options)

    @classmethod
    def _create(cls, engine: Engine, image: Image, command: Command, options: Mapping[str, Any]) -> Container:
        chosen = cls._settle(engine, command, options)
        wishes = networks.wishes(engine.store, engine.configuration, chosen)
        record = launch.create(
            engine.store, image._record, image._reference, chosen, wishes, replace=bool(options.get("replace"))
        )
        return cls(engine, record.id, record.name)

    @classmethod
    def _run(cls, engine: Engine, image: Image, command: Command, options: Mapping[str, Any]) -> Container:
        chosen = cls._settle(engine, command, options)
        wishes = networks.wishes(engine.store, engine.configuration, chosen)
        with _descriptor(sessions.stdin_of(None)) as stdin:
            running = launch.run(
                engine.store, image._record, image._reference, chosen, wishes, stdin,
                replace=bool(options.get("replace")),
            )  # fmt: skip
        running.wait_started(engine.store)
        running.channel.close()
        if chosen.name:  # it may follow another one that others are linked to
            networks.tell_linked(engine.store, running.record)
        return cls(engine, running.record.id, running.record.name)

    @staticmethod
    def _settle(engine: Engine, command: Command, options: Mapping[str, Any]) -> Settings:
        bounds = engine.configuration.log.options(options.get("log_options"))
        chosen = settings(command, {**options, "log_options": bounds})
        if options.get("replace") and not chosen.name:
            raise InvalidArgument("replace: needs a name: it removes the container of that name first")
        return chosen if options.get("network") is not None else networks.possible(chosen)

    @classmethod
    def _call(
        cls, engine: Engine, image: Image, command: Command, options: Mapping[str, Any], *,
        input: bytes | str | None, timeout: Duration | None, check: bool,
    ) -> Result:  # fmt: skip
        seconds = None if timeout is None else duration(timeout, "timeout")
        # Its output is the result: all of it.
        whole = LogOptions(max_size=-1, max_file=1)
        chosen = cls._settle(engine, command, {**options, "remove": True, "log_options": whole})
        wishes = networks.wishes(engine.store, engine.configuration, chosen)
        with _descriptor(sessions.stdin_of(input)) as stdin:
            running = launch.run(
                engine.store, image._record, image._reference, chosen, wishes, stdin,
                replace=bool(options.get("replace")), with_log=True,
            )  # fmt: skip
        began = time.monotonic()
        with running.channel:
            try:
                started = running.wait_started(engine.store, seconds)
                ended = running.wait_ended(engine.store, seconds) if started else None
            except BaseException:
                os.close(running.log)
                raise
        last = ended or messages.Exited(-1, time.monotonic() - began)
        output = Output.of_log(running.log)
        result = Result(last.exit_code, last.duration, last.oom_killed, running.record.command, output)
        if ended is None:
            raise Timeout(f"container {running.record.name}: still running after {seconds} s; ended", result=result)
        return result.check() if check else result

    # -- what it is --------------------------------------------------------------------------------------------------

    def _truth(self) -> ContainerRecord | None:
        return ending.current(self._engine.store, self._id)

    def _record(self) -> ContainerRecord:
        record = self._truth()
        if record is None:
            raise NotFound(f"container {self._last_name}: not found (removed)")
        self._last_name = record.name
        return record

    def _file(self, name: str) -> str:
        return os.path.join(self._engine.store.paths.containers, self._id, name)

    def _spec(self) -> Spec:
        return specs.read(self._engine.store, self._id)

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return self._id

    @property
    def short_id(self) -> str:
        """The first 12 digits of the id."""
        return self._id[:12]

    @property
    def name(self) -> str:
        """Its name."""
        return self._record().name

    @property
    def image(self) -> Image:
        """The image it was made from.

        Raises:
            NotFound: the image has been removed by force.
        """
        from containerkit.image import Image

        return Image.get(self._record().image, engine=self._engine)

    @property
    def status(self) -> str:
        """created, running, paused, restarting, exited or dead."""
        return self._record().status

    @property
    def exit_code(self) -> int | None:
        """How the last run ended; None before the first end."""
        return self._record().exit_code

    @property
    def pid(self) -> int | None:
        """The host's pid of the container's pid 1, while it runs."""
        return self._record().pid

    @property
    def oom_killed(self) -> bool:
        """Whether the kernel ended a process of the last run because memory ran out."""
        return bool(self._record().oom_killed)

    @property
    def health(self) -> str | None:
        """starting, healthy or unhealthy, as its health check says; None without one."""
        health = Health.loads(self._record().health)
        return None if health is None else health.status

    @property
    def restart_count(self) -> int:
        """How often its restart policy has started it since somebody did."""
        return self._record().restarts

    @property
    def ip_address(self) -> str | None:
        """Its address on the first of its networks, while it runs (IPv4, else IPv6)."""
        found = next(iter(self.networks.values()), None)
        return None if found is None else found.ip_address or found.ip6_address

    @property
    def networks(self) -> dict[str, Endpoint]:
        """The networks that it is on, by name, in the order of its interfaces."""
        return connections.of(self._engine.store, self._record())

    @property
    def ports(self) -> dict[str, builtins.list[tuple[str, int]]]:
        """What it publishes while it runs: ``{"80/tcp": [("0.0.0.0", 8080)]}``, addresses and ports of the host."""
        return connections.ports(self._record())

    def port(self, port: int | str) -> builtins.list[tuple[str, int]]:
        """Where one of its ports is published: addresses and ports of the host; as ``docker port``.

        Args:
            port: 80, or ``"53/udp"``.
        """
        return connections.port(self._record(), port)

    def interfaces(self) -> builtins.list[Interface]:
        """Its links, as ``ip address`` in it would show them, loopback first; with any choice of ``network``.

        Raises:
            InvalidState: it does not run.
        """
        from containerkit import netinfo

        return netinfo.interfaces(self._running("look at its network", ALIVE - {"restarting"}))

    def routes(self) -> builtins.list[Route]:
        """The ways that it knows, as ``ip route`` in it would show them. As :meth:`interfaces`."""
        from containerkit import netinfo

        return netinfo.routes(self._running("look at its network", ALIVE - {"restarting"}))

    def neighbours(self) -> builtins.list[Neighbour]:
        """Whom it has spoken to of late, as ``ip neighbour`` in it would show it. As :meth:`interfaces`."""
        from containerkit import netinfo

        return netinfo.neighbours(self._running("look at its network", ALIVE - {"restarting"}))

    @property
    def mounts(self) -> builtins.list[Mount]:
        """Its volumes, binds and what else is mounted for it, by target; of a volume ``source`` is the name."""
        return mountinfo.mounts(Settings.read(self._record().options))

    @property
    def labels(self) -> dict[str, str]:
        """The image's labels and its own."""
        return dict(Settings.read(self._record().options).labels or {})

    @property
    def created(self) -> datetime:
        """When it was made (UTC)."""
        return _moment(self._record().created)

    @property
    def started(self) -> datetime | None:
        """When it was last started (UTC)."""
        moment = self._record().started
        return None if moment is None else _moment(moment)

    @property
    def finished(self) -> datetime | None:
        """When it last ended (UTC)."""
        moment = self._record().finished
        return None if moment is None else _moment(moment)

    @overload
    def inspect(self) -> dict[str, Any]: ...

    @overload
    def inspect(self, *, format: str) -> str: ...

    def inspect(self, *, format: str | None = None) -> dict[str, Any] | str:
        """Everything about it, shaped as ``docker inspect``.

        Args:
            format: a template of Go's, as docker takes: ``"{{.State.Pid}}"``; then the text that it gives.

        Raises:
            InvalidArgument: a template that cannot be carried out.
        """
        found = inspection.container(self._engine.store, self._record(), self._spec(), self._file("log"))
        return found if format is None else template.render(format, found)

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self) -> Container:
        """Start it, created or ended.

        Raises:
            InvalidState: it runs already.
            RuntimeFailure: it could not be started; it is as created, and ``inspect()`` says why.
        """
        record = self._record()
        with _descriptor(sessions.stdin_of(None)) as stdin:
            running = launch.start(self._engine.store, record, self.image._record, stdin)
        running.wait_started(self._engine.store)
        running.channel.close()
        networks.tell_linked(self._engine.store, record)
        return self

    def kill(self, signal: str | int = "KILL") -> Container:
        """Send a signal to its pid 1; KILL ends every process of it, and the call returns when they are gone.

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

    def _running(self, verb: str, states: frozenset[str] = frozenset({"running"})) -> ContainerRecord:
        record = self._record()
        if record.state not in states:
            raise InvalidState(f"container {record.name}: cannot {verb}: it is {record.status}")
        return record

    def stop(self, timeout: Duration | None = None) -> Container:
        """Ask it to end with its stop signal; kill it when it has not after ``timeout``. An ended one stays ended.

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
        networks.tell_linked(self._engine.store, record._replace(name=name))
        self._last_name = name
        return self

    def update(self, **resources: Unpack[ResourceOptions]) -> Container:
        """Change limits, or the restart policy, also while it runs; what is not named stays.

        Args:
            resources: ``memory``, ``cpus``, ``pids_limit`` … as for ``run``, and ``restart``.

        Raises:
            InvalidArgument: an option that cannot change, or a value that the kernel refuses; nothing has changed then.
        """
        updating.update(self._engine.store, self._record(), resources)
        return self

    def wait(self, timeout: Duration | None = None) -> int:
        """Wait until it has ended; its exit code.

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

    def remove(self, *, force: bool = False, volumes: bool = False) -> Container:
        """Remove it, its log and its writable layer.

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

        With ``tty`` it has a terminal, and standard error is in ``stdout``. It ends, with everything it started, when
        the returned object is closed or this process ends.
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

        Args:
            since, until: a datetime or epoch seconds.
            tail: only the last so many lines.
            timestamps: put the time (UTC) before each line.
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
        """What it wrote, line by line; with ``follow``, on until it ends."""
        self._record()
        selection = logs.Selection(stdout, stderr, since, until, tail)
        return logs.lines(self._file("log"), selection, self._end_pidfd if follow else None)

    def _end_pidfd(self) -> int | None:
        """A descriptor that is readable once the container has ended; None when it has."""
        from containerkit.linux import process

        record = self._truth()
        if record is None or record.state != "running":
            return None
        return process.pidfd(record.monitor, record.monitor_started)

    # -- files -------------------------------------------------------------------------------------------------------

    def _root(self) -> rootfs.Root:
        return rootfs.Root(self._engine.store, self._id, self._record().name)

    def copy_in(self, source: str | os.PathLike[str], path: str, *, archive: bool = False) -> Container:
        """Copy a file or directory of this machine into it, running or not; as ``docker cp``.

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

        Args:
            archive: keep owners and attributes; otherwise whoever calls owns what is copied.
        """
        files.copy_out(self._root(), path, files.absolute(destination), archive=archive)
        return self

    def export(self, path: str | os.PathLike[str]) -> Container:
        """Write its files as a tar archive, running or not, without what is mounted in it; as ``docker export``.

        Args:
            path: the archive's; it appears when it is whole.

        Raises:
            InvalidState: a file changed its size while it was read (pause the container, or try again).
        """
        files.export(self._root(), files.absolute(path))
        return self

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
        """A path in it, with the methods of ``pathlib``: ``c.path("/etc/hosts").read_text()``."""
        return ContainerPath(self._root(), path)

    # -- measuring ---------------------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        """What it uses now.

        Raises:
            InvalidState: it does not run.
        """
        from containerkit.stats import read_stats

        record = self._running("measure")
        return read_stats(specs.cgroup(self._engine.store, self._id), record.pid)

    def top(self) -> builtins.list[ProcessInfo]:
        """Its processes, by pid.

        Raises:
            InvalidState: it does not run.
        """
        from containerkit.top import processes

        record = self._running("list processes", ALIVE - {"restarting"})
        return processes(self._spec().linux.cgroups_path, record.pid)

    def diff(self) -> builtins.list[Change]:
        """What it has changed of its image's files, sorted by path."""
        mounted = [mount.destination for mount in self._spec().mounts]
        return self._engine.store.snapshots.changes(self._record().id, self.image._record, mounted)

    def record(self, interval: Duration = 0.1) -> Recording:
        """Measure it around a block: ``with c.record() as rec: …``, then ``rec.frame()`` and ``rec.plot()``.

        Args:
            interval: seconds between samples.
        """
        from containerkit.recording import Recording

        record = self._running("measure")
        return Recording(
            record.name, specs.cgroup(self._engine.store, self._id), record.pid, duration(interval, "interval")
        )

    def explain(self) -> Plan:
        """The operations that its start consists of, and what each cost the last time."""
        record = self._record()
        (overlay,) = self._engine.store.snapshots.mounts(
            record.id, self.image._record, volatile=bool(record.auto_remove)
        )
        return inspection.explain(self._spec(), overlay, self._file("timings.json"))

    # -- looks -------------------------------------------------------------------------------------------------------

    def panel(self) -> Any:
        """A card with its status, live CPU and memory, logs and buttons (ipywidgets)."""
        from containerkit.notebook.card import ContainerCard

        return ContainerCard(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Container) and (self._id, self._engine) == (other._id, other._engine)

    def __hash__(self) -> int:
        return hash(self._id)

    def __repr__(self) -> str:
        record = self._truth()
        if record is None:
            return f"Container({self._last_name!r}, removed)"
        ended = f" ({record.exit_code})" if record.status == "exited" else ""
        return f"Container({record.name!r}, {record.status}{ended}, image={record.image_reference!r})"

    def _repr_html_(self) -> str:
        record = self._truth()
        if record is None:
            return html.note(f"container {self._last_name}: removed")
        rows = {
            "image": record.image_reference,
            "command": configure.describe_command(record.command),
            "status": record.status if record.exit_code is None else f"{record.status} ({record.exit_code})",
        }
        addresses = {name: one.ip_address or one.ip6_address for name, one in self.networks.items()}
        if any(addresses.values()):
            rows["networks"] = ", ".join(f"{name} {address}" for name, address in addresses.items() if address)
        if published := connections.ports(record):
            rows["ports"] = ", ".join(f"{ip}:{port} → {key}" for key, hosts in published.items() for ip, port in hosts)
        return html.card(f"container {record.name}", record.status, rows)


@contextlib.contextmanager
def _descriptor(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
