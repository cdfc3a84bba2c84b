"""What the SDK process, the spawner and its children tell each other.

::

    SDK                                                a spare, then monitor, helper, worker or keeper
     |-- Start|Enter|Work|Keep + fds --------------------------->|
     |<------------------------------- taken --------------------|   no answer: nothing was done, ask again
     |<------------ started | worked | kept | failed ------------|
     |-- signal ------------------------------------------------>|   helper only
     |<------------------------------- exited -------------------|   monitor and helper only

Requests go over the one socket of the spawner; each brings its own reply socket, so that any number of threads can
wait for answers at once. All sockets are SOCK_SEQPACKET: one message, one read.

Descriptors: Start brings (reply, lease, stdin), and both gates where it has a stepper; Enter brings (reply, stdin,
stdout, stderr); Work (reply, order, result); Keep (reply, lock). ``started`` brings the master of an exec'd process's
terminal, where it has one.

An ordinary user's requests may bring more: the user namespace to be in, and after it the network namespace; Start also
the connection to their keeper. The keeper answers with ``kept`` and both namespaces, and whoever connects to its socket
gets that answer, too (networks/sharing.py).

Whoever wants something of a running container speaks to its monitor's control socket, from any process::

    SDK                                       monitor
     |-- attach + where output goes ------------>|
     |<---------------- attached + its input ----|     until the connection is closed
     |-- close_input --------------------------->|
     |-- stay_ended ---------------------------->|     a stop, also while it waits for its next start
     |-- refresh ------------------------------->|     its networks are others, in its rows
     |<------------------- refreshed | failed ---|
     |-- hold_still ---------------------------->|
     |<------------------------ held | failed ---|     paused until the connection is closed
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from containerkit.errors import ContainerkitError, InvalidArgument, RuntimeFailure, from_os_error, start_exit_code
from containerkit.linux import passing
from containerkit.net.publishing import Wanted
from containerkit.oci import codec
from containerkit.oci.runtime_spec import Mount, Process, Spec
from containerkit.values import frozen

_LIMIT = 200_000  # net.core.wmem_default is 208 KiB


@frozen
class Probe:
    """A health check as it is carried out: what runs, and times in seconds."""

    args: tuple[str, ...]
    interval: float
    timeout: float
    retries: int
    start_period: float
    start_interval: float


@frozen
class Networked:
    """What a monitor is told of its container's networks; the rest is in their rows.

    Args:
        root: of the engine, whose firewall it is.
        lock: a file: held by whoever makes bridges or lays the firewall.
        ports: what shall be published.
        has_names: it has a resolver.
        servers: who the resolver asks what it does not know.
        links: (alias, container): names that only this container has for others.
        serves_names: it has a name server of its own, at port 53.
    """

    root: str
    lock: str
    ports: tuple[Wanted, ...] = ()
    has_names: bool = False
    servers: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    serves_names: bool = False


@frozen
class Start:
    """Start the container whose bundle is ready; its lease comes along.

    ``database`` is where its row is, ``overlay`` the mount that makes its root, ``control`` the socket it is spoken to
    by, ``aside`` where its directory goes when nobody needs it any more. ``fresh``: it was made for this start, and
    goes if the start fails; ``has_run``: it was started before; ``remove``: it goes when it ends; ``volumes``: those of
    its that are no plain directories of ours (volumes/drivers.py); ``path``: where Python finds their drivers;
    ``owner``: the process (pid, start time) that it is tied to: it ends when that one hangs up or is gone, and what it
    leaves stays until then; ``hidden``: more of its environment, which is written down nowhere; ``stepper``: the
    process (pid, start time) that walks through it, at gates (runtime/gate.py).
    """

    id: str
    name: str
    database: str
    bundle: str
    overlay: Mount
    log: str
    control: str
    aside: str = ""
    log_size: int = -1
    log_files: int = 1
    fresh: bool = False
    has_run: bool = False
    remove: bool = False
    stdin_open: bool = False
    health: Probe | None = None
    networked: Networked | None = None
    volumes: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None
    hidden: tuple[str, ...] = ()
    stepper: tuple[int, int] | None = None
    kind: str = "start"


@frozen
class Enter:
    """Run ``process`` in the running container with that init, in its ``namespaces`` (the specification's names).

    ``owner`` is the host's user and group that it will be, where the container has users of its own; ``database`` where
    it is written down as an event, or empty.
    """

    pid: int
    pid_started: int
    bundle: str
    namespaces: tuple[str, ...]
    cgroup: str
    process: Process
    filtered: bool = False
    owner: tuple[int, ...] | None = None
    database: str = ""
    kind: str = "enter"

    @classmethod
    def of(cls, spec: Spec, pid: int, pid_started: int, bundle: str, process: Process) -> Enter:
        """The request for one more process in a container of that configuration."""
        linux = spec.linux
        return cls(
            pid, pid_started, bundle, tuple(entry.type for entry in linux.namespaces), linux.cgroups_path, process,
            filtered=linux.seccomp is not None, owner=linux.host_ids(process.user),
        )  # fmt: skip


@frozen
class Work:
    """Call a function in the user namespace (worker.py), or in that of the process ``pid``.

    ``path`` is where it may import from.
    """

    path: tuple[str, ...]
    pid: int = 0
    kind: str = "work"


@frozen
class Keep:
    """Keep the network namespace of an ordinary user's containers, and listen at ``socket``; ``lock`` is a file."""

    socket: str
    lock: str
    kind: str = "keep"


Request = Start | Enter | Work | Keep
_KINDS: dict[str, Any] = {one.kind: one for one in Request.__args__}
_OWN_DESCRIPTORS = {"start": 2, "enter": 3, "work": 2, "keep": 1}


def own_descriptors(request: Request) -> int:
    """How many descriptors a request brings, but its reply; those after them say where it is carried out."""
    gates = 2 if isinstance(request, Start) and request.stepper is not None else 0
    return _OWN_DESCRIPTORS[request.kind] + gates


def encode(request: Request) -> bytes:
    """The request's bytes.

    Raises:
        InvalidArgument: it does not fit one message (arguments and environment of an exec).
    """
    data = codec.dumps(request).encode()
    if len(data) > _LIMIT:
        raise InvalidArgument(
            f"request: {len(data)} bytes are too long ({_LIMIT}): fewer arguments, variables or published ports"
        )
    return _labelled(request.kind, data)


def _labelled(kind: str, data: bytes) -> bytes:
    # The codec leaves defaults out; the kind is what tells messages apart.
    return kind.encode() + b" " + data


def decode(data: bytes) -> Request:
    """The request that :func:`encode` made.

    Raises:
        InvalidArgument: it is none.
    """
    request: Request = _decoded(data, _KINDS, "request")
    return request


def _decoded(data: bytes, kinds: Mapping[str, Any], where: str) -> Any:
    kind, _, body = data.partition(b" ")
    known = kinds.get(kind.decode(errors="replace"))
    if known is None:
        raise InvalidArgument(f"{where}: {kind[:40]!r}: of no known kind")
    return codec.loads(known, body, where)


def receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    """The next message and its descriptors; empty at the end of file.

    Raises:
        OSError: not all of its descriptors may be had here; none is.
    """
    return passing.receive(channel, _LIMIT + 64)


def receive_request(channel: socket.socket) -> tuple[bytes, list[int], bool]:
    """The next request, and its descriptors as far as they may be had here, so that whoever asks can be told over the
    first one, which is for the reply; and whether that is all. Empty at the end of file.
    """
    return passing.receive_part(channel, _LIMIT + 64)


#: The first answer, before anything is done: from here on the request outlives the spawner.
TAKEN = b"taken"


@frozen
class Started:
    """The program runs; ``pid`` is its host pid."""

    pid: int
    kind: str = "started"


@frozen
class Failed:
    """It could not be started, and nothing of it is left."""

    text: str
    exit_code: int = 125
    errno: int | None = None
    kind: str = "failed"

    @classmethod
    def of(cls, problem: ContainerkitError | OSError, subject: str) -> Failed:
        """What ``problem`` is told as; an ``OSError`` is about ``subject``."""
        error = from_os_error(problem, subject) if isinstance(problem, OSError) else problem
        return cls(error.message, exit_code=start_exit_code(error), errno=error.errno)

    def error(self, subject: str) -> RuntimeFailure:
        """The error this stands for, about ``subject``."""
        advice = _advice(self.text) if self.exit_code == 127 else ""
        return RuntimeFailure(f"{subject}: {self.text}{advice}", exit_code=self.exit_code, errno=self.errno)


@frozen
class Exited:
    """It ended. ``duration`` in seconds."""

    exit_code: int
    duration: float
    oom_killed: bool = False
    kind: str = "exited"


@frozen
class Signal:
    """Send a signal to the exec'd process; ``tree``: kill all that it started, too."""

    number: int = 9
    tree: bool = False
    kind: str = "signal"


@frozen
class Attach:
    """Copy output to the descriptors that come along, of ``streams`` (1 and 2), from now on.

    The answer is ``Attached``, with a descriptor for input when that is open.
    """

    streams: tuple[int, ...] = (1, 2)
    kind: str = "attach"


@frozen
class Attached:
    """``terminal``: the descriptor is a terminal's."""

    terminal: bool = False
    kind: str = "attached"


@frozen
class CloseInput:
    """The program shall read the end of its input."""

    kind: str = "close_input"


@frozen
class StayEnded:
    """Whatever the restart policy says, it is not started again."""

    kind: str = "stay_ended"


@frozen
class HoldStill:
    """Pause the container as long as this connection lasts. The answer is ``Held``, or ``Failed``."""

    kind: str = "hold_still"


@frozen
class Held:
    """It is still."""

    kind: str = "held"


@frozen
class Refresh:
    """Its networks are others now. The answer is ``Refreshed``, or ``Failed``."""

    kind: str = "refresh"


@frozen
class Refreshed:
    """They are as the rows say."""

    kind: str = "refreshed"


@frozen
class Worked:
    """The function has been called, and its result lies ready."""

    kind: str = "worked"


@frozen
class Kept:
    """The networks are there: the user namespace and the network namespace come along, for as long as the connection.

    ``problem``: why nothing reaches the outside, or empty.
    """

    problem: str = ""
    kind: str = "kept"


Reply = (
    Started | Failed | Exited | Signal | Attach | Attached | CloseInput | StayEnded | HoldStill | Held | Worked
    | Refresh | Refreshed | Kept
)  # fmt: skip
_REPLIES: dict[str, Any] = {one.kind: one for one in Reply.__args__}


def send_reply(channel: socket.socket, reply: Reply, descriptors: Sequence[int] = ()) -> None:
    """Send a reply, or a word of the caller's; a peer that is gone is not an error: it does not want to know."""
    # Words of an error may have halves of characters in them: names of files, mostly.
    data = codec.dumps(reply).encode(errors="replace")
    try:
        passing.send(channel, _labelled(reply.kind, data), descriptors)
    except (BrokenPipeError, ConnectionResetError):
        pass


def receive_reply(channel: socket.socket) -> tuple[Reply | None, list[int]]:
    """The next reply and its descriptors; None when the other side has ended, or talks nonsense (it may be anybody).

    Raises:
        OSError: as for :func:`receive`.
    """
    try:
        data, descriptors = receive(channel)
    except ConnectionResetError:
        return None, []
    if not data:
        return None, []
    try:
        return _decoded(data, _REPLIES, "message"), descriptors
    except InvalidArgument:
        for descriptor in descriptors:
            os.close(descriptor)
        return None, []


def _advice(text: str) -> str:
    """What whoever has named a program that is not there may have meant."""
    program = text.removeprefix("program ").partition(":")[0]
    if program.startswith("-"):
        return " (options are keywords: tty=True)"
    if program in _OF_SHELLS:
        return f' (it is a shell\'s own: ["sh", "-c", "{program} …"])'
    return ' (many images have "sh" alone)' if program == "bash" else ""


#: Commands that are no programs.
_OF_SHELLS = ("cd", "export", "source", "alias", "set", "ulimit", "umask", "exit", "if", "for", "while")
