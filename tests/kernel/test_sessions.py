"""Sessions: what is made in one is gone with it, and when its process is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from containerkit import Container, ContainerkitError, Engine, Image, InvalidState, Network, Volume
from containerkit.linux import procfs
from tests.waiting import eventually

#: A process with a session, and all that there may be in one.
SCRIPT = """
import sys
import containerkit as ck
engine = ck.Engine(sys.argv[1], sys.argv[2])
engine.run("busybox", "sleep 600", name="outside")
session = engine.session()
engine.create("busybox", "true", name="created")
engine.run("busybox", "true", name="ended").wait()
engine.run("busybox", "false", name="again", restart="always")
engine.run("busybox", "sleep 600", name="paused").pause()
ck.Network.create("wires", engine=engine)
engine.run("busybox", "sleep 600", name="running", network="wires", volumes=["/scratch", "kept:/kept"])
ck.Volume.create(engine=engine)
print("ready", flush=True)
sys.stdin.read()
"""


def names(engine: Engine) -> set[str]:
    return {container.name for container in engine.containers}


@contextmanager
def process(engine: Engine, before: str = "") -> Iterator[subprocess.Popen[str]]:
    arguments = [sys.executable, "-c", before + SCRIPT, str(engine.paths.root), str(engine.paths.run)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None and running.stdout.readline() == "ready\n"
        yield running


def watchdogs(root: Path) -> list[int]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        if "containerkit.sessions.watchdog" in command and str(root) in command:
            found.append(int(pid))
    return found


def assert_only_what_was_outside_is_left(engine: Engine) -> None:
    assert names(engine) == {"outside"} and engine.containers["outside"].status == "running"
    assert [network.name for network in engine.networks] == ["bridge", "host", "none"]
    assert [volume.name for volume in engine.volumes] == ["kept"]


def test_what_is_made_in_a_with_block_is_gone_after_it(engine: Engine, image: Image) -> None:
    before = engine.create("busybox", "true", name="before")
    with engine.session() as session:
        running, created = engine.run("busybox", "sleep 600"), Container.create("busybox", "true", engine=engine)
        ended = image.run("true", name="ended")
        ended.wait()
        assert {c.id for c in session.containers} == {running.id, created.id, ended.id}
        assert "ended" in repr(session) and "before" not in session._repr_html_()
    assert list(engine.containers) == [before] and session.closed and session.containers == []
    after = engine.create("busybox", "true")
    assert set(engine.containers) == {before, after} and repr(session) == "closed session"
    with pytest.raises(InvalidState, match="session: cannot be entered: it is closed"), session:
        pass


def test_without_a_block_it_lasts_until_it_is_closed(engine: Engine, image: Image) -> None:
    session = engine.session()
    engine.run("busybox", "sleep 600", name="one")
    assert names(engine) == {"one"}
    session.close()
    session.close()
    assert names(engine) == set()


def test_an_error_in_the_block_ends_it_too(engine: Engine, image: Image) -> None:
    with pytest.raises(ZeroDivisionError), engine.session():
        engine.run("busybox", "sleep 600")
        _ = 1 / 0
    assert not engine.containers


def test_the_inner_one_ends_for_itself(engine: Engine, image: Image) -> None:
    with engine.session() as outer:
        engine.create("busybox", "true", name="outer")
        with engine.session() as inner:
            engine.create("busybox", "true", name="inner")
            assert [c.name for c in inner.containers] == ["inner"]
        engine.create("busybox", "true", name="outer-2")
        assert {c.name for c in outer.containers} == {"outer", "outer-2"} == names(engine)


def test_another_engine_s_session_is_its_own_business(engine: Engine, image: Image, tmp_path: Path) -> None:
    other = Engine(tmp_path / "other")
    with other.session():
        engine.create("busybox", "true", name="stays")
    assert names(engine) == {"stays"}
    other.close()


def test_threads_have_their_own_and_else_the_process_s(engine: Engine, image: Image) -> None:
    inside, go_on = threading.Event(), threading.Event()
    found: dict[str, list[str]] = {}

    def work() -> None:
        engine.create("busybox", "true", name="child-of-main")
        with engine.session() as mine:
            engine.create("busybox", "true", name="theirs")
            inside.set()
            go_on.wait(30)
            found["theirs"] = [c.name for c in mine.containers]

    with engine.session() as session:
        thread = threading.Thread(target=work)
        thread.start()
        assert inside.wait(30)
        engine.create("busybox", "true", name="main")  # while the other thread's was opened later
        go_on.set()
        thread.join()
        found["main"] = sorted(c.name for c in session.containers)
    assert found == {"theirs": ["theirs"], "main": ["child-of-main", "main"]} and not engine.containers


def test_networks_and_nameless_volumes_go_and_named_volumes_stay(engine: Engine, image: Image) -> None:
    Network.create("older", engine=engine)
    with engine.session():
        for name in ("older", "newer"):
            Network.create(name, exist_ok=True, labels={"a": "b"}, engine=engine)
        Volume.create("named", engine=engine)
        Volume.create(engine=engine)
        shared = Volume.create(engine=engine)
        engine.run("busybox", "sleep 600", network="newer", volumes=["/data"])
        assert engine.networks["newer"].labels["a"] == "b" and len(engine.volumes) == 4
    assert [network.name for network in engine.networks] == ["bridge", "host", "none", "older"]
    assert [volume.name for volume in engine.volumes] == ["named"] and shared.name not in engine.volumes
    engine.networks["older"].remove()


def test_a_nameless_volume_that_its_containers_use_goes(engine: Engine, image: Image) -> None:
    with engine.session():
        scratch = Volume.create(engine=engine)
        engine.run("busybox", "sleep 600", volumes=[f"{scratch.name}:/scratch"])
    assert len(engine.volumes) == 0


def test_what_the_kernel_refuses_is_told_and_the_rest_goes(engine: Engine, image: Image) -> None:
    session = engine.session()
    engine.create("busybox", "true", name="older")
    engine.create("busybox", "true", name="newer", volumes=["/data"])
    (volume,) = engine.volumes
    subprocess.run(["mount", "-t", "tmpfs", "none", volume.path], check=True)
    try:
        with pytest.raises(ContainerkitError, match="session: device or resource busy"):
            session.close()
        assert names(engine) == set()
    finally:
        for line in procfs.mounts("self"):
            if os.path.dirname(line.target).startswith(str(engine.paths.root)) and line.source == "none":
                subprocess.run(["umount", line.target], check=True)


def test_what_is_in_use_outside_stays_and_is_told(engine: Engine, image: Image) -> None:
    session = engine.session()
    network, volume = Network.create("used", engine=engine), Volume.create(engine=engine)
    engine.run("busybox", "sleep 600", name="mine")
    other = subprocess.run(
        [sys.executable, "-c", "import sys; import containerkit as ck; ck.Engine(sys.argv[1], sys.argv[2])"
         ".run('busybox', 'sleep 600', name='theirs', network='used', volumes=[sys.argv[3] + ':/v'])",
         str(engine.paths.root), str(engine.paths.run), volume.name], check=False,
    )  # fmt: skip
    assert other.returncode == 0
    with pytest.raises(InvalidState, match="network used: "):
        session.close()
    assert names(engine) == {"theirs"} and volume.name in engine.volumes
    engine.containers["theirs"].remove(force=True)
    network.remove()
    volume.remove()


def test_a_killed_process_leaves_nothing(engine: Engine, image: Image) -> None:
    with process(engine) as running:
        assert names(engine) == {"outside", "created", "ended", "again", "paused", "running"}
        running.kill()
    assert eventually(lambda: not watchdogs(engine.paths.root))
    assert_only_what_was_outside_is_left(engine)


def test_a_killed_process_that_had_many_files_open_leaves_nothing(engine: Engine, image: Image) -> None:
    many = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (2048, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
for _ in range(1100):
    os.open("/dev/null", os.O_RDONLY)
"""
    with process(engine, many) as running:
        running.kill()
    assert eventually(lambda: not watchdogs(engine.paths.root))
    assert_only_what_was_outside_is_left(engine)


def test_a_process_that_ends_by_itself_leaves_nothing_once_it_has(engine: Engine, image: Image) -> None:
    with process(engine) as running:
        running.communicate("")
    assert running.returncode == 0 and not watchdogs(engine.paths.root)
    assert_only_what_was_outside_is_left(engine)


def test_when_its_watchdog_is_killed_too_the_next_one_who_looks_ends_it(engine: Engine, image: Image) -> None:
    with process(engine) as running:
        (watchdog,) = watchdogs(engine.paths.root)
        os.kill(watchdog, signal.SIGKILL)
        assert eventually(lambda: not watchdogs(engine.paths.root))
        sweeper = Engine(engine.paths.root, engine.paths.run)
        assert len(sweeper.containers) == 6  # its process lives
        running.kill()
        running.wait()
        sweeper.close()
    assert len(sweeper.containers) == 1
    assert_only_what_was_outside_is_left(engine)
    sweeper.close()


def test_what_an_interrupted_end_has_left_goes_all_the_same(engine: Engine, image: Image) -> None:
    session = engine.session()
    engine.create("busybox", "true", name="older")
    newer = engine.create("busybox", "true", name="newer")
    somebody = engine.store.leases.take(newer.id)
    assert somebody is not None
    timer = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        session.close()  # waits for who has the container's lease
    timer.join()
    assert names(engine) == {"older", "newer"}
    os.close(somebody)
    assert eventually(lambda: not watchdogs(engine.paths.root))
    assert names(engine) == set()


def test_a_forked_child_that_lives_on_holds_nothing_back(engine: Engine, image: Image) -> None:
    script = (
        "import os, sys, time; import containerkit as ck; engine = ck.Engine(sys.argv[1], sys.argv[2])\n"
        "session = engine.session()\n"
        "engine.run('busybox', 'sleep 600', name='one')\n"
        "child = os.fork()\n"
        "if child == 0: time.sleep(600)\n"
        "print(child, flush=True); os.kill(os.getpid(), 9)"
    )
    arguments = [sys.executable, "-c", script, str(engine.paths.root), str(engine.paths.run)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        child = int(running.stdout.readline())
        running.wait()
        try:
            assert eventually(lambda: not watchdogs(engine.paths.root))
            assert names(engine) == set() and Path(f"/proc/{child}").exists()
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_forked_child_makes_things_in_it_and_does_not_end_it(engine: Engine, image: Image) -> None:
    def work() -> None:
        engine.create("busybox", "true", name="child-s")
        session.close()

    with engine.session() as session:
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join()
        assert [c.name for c in session.containers] == ["child-s"]
    assert not engine.containers
