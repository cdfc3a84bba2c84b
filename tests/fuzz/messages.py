"""What the SDK, the spawner, monitors and inits tell each other: any process of the same user can send bytes there."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any, cast

from hypothesis import strategies as st

from containerkit.linux import passing
from containerkit.linux.loop import Loop
from containerkit.oci import codec
from containerkit.oci.runtime_spec import Mount, Process
from containerkit.runtime import gate
from containerkit.runtime import messages as inits
from containerkit.supervise import control, messages
from containerkit.supervise.messages import Attach, Enter, Exited, Failed, Keep, Probe, Start, Started, Work
from containerkit.supervise.output.log import LogWriter
from containerkit.supervise.output.streams import Streams
from tests.fuzz.case import parser
from tests.fuzz.edits import documents, spoiled

_START = Start(
    "id",
    "name",
    "/db",
    "/bundle",
    Mount("/x"),
    "/log",
    "/control",
    health=Probe(("a",), 1.0, 2.0, 3, 4.0, 5.0),
    owner=(5, 6),
)
_ENTER = Enter(5, 6, "/bundle", ("pid",), "/x", Process(args=("a",)), owner=(1, 2))
_REQUESTS = (_START, _ENTER, Work(("/a",), 5), Keep("/s", "/l"))


def _of(kind: bytes, body: bytes) -> bytes:
    return kind + b" " + body


def _messages(some: Any, kinds: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    bodies = documents(*[codec.encode(one) for one in some])
    return st.one_of(st.builds(_of, st.sampled_from(kinds), bodies), spoiled(*[messages.encode(one) for one in some]))


@parser("request", _messages(_REQUESTS, (b"start", b"enter", b"work", b"keep", b"other")), subject="request")
def _request(data: bytes) -> None:
    found = messages.decode(data)
    assert messages.decode(messages.encode(found)) == found


_REPLIES = (
    Started(5),
    Failed("no", 125, 2),
    Exited(0, 1.5, True),
    Attach((1, 2)),
    messages.CloseInput(),
    messages.Kept("x"),
    messages.Refresh(),
)
_REPLY = _messages(
    _REPLIES,
    (b"started", b"failed", b"exited", b"attach", b"signal", b"hold_still", b"stay_ended", b"refresh", b"start"),
)


@parser("reply", _REPLY, subject="message")
def _reply(data: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, open(os.devnull) as file:
        ours.settimeout(5)
        ours.send(data[:60_000]) if len(data) % 2 else passing.send(ours, data[:60_000], [file.fileno()])
        _, descriptors = messages.receive_reply(theirs)
        for one in descriptors:
            os.close(one)


class _Holds:
    """Nobody can be held here."""

    def take(self, connection: int) -> None:
        raise OSError(95, "not supported")

    def leave(self, connection: int) -> None:
        pass


@parser("control", st.lists(st.tuples(_REPLY, st.integers(0, 3)), max_size=6))
def _control(case: list[tuple[bytes, int]]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    loop = Loop()
    with tempfile.TemporaryDirectory() as place, open(os.devnull, "wb") as file:
        path = str(Path(place, "control"))
        log = LogWriter(str(Path(place, "log")))
        streams = Streams(loop, log)
        listening = control.Control(loop, path, lambda: streams, lambda: None, cast(Any, _Holds()), lambda: None)
        with control.connect(path) as client:
            client.setblocking(False)
            for data, count in case:
                try:
                    passing.send(client, data[:60_000] or b"x", [file.fileno()] * count)
                except (BrokenPipeError, BlockingIOError, ConnectionResetError):
                    break
                for _ in range(2):
                    loop.after(0, lambda: None)
                    loop.turn()
        listening.close()
        streams.finish()
        log.close()
    assert len(os.listdir("/proc/self/fd")) == before, "descriptors are left open"


_READY = {"kind": "failed", "text": "no", "errno": 2, "exit_code": 125}


@parser("init", documents(_READY, {"kind": "ready"}, {"kind": "executing", "costs": [1, 2]}), subject="init")
def _init(data: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.settimeout(5)
        ours.send(data[:60_000] or b"x")
        message, _ = inits.receive(theirs)
        assert message is not None
        if message["kind"] == "failed":
            str(inits.failure(message))


_ARRIVAL = {"cost": 5, "view": {"hostname": "a", "pid": 1, "uid": 0, "gid": 0, "directory": "/"}}


@parser(
    "gate",
    documents(_ARRIVAL, {"cost": None, "view": {"hostname": "", "pid": 1, "uid": 0, "gid": 0, "directory": ""}}),
    subject="gate",
)
def _gate(data: bytes) -> None:
    gate.read(data)
