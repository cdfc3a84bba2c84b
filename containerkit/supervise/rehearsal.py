"""Going through the motions of a start, without the kernel's part.

A forked child shares its pages with its parent until it writes to them, and even to read a Python object is to write
its reference count: some thousand page faults, at some microseconds each, in the middle of a start. A spare rehearses
while nobody waits for it, and has those pages to itself when the request comes.

What is made at a first use, like the constructors of values (values.py), is made by the spawner's own rehearsal for all
spares: so the values here are of every kind that an ordinary start takes.
"""

from __future__ import annotations

import os
import pickle
import select
import socket
import sqlite3
from functools import cache

from containerkit.linux.cgroups import Cgroup
from containerkit.linux.loop import Loop
from containerkit.net.firewall import Translation
from containerkit.net.links import Plug, Segment
from containerkit.net.publishing import Wanted
from containerkit.oci import codec
from containerkit.oci.runtime_spec import (
    Capabilities,
    DeviceCgroup,
    Linux,
    Mount,
    Namespace,
    Process,
    Resources,
    Root,
    Seccomp,
    SeccompArg,
    SeccompSyscall,
    Spec,
)
from containerkit.runtime import bundle, plan
from containerkit.runtime import messages as runtime_messages
from containerkit.runtime.operation import Context
from containerkit.runtime.understudy import Part
from containerkit.store.containers import Containers, process_columns
from containerkit.store.database import Database
from containerkit.supervise import messages
from containerkit.supervise.output.log import LogWriter
from containerkit.supervise.output.streams import Streams

_SPEC = Spec(
    Root("rootfs"),
    Process(args=("true",), env=("PATH=/bin",), capabilities=Capabilities(("CAP_CHOWN",), ("CAP_CHOWN",))),
    hostname="rehearsal",
    mounts=(Mount("/proc", "proc", "proc", ("nosuid",)), Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "mode=755"))),
    linux=Linux(
        namespaces=tuple(Namespace(kind) for kind in ("mount", "uts", "ipc", "pid", "cgroup", "network")),
        cgroups_path="/rehearsal",
        resources=Resources(devices=(DeviceCgroup(False),)),
        masked_paths=("/proc/kcore",),
        readonly_paths=("/proc/sys",),
        sysctl={"net.ipv4.ip_unprivileged_port_start": "0"},
        seccomp=Seccomp("SCMP_ACT_ALLOW", syscalls=(SeccompSyscall((), "SCMP_ACT_ERRNO", 1, (SeccompArg(0, 0, ""),)),)),
    ),
)
_NETWORKED = messages.Networked("root", "lock", (Wanted("tcp", "", 8080, 8080, 80),))
_OVERLAY = Mount("/", "overlay", "overlay", ("lowerdir=/a:/b", "upperdir=/c", "workdir=/d"))


def rehearse() -> None:
    """Everything that a monitor and a helper do in Python and SQLite, on values of no consequence."""
    _read_and_plan()
    _connect()
    _talk()
    _listen_and_copy()
    _write_down()


def rehearse_part() -> None:
    """What an understudy does in Python before it plays."""
    for script in _scripts():
        part: Part = pickle.loads(script)
        part.with_descriptors({0: 0, 1: 1, 2: 2})
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        runtime_messages.send(theirs.fileno(), "executing", costs=[1])


@cache
def _scripts() -> tuple[bytes, ...]:
    context = Context(cgroup=Cgroup("/rehearsal"), seccomp_filter=b"rehearsal")
    plans = plan.build(_SPEC, _OVERLAY), plan.build_enter(_SPEC.process, "/rehearsal", filtered=True)
    return tuple(pickle.dumps(Part(one.inside, context, (0, 1, 2)), pickle.HIGHEST_PROTOCOL) for one in plans)


def _read_and_plan() -> None:
    start = messages.Start("id", "name", "database", "bundle", _OVERLAY, "log", "control", networked=_NETWORKED)
    enter = messages.Enter(1, 1, "bundle", ("pid",), "/rehearsal", _SPEC.process, filtered=True)
    for request in (start, enter):
        messages.decode(messages.encode(request))
    spec = bundle.validate(codec.loads(Spec, codec.dumps(_SPEC), "config.json"))
    plan.build_enter(spec.process, "/rehearsal", filtered=False)
    pickle.dumps(plan.build(spec, _OVERLAY), pickle.HIGHEST_PROTOCOL)


def _connect() -> None:
    """The values that a container's cables and published ports are said with."""
    Plug(Segment("bridge", "rehearsal", "id"), "eth0", (("192.0.2.2", 24),), "02:00:00:00:00:01", ("192.0.2.1",))
    Translation("tcp", "", 8080, "192.0.2.2", 80)


def _talk() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        messages.send_reply(ours, messages.Started(1))
        messages.receive_reply(theirs)
        messages.send_reply(ours, messages.Exited(0, 0.0), (ours.fileno(),))
        _, descriptors = messages.receive_reply(theirs)
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
        poll.poll(0)
        os.close(descriptor)


def _listen_and_copy() -> None:
    """What a monitor does while its container writes and ends."""
    loop, log = Loop(), LogWriter(os.devnull)
    streams = Streams(loop, log)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    ends = streams.open_pipes(null, keep_open=False)
    os.write(ends[1], b"rehearsal\n")
    loop.turn()
    for descriptor in (null, *ends):
        os.close(descriptor)
    streams.finish()
    log.close()


class _Stage(Database):
    """A database in memory, whose tables are not made anew each time."""

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.deserialize(_tables())
        return connection


@cache
def _tables() -> bytes:
    database = Database(":memory:")
    data = database.connection().serialize()
    database.close()
    return data


def _write_down() -> None:
    database = _Stage(":memory:")
    containers = Containers(database)
    with database.transaction() as connection:
        connection.execute("INSERT INTO images VALUES ('image', 'm', 't', 1, 1, 0)")
    containers.insert("id", "name", "image", "image", ("true",), {}, True)
    containers.move("id", "run", started=0.0, **process_columns(1, 1, 1, 1))
    containers.delete("id", exit_code=0)
    database.close()
