"""RUN: a container of the state so far; what it has changed becomes a layer.

::

    launch.run        a container that is tied to this process: it ends with it, and is removed by its monitor
    log               its output, as it comes, to whoever shows it; the last of it stays on the disk meanwhile
    snapshots.pack    what it has written, without what was only mounted for it
    hang up           the monitor removes the container, beside the next step
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import stat
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from containerkit.builder.state import State
from containerkit.configuration import Configuration
from containerkit.errors import ContainerkitError, RuntimeFailure, Timeout
from containerkit.linux import process
from containerkit.options import LogOptions, settings
from containerkit.results import Chunk
from containerkit.store.ingest import Ingest, Written
from containerkit.store.store import Store
from containerkit.supervise import configjson, launch, processes
from containerkit.supervise.awaiting import Running
from containerkit.supervise.networks import membership
from containerkit.supervise.output import follow
from containerkit.values import frozen

#: Seconds between two looks at a step's output.
_GLANCE = 0.1
#: Of a log so much stays until it has been read.
_LOG = LogOptions(max_size=4 << 20, max_file=2)
#: Bytes of a line that are shown, and of a block of output the lines.
_LONGEST, _MOST = 64 << 10, 1000
#: What a root is like that nothing is said of.
_PLAIN = (stat.S_IFDIR | 0o755, 0, 0)
#: Of a log, lines that an error shows.
LAST_LINES = 20

Told = Callable[[str], None]


@frozen
class Program:
    """What a RUN runs.

    Args:
        command: the program and its arguments.
        env: the variables that are not in the state's config: build arguments.
        hidden: those that are secrets.
        options: limits, network, mounts, as for ``ck.run``.
    """

    command: Sequence[str]
    env: Mapping[str, str]
    options: Mapping[str, Any]
    hidden: Mapping[str, str] = field(default_factory=dict)


class Failed(Exception):
    """It ended with another exit code than 0; ``log`` are its last lines."""

    def __init__(self, exit_code: int, log: str) -> None:
        super().__init__(exit_code)
        self.exit_code, self.log = exit_code, log


class Runner:
    """Runs programs in containers of states.

    Args:
        ingest: where the layers wait.
        deadline: when they are all ended, by the monotonic clock.
        epoch: no file that they write is newer; seconds.
    """

    def __init__(
        self, store: Store, configuration: Configuration, ingest: Ingest, deadline: float | None = None,
        epoch: int | None = None,
    ) -> None:  # fmt: skip
        self._store, self._configuration, self._ingest = store, configuration, ingest
        self._deadline, self._epoch = deadline, epoch
        self._running: set[socket.socket] = set()
        self._is_over = False
        self._hung_up: list[socket.socket] = []
        self._lock = threading.Lock()

    def run(self, state: State, program: Program, told: Told) -> Written | None:
        """What a program changes; None when that is nothing.

        Args:
            told: is given the lines of its output.

        Raises:
            Failed: its exit code is not 0.
            Timeout: the deadline was reached.
            RuntimeFailure: it could not be started.
        """
        name = f"build-{secrets.token_hex(6)}"
        try:
            return self._run(state, program, name, told)
        except ContainerkitError as error:
            # Nobody knows the container, and it is gone.
            error.message = error.message.removeprefix(f"container {name}: ")
            raise

    def _run(self, state: State, program: Program, name: str, told: Told) -> Written | None:
        image = _bare(state).record()
        running = self._start(image, program, name)
        with self._lock:
            self._running.add(running.channel)
            if self._is_over:
                running.channel.shutdown(socket.SHUT_WR)
        try:
            self._wait(running, told)
            mounted = [mount.destination for mount in configjson.read(self._store, running.record.id).mounts]
            written = self._store.snapshots.pack(running.record.id, image, mounted, self._ingest, self._epoch)
            if process.readable(running.channel.fileno(), 0):
                # Its monitor was killed: whoever looked may have removed what was being read.
                raise RuntimeFailure("its monitor was killed while its files were read: build again")
            return None if self._is_nothing(state, written) else written
        finally:
            self._hang_up(running.channel)

    def _start(self, image: Any, program: Program, name: str) -> Running:
        always = {"name": name, "env": {**program.env}, "remove": True, "log_options": _LOG}
        chosen = settings(list(program.command), {**program.options, **always})
        if program.options.get("network") is None:
            chosen = membership.possible(chosen)
        hidden = [f"{name}={value}" for name, value in program.hidden.items()]
        self._store.layers.ensure(image.chain_ids, image.layers, self._ingest)
        with processes.stdin_of(None) as null, launch.whole(self._store) as id:
            return launch.run(
                self._store, self._configuration, image, "build", chosen, null, id=id, tied=True, hidden=hidden
            )  # fmt: skip

    def _wait(self, running: Running, told: Told) -> None:
        log = os.path.join(configjson.directory(self._store, running.record.id), "log")
        with _Listener(log, told) as listener:
            started = running.wait_started(self._store, self._left())
            ended = running.wait_ended(self._store, self._left()) if started else None
        if ended is None:
            raise Timeout("time was up", log=listener.last)
        if ended.exit_code:
            raise Failed(ended.exit_code, listener.last)

    def _left(self) -> float | None:
        return None if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)

    def _is_nothing(self, state: State, written: Written) -> bool:
        """Whether the files are as they were. The root is in every layer."""
        if not written.packed.is_empty:
            return False
        below = self._store.layers.naming_root(state.chain_ids)
        return (_PLAIN if below is None else _looks(below)) == _looks(f"{written.space}/fs")

    def _hang_up(self, channel: socket.socket) -> None:
        with contextlib.suppress(OSError):
            channel.shutdown(socket.SHUT_WR)
        with self._lock:
            self._running.discard(channel)
            self._hung_up = [one for one in (*self._hung_up, channel) if not _is_over(one)]

    def end(self) -> None:
        """End all that run."""
        with self._lock:
            self._is_over = True
            for channel in self._running:
                with contextlib.suppress(OSError):
                    channel.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Wait until all containers are gone."""
        with self._lock:
            channels, self._hung_up = self._hung_up, []
        for channel in channels:
            with channel, contextlib.suppress(OSError):
                while channel.recv(1 << 16):
                    pass


def _bare(state: State) -> State:
    """Without what is for the containers of the finished image."""
    config = replace(
        state.config, entrypoint=None, cmd=None, healthcheck=None, exposed_ports=None, labels=None, stop_signal=""
    )
    return state.with_config(config)


def _is_over(channel: socket.socket) -> bool:
    """Whether a monitor has hung up, too; the channel is closed then."""
    if channel.fileno() < 0:
        return True
    try:
        if channel.recv(1 << 16, socket.MSG_DONTWAIT):
            return False
    except BlockingIOError:
        return False
    except OSError:
        pass
    channel.close()
    return True


def _looks(directory: str | os.PathLike[str]) -> tuple[int, int, int]:
    found = os.stat(directory)
    return found.st_mode, found.st_uid, found.st_gid


class _Listener:
    """Reads a log while it grows, in a thread; for a ``with``. What is written too fast to be read is not seen.

    Args:
        path: of the log.
        told: is given its lines; of many at once the last ones.
    """

    def __init__(self, path: str, told: Told) -> None:
        self._path, self._told = path, told
        self._over = threading.Event()
        self._was_over = False
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._rest: defaultdict[int, bytes] = defaultdict(bytes)  # of each stream, what is no line yet
        self._thread = threading.Thread(target=self._run, daemon=True, name="containerkit-build-output")

    def __enter__(self) -> _Listener:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def last(self) -> str:
        """Its last lines."""
        return "\n".join(self._last)

    def wait(self) -> bool:
        """As one that follows a log: a last look comes when all is written."""
        if self._was_over:
            return False
        self._was_over = self._over.wait(_GLANCE)
        return True

    def close(self) -> None:
        """The same."""

    def _run(self) -> None:
        for chunk in follow.chunks(self._path, follower=self):
            self._take(chunk)
        for rest in filter(None, self._rest.values()):
            self._tell(rest)

    def _take(self, chunk: Chunk) -> None:
        # The first part is all that was before the lines that are shown.
        _, *lines, rest = (b"\n" + self._rest[chunk.stream] + chunk.data).rsplit(b"\n", _MOST + 1)
        for line in lines:
            self._tell(line)
        self._rest[chunk.stream] = rest[:_LONGEST]

    def _tell(self, line: bytes) -> None:
        text = line[:_LONGEST].removesuffix(b"\r").decode(errors="replace")
        self._last.append(text)
        self._told(text)
