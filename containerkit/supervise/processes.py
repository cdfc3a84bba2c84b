"""Processes in a running container, from the SDK's side: exec and popen."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from containerkit.errors import InvalidState, RuntimeFailure, about
from containerkit.linux.process import readable
from containerkit.oci.runtime_spec import Process, Spec
from containerkit.store.containers import ContainerRecord
from containerkit.store.store import Store
from containerkit.supervise import messages
from containerkit.supervise.client import spawner
from containerkit.supervise.output.collected import Output
from containerkit.supervise.output.log import READ_SIZE


@contextlib.contextmanager
def stdin_of(data: bytes | str | None) -> Iterator[int]:
    """A descriptor to read ``data`` from, or the end of file at once; open for the time of the block.

    A file in memory rather than a pipe: nobody has to feed it, so nothing can deadlock.
    """
    descriptor = _readable(data)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _readable(data: bytes | str | None) -> int:
    if data is None:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    descriptor = os.memfd_create("containerkit-stdin", os.MFD_CLOEXEC)
    view = memoryview(data.encode() if isinstance(data, str) else data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


@dataclass
class Session:
    """One exec'd process. It ends, with all it started, when ``channel`` is closed."""

    subject: str
    channel: socket.socket
    pid: int
    terminal: int | None = None
    exited: messages.Exited | None = None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def signal(self, number: int, *, tree: bool = False) -> None:
        """Send a signal to the process; with ``tree``, kill it and all it started."""
        if self.exited is None:
            messages.send_reply(self.channel, messages.Signal(number, tree))

    def resize(self, rows: int, columns: int) -> None:
        """The terminal's new size in characters; in force when this returns."""
        if self.terminal is None:
            raise InvalidState(f"{self.subject}: cannot resize: the process has no terminal")
        termios.tcsetwinsize(self.terminal, (rows, columns))

    def wait(self, timeout: float | None = None) -> messages.Exited | None:
        """How it ended; None when it has not after ``timeout`` seconds."""
        with self._lock:
            if self.exited is None and readable(self.channel.fileno(), timeout):
                self.receive()
            return self.exited

    def receive(self) -> None:
        """Take the reply that has come."""
        reply, _ = messages.receive_reply(self.channel)
        # No reply: the helper was killed, and the process with it, or soon by the container's end.
        self.exited = reply if isinstance(reply, messages.Exited) else messages.Exited(137, 0.0)

    def end(self) -> None:
        """Kill it and all it started, and wait for that."""
        self.signal(9, tree=True)
        self.wait(10)

    def close(self) -> None:
        """Let it go: what still runs is ended."""
        self.channel.close()
        if self.terminal is not None:
            os.close(self.terminal)
            self.terminal = None


def open_session(
    store: Store, record: ContainerRecord, spec: Spec, process: Process, streams: Sequence[int]
) -> Session:
    """Start ``process`` in a running container.

    Args:
        spec: the container's configuration.
        streams: descriptors of its standard input, output and error; they stay the caller's.

    Raises:
        InvalidState: the container does not run.
        RuntimeFailure: the process could not be started.
    """
    subject = f"container {record.name}"
    if record.state != "running" or record.pid is None or record.pid_started is None:
        state = "about to end" if record.state == "running" else record.status
        raise InvalidState(f"{subject}: cannot exec: it is {state}")
    directory = os.path.join(store.paths.containers, record.id)
    request = messages.Enter.of(spec, record.pid, record.pid_started, directory, process)
    request = replace(request, database=str(store.paths.database))
    channel = spawner.request(request, streams)
    try:
        with about(subject):
            reply, descriptors = messages.receive_reply(channel)
    except BaseException:
        channel.close()
        raise
    if isinstance(reply, messages.Started):
        return Session(subject, channel, reply.pid, descriptors[0] if descriptors else None)
    channel.close()
    if isinstance(reply, messages.Failed):
        raise reply.error(subject)
    raise RuntimeFailure(f"{subject}: the process's helper was killed while starting it")


def collect(session: Session, outputs: dict[int, int], timeout: float | None) -> tuple[messages.Exited | None, Output]:
    """Read a session's output until it has ended. Closes the descriptors.

    Args:
        outputs: descriptor → stream number.
        timeout: seconds; when they are up the process and all it started are killed.

    Returns:
        How it ended (None: time was up) and what it wrote.
    """
    output = Output()
    poll = select.poll()
    for descriptor in (session.channel.fileno(), *outputs):
        os.set_blocking(descriptor, False)
        poll.register(descriptor, select.POLLIN)
    deadline = None if timeout is None else time.monotonic() + timeout
    late = False
    try:
        while session.exited is None:
            rest = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = poll.poll(None if rest is None else rest * 1000 + 1)
            if not ready:
                late, deadline = True, None
                session.signal(9, tree=True)
            for descriptor, _ in ready:
                if descriptor == session.channel.fileno():
                    session.receive()
                else:
                    _read(descriptor, outputs[descriptor], output, poll)
        _drain(outputs, output)
    finally:
        for descriptor in outputs:
            os.close(descriptor)
    return (None if late else session.exited), output


def _read(descriptor: int, stream: int, output: Output, poll: select.poll) -> None:
    try:
        data = os.read(descriptor, READ_SIZE)
    except BlockingIOError:
        return
    except OSError:
        data = b""
    if data:
        output.add(stream, data)
    else:
        poll.unregister(descriptor)


def _drain(outputs: dict[int, int], output: Output) -> None:
    # What a process left in the background holds open is not waited for.
    for descriptor, stream in outputs.items():
        try:
            while data := os.read(descriptor, READ_SIZE):
                output.add(stream, data)
        except OSError:
            continue
