"""Formats and grammars: JSON values, passwd, log records, messages, leases, states."""

from __future__ import annotations

import os
import resource
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from containerkit.errors import AlreadyExists, InvalidArgument, InvalidState, NotFound, RuntimeFailure
from containerkit.linux import passing
from containerkit.oci import codec, users
from containerkit.oci.runtime_spec import Mount, Process, Spec
from containerkit.results import Chunk, Result, split_lines
from containerkit.runtime import gate
from containerkit.runtime import messages as inits
from containerkit.store.containers import Containers
from containerkit.store.database import Database
from containerkit.store.events import Events
from containerkit.store.leases import Leases
from containerkit.supervise import messages
from containerkit.supervise.output import log
from containerkit.supervise.output.collected import Output
from containerkit.supervise.output.logfiles import Reader

PASSWD = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/var/www:/bin/sh\n#junk\n1001:x:7:7::/seven:\n"
GROUP = "root:x:0:\nweb:x:34:\nstaff:x:50:web,root\n"


# -- JSON ------------------------------------------------------------------------------------------------------------


def test_values_survive_json() -> None:
    text = (
        '{"root":{"path":"r"},"process":{"args":["a"],"oomScoreAdj":5},'
        '"linux":{"resources":{"memory":{"disableOOMKiller":true}}}}'
    )
    spec = codec.loads(Spec, text, "config.json")
    assert spec.process.oom_score_adj == 5 and spec.linux.resources.memory.disable_oom_killer is True
    assert codec.loads(Spec, codec.dumps(spec), "config.json") == spec
    assert '"disableOOMKiller":true' in codec.dumps(spec) and '"cwd":"/"' in codec.dumps(spec)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "config.json: root is missing"),
        ('{"root":{"path":"r"},"linux":7}', "config.json: linux: expected an object, found 7"),
        ("[]", "config.json: expected an object"),
        ("{", "config.json: not JSON"),
        (b'{"root":{"path":"\xed\xa0\x80"}}', "config.json: not JSON"),
        ('{"root":{"path":"\ud800"}}', "config.json: not JSON"),
        ('{"root":{"path":3}}', "root.path: expected a string, found 3"),
        ('{"root":{"path":"r"},"process":{"args":["a",true]}}', "process.args[1]: expected a string, found true"),
        ('{"root":{"path":"r"},"process":{"user":{"uid":true}}}', "process.user.uid: expected a whole number"),
    ],
)
def test_wrong_types_are_named_by_their_place(text: str | bytes, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        codec.loads(Spec, text, "config.json")
    assert words in str(caught.value)


# -- users -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", users.Identity(0, 0, (0, 50), "/root")),
        ("root", users.Identity(0, 0, (0, 50), "/root")),
        ("web", users.Identity(33, 34, (34, 50), "/var/www")),
        ("33", users.Identity(33, 34, (34, 50), "/var/www")),
        ("web:staff", users.Identity(33, 50, (50,), "/var/www")),
        ("4242", users.Identity(4242, 0, (0,), "/")),
        ("4242:77", users.Identity(4242, 77, (77,), "/")),
        ("1001", users.Identity(7, 7, (7,), "/seven")),  # a name that looks like a number is first a name
    ],
)
def test_users(user: str, expected: users.Identity) -> None:
    assert users.resolve(user, PASSWD, GROUP) == expected


@pytest.mark.parametrize("user", ["nobody2", "web:nosuch", "2147483648", "0:99999999999"])
def test_unknown_users(user: str) -> None:
    with pytest.raises(InvalidArgument):
        users.resolve(user, PASSWD, GROUP)


def test_without_passwd_and_with_more_groups() -> None:
    assert users.resolve("", "", "") == users.Identity(0, 0, (0,), "/root")
    assert users.resolve("5", "", GROUP, ("staff", "9")) == users.Identity(5, 0, (0, 50, 9), "/")


def test_rows_with_numbers_that_there_cannot_be_are_none() -> None:
    passwd = f"a:x:{'9' * 5000}:1\nb:x:5:99999999999\nc:x:4294967295:5\nd:x:4294967294:5\ne\x0cf:x:7:7\n"
    for name in ("a", "b", "c", "f"):
        with pytest.raises(InvalidArgument, match="not in the container's /etc/passwd"):
            users.resolve(name, passwd, GROUP)
    assert users.resolve("d", passwd, f"x:x:{'9' * 5000}:d\ny:x:6:d\n").groups == (5, 6)
    with pytest.raises(InvalidArgument, match="out of range"):
        users.resolve("9" * 5000, passwd, GROUP)


# -- log -------------------------------------------------------------------------------------------------------------


def test_a_log_is_read_as_written_and_ends_at_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = log.LogWriter(str(path))
    writer.write(1, b"one\ntw")
    writer.write(2, b"\xff\0")
    writer.write(1, b"o\n")
    writer.close()
    with path.open("rb") as file:
        assert [(c.stream, c.data) for c in Reader(file.fileno())] == [
            (1, b"one\ntw"),
            (2, b"\xff\0"),
            (1, b"o\n"),
        ]
    os.truncate(path, path.stat().st_size - 1)
    with path.open("rb") as file:
        assert len(list(Reader(file.fileno()))) == 2


def test_lines_are_put_together_over_chunks() -> None:
    chunks = [Chunk(1, 1, b"a\r\nb"), Chunk(2, 2, b"err"), Chunk(3, 1, b"c\nd")]
    lines = [(line.stream, line.text, line.time.timestamp()) for _, line in split_lines(iter(chunks))]
    assert [line[:2] for line in lines] == [("stdout", "a"), ("stdout", "bc"), ("stdout", "d"), ("stderr", "err")]


def test_long_output_moves_to_disk_and_leaves_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    output = Output()
    for number in range(40):
        output.add(1 + number % 2, bytes([number]) * 100_000)
    assert output._chunks == [] and sum(len(chunk.data) for chunk in output()) == 4_000_000
    result = Result(0, chunks=output)
    assert result.stdout_bytes == b"".join(bytes([n]) * 100_000 for n in range(0, 40, 2))
    del output, result
    assert len(os.listdir("/proc/self/fd")) == before


# -- messages --------------------------------------------------------------------------------------------------------


def test_requests_and_descriptors_travel_together() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = messages.Start("id", "name", "/db", "/b", Mount("/", "overlay"), "/log", "/control", remove=True)
    with ours, theirs, open(os.devnull) as file:
        passing.send(ours, messages.encode(request), (file.fileno(), ours.fileno()))
        data, descriptors = messages.receive(theirs)
        assert messages.decode(data) == request
        assert os.fstat(descriptors[0]).st_rdev == os.stat(os.devnull).st_rdev and len(descriptors) == 2
        for descriptor in descriptors:
            assert not os.get_inheritable(descriptor)
            os.close(descriptor)
        ours.close()
        assert messages.receive(theirs) == (b"", [])


def test_a_request_that_does_not_fit_is_refused() -> None:
    request = messages.Enter(1, 2, "/b", ("pid",), "/c", Process(args=("x" * 300_000,)))
    with pytest.raises(InvalidArgument, match="too long"):
        messages.encode(request)


@pytest.mark.parametrize("data", [b"x", b"nosuch {}", b"\xff {}", b"start {}", b"enter 5", b"start " + b"[" * 9999])
def test_what_is_no_request_says_so(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="request: "):
        messages.decode(data)


@pytest.mark.parametrize(
    "data", [b"x", b"nosuch {}", b"started {}", b'exited {"exitCode": "0"}', b"\xff", b"attach []"]
)
def test_who_talks_nonsense_has_hung_up(data: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = len(os.listdir("/proc/self/fd"))
    with ours, theirs:
        passing.send(ours, data, (ours.fileno(),))
        assert messages.receive_reply(theirs) == (None, [])
        assert len(os.listdir("/proc/self/fd")) == before
        failed = messages.Failed("a file \udcff", 126, 2)
        messages.send_reply(ours, failed)
        assert messages.receive_reply(theirs)[0] == messages.Failed("a file ?", 126, 2)


@pytest.mark.parametrize(
    "reply",
    [
        messages.Started(5), messages.Failed("no", 126, 2), messages.Failed("ü"), messages.Exited(0, 0.0),
        messages.Exited(137, 1, oom_killed=True), messages.Signal(15, tree=True), messages.Attach((2,)),
        messages.Attach(),
        messages.Attached(terminal=True), messages.CloseInput(), messages.StayEnded(), messages.HoldStill(),
        messages.Held(), messages.Refresh(), messages.Refreshed(), messages.Worked(), messages.Kept("nothing"),
    ],
)  # fmt: skip
def test_replies_and_descriptors_travel_together(reply: messages.Reply) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        messages.send_reply(ours, reply, (ours.fileno(),))
        found, descriptors = messages.receive_reply(theirs)
        assert found == reply and len(descriptors) == 1
        os.close(descriptors[0])


@pytest.mark.parametrize("receive", [passing.receive, messages.receive, messages.receive_reply, inits.receive])
def test_descriptors_that_there_is_no_room_for_are_an_error(receive: Callable[[socket.socket], object]) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        passing.send(ours, b"word", (ours.fileno(), theirs.fileno()))
        before, limit = os.listdir("/proc/self/fd"), resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(ours.fileno())  # the lowest number, where one of the two goes
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, limit[1]))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                receive(theirs)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize("data", [b"x", b"[]", b"{}", b'{"kind": "failed"}', b'{"kind": []}', b"[" * 9999])
def test_an_init_that_talks_nonsense_has_failed(data: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(data)
        with pytest.raises(RuntimeFailure, match="init: says what is no message"):
            inits.receive(theirs)
    with pytest.raises(RuntimeFailure, match="gate: "):
        gate.read(data)


# -- leases and states -----------------------------------------------------------------------------------------------


def test_a_lease_is_held_by_one_and_ends_with_its_holder(tmp_path: Path) -> None:
    leases = Leases(tmp_path / "leases")
    one, two = "1" * 64, "2" * 64
    assert not leases.is_held(one)
    script = (
        "import sys; from pathlib import Path; from containerkit.store.leases import Leases;"
        f"Leases(Path({str(leases.path)!r})).take({one!r}); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    assert leases.is_held(one) and not leases.is_held(two) and leases.take(one) is None
    holder.kill()
    holder.communicate()
    mine = leases.take(one)
    assert mine is not None and leases.is_held(one)
    os.close(mine)
    assert not leases.is_held(one)
    leases.close()


def test_moves_that_the_table_has_and_others(tmp_path: Path) -> None:
    containers = Containers(Database(tmp_path / "metadata.db"))
    with pytest.raises(NotFound, match="image gone"):
        containers.insert("a" * 64, "web", "sha256:1", "gone", ("true",), {}, False)
    with containers.database.transaction() as connection:
        connection.execute("INSERT INTO images VALUES ('sha256:1', 'm', 't', 1, 1, 0)")
    record = containers.insert("a" * 64, "web", "sha256:1", "image", ("true",), {}, False)
    assert (record.state, record.status) == ("creating", "created")
    with pytest.raises(AlreadyExists, match="container web"):
        containers.insert("b" * 64, "web", "sha256:1", "image", ("true",), {}, False)
    for move, state in [("create", "created"), ("start", "starting"), ("run", "running"), ("exit", "exited")]:
        assert containers.move(record.id, move) == state
    with pytest.raises(InvalidState, match="container web: cannot run: it is exited"):
        containers.move(record.id, "run")
    assert containers.find("aaaa").name == "web"
    containers.delete(record.id, exit_code=4)
    containers.delete(record.id)
    assert Events(containers.database).last_exit(record.id) == 4 and containers.list() == []
    with pytest.raises(NotFound):
        containers.find("web")
    containers.database.close()


def test_a_database_is_made_though_another_process_is_making_it(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.2, other.rollback)
    timer.start()
    database = Database(path)
    with database.transaction() as connection:
        connection.execute("INSERT INTO tags VALUES ('x', 'y')")
    timer.join()
    assert len(other.execute("SELECT * FROM tags").fetchall()) == 1
    other.close()
    database.close()


def test_threads_that_come_and_go_have_connections_of_their_own(tmp_path: Path) -> None:
    # The kernel gives the number of an ended thread to the next one; a connection must not be taken for another's.
    database = Database(tmp_path / "metadata.db")
    counted: list[int] = []

    def work() -> None:
        for _ in range(2):
            with database.transaction() as connection:
                connection.execute("INSERT INTO events (time, type, action, id, name, attributes)"
                                   " VALUES (0, '', '', '', '', '')")  # fmt: skip
            counted.append(len(database.connection().execute("SELECT * FROM events").fetchall()))

    for _ in range(10):
        threads = [threading.Thread(target=work) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(counted) == max(counted) == 400
    database.close()
    numbers = os.listdir("/proc/self/fd")
    names = [os.path.realpath(f"/proc/self/fd/{number}") for number in numbers]
    assert not any(str(tmp_path) in name for name in names), names
