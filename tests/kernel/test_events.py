"""What happened, seen from any process; top, diff, inspect, prune, and the start after a reboot."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image
from tests.waiting import eventually


def test_a_life_in_events(engine: Engine, image: Image) -> None:
    began = time.time()
    container = engine.run("busybox", "sleep 60", name="web", labels={"tier": "front"}, stop_signal="KILL")
    container.pause().unpause().rename("site").kill("USR1")
    container.stop()
    container.remove()
    found = list(engine.events(since=began, filters={"type": "container"}))
    assert [event.action for event in found] == [
        "create",
        "start",
        "pause",
        "unpause",
        "rename",
        "kill",
        "die",
        "destroy",
    ]
    assert found[0].name == "web" and found[4].attributes["oldName"] == "web" and found[-1].name == "site"
    assert found[6].attributes["exitCode"] == "137" and found[6].attributes["tier"] == "front"
    assert {event.id for event in found} == {container.id} and found[0].time.tzinfo is not None
    assert [e.action for e in engine.events(filters={"event": ["die", "start"], "label": "tier=front"})] == [
        "start",
        "die",
    ]
    assert list(engine.events(filters={"container": "nobody"})) == []
    with pytest.raises(ck.InvalidArgument, match="filter colour"):
        engine.events(filters={"colour": "red"})


def test_events_of_another_process_are_followed(engine: Engine, image: Image) -> None:
    seen: list[str] = []
    follower = engine.events(follow=True, filters={"container": "elsewhere"}, until=time.time() + 20)

    def follow() -> None:
        for event in follower:
            seen.append(event.action)
            if event.action == "destroy":
                return

    thread = threading.Thread(target=follow)
    thread.start()
    code = f"""
import containerkit as ck
engine = ck.Engine({str(engine.paths.root)!r}, {str(engine.paths.run)!r})
engine.call("busybox", "true", name="elsewhere")
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(ck.__file__).parents[1], timeout=60)
    thread.join(15)
    follower.close()  # type: ignore[attr-defined]  # a generator
    assert seen == ["create", "start", "die", "destroy"]


def test_health_and_memory_are_told_of(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", name="well", healthcheck={"test": "true", "interval": 0.05}):
        for event in engine.events(follow=True, since=0, until=time.time() + 10, filters={"event": "health_status"}):
            assert event.action == "health_status: healthy"
            return
    pytest.fail("no event")


def test_top(engine: Engine, image: Image) -> None:
    with engine.run("busybox", ["sh", "-c", "sleep 100 & sleep 200; true"], user="web") as container:
        wanted = {"sh -c sleep 100 & sleep 200; true", "sleep 100", "sleep 200"}
        while set(rows := {row.command: row for row in container.top()}) != wanted:
            time.sleep(0.01)
        shell = rows["sh -c sleep 100 & sleep 200; true"]
        assert (shell.container_pid, shell.pid) == (1, container.pid) and rows["sleep 100"].ppid == shell.pid
        assert shell.user == "www-data" and shell.memory_bytes > 0 and shell.state in "SRD"
        assert abs(shell.started.timestamp() - time.time()) < 10


def test_files_that_a_network_brings_are_no_changes(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", "cat /etc/hosts /etc/resolv.conf /etc/hostname")
    assert container.wait(timeout=60) == 0 and container.diff() == []
    changed = engine.run("busybox", ["sh", "-c", "echo x >/etc/new; chmod 700 /etc"])
    changed.wait(timeout=60)
    assert [str(change) for change in changed.diff()] == ["C /etc", "A /etc/new"]


def test_diff(engine: Engine, image: Image) -> None:
    script = (
        "echo x > /new; echo y >> /etc/passwd; rm /etc/group; mkdir -p /a/b; rm -r /root; mkdir /root; touch /root/f"
    )
    container = engine.run("busybox", ["sh", "-c", script])
    container.wait(timeout=60)
    found = {(change.path, change.kind) for change in container.diff()}
    assert found == {
        ("/new", "added"), ("/etc", "changed"), ("/etc/passwd", "changed"), ("/etc/group", "deleted"), ("/a", "added"),
        ("/a/b", "added"), ("/root", "changed"), ("/root/f", "added"),
    }  # fmt: skip
    assert [change.path for change in container.diff()] == sorted(change.path for change in container.diff())


def test_inspect_with_a_format(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", name="web", memory="64m", env={"A": "1"}) as container:
        assert container.inspect(format="{{.State.Pid}} {{.HostConfig.Memory}}") == f"{container.pid} {64 << 20}"
        assert container.inspect(format="{{.Name}}") == "/web"
        with pytest.raises(ck.InvalidArgument, match="there is no Nonsense"):
            container.inspect(format="{{.Nonsense}}")


def test_prune(engine: Engine, image: Image) -> None:
    running = engine.run("busybox", "sleep 60", name="running")
    for name in ("bb", "aa"):
        engine.run("busybox", "dd if=/dev/zero of=/big bs=1M count=2", name=name).wait(timeout=60)
    engine.create("busybox", "true", name="cc")
    report = engine.prune(filters={"name": "aa"})
    assert report.containers == ("aa",) and report.space_reclaimed >= 2 << 20
    assert engine.prune().containers == ("bb", "cc")
    assert [one.name for one in engine.containers] == ["running"]
    running.remove(force=True)


def test_after_a_reboot_one_call_starts_what_should_run(engine: Engine, image: Image) -> None:
    names = {"always": "always", "stopped": "unless-stopped", "unless": "unless-stopped", "no": "no"}
    for name, policy in names.items():
        engine.run("busybox", "sleep 60", name=name, restart=policy)
    engine.containers["stopped"].stop(timeout=0)
    # What a reboot leaves: rows of another boot, no process, no lease, an empty run directory.
    for container in engine.containers:
        record = engine.store.containers.read(container.id)
        assert record is not None
        if record.monitor is not None:
            os.kill(record.monitor, 9)
            while container.status == "running":
                time.sleep(0.01)
    assert {container.status for container in engine.containers} == {"exited"}
    assert sorted(container.name for container in engine.boot()) == ["always", "unless"]
    assert engine.boot() == []
    for container in engine.containers:
        container.remove(force=True)


def test_out_of_memory_is_an_event(engine: Engine, image: Image) -> None:
    script = "head -c 100000000 /dev/zero | tail >/dev/null"
    assert engine.call("busybox", ["sh", "-c", script], memory="16m", name="hungry").oom_killed
    actions = [event.action for event in engine.events(filters={"container": "hungry"})]
    assert "oom" in actions and actions.index("oom") < actions.index("die")


def test_out_of_memory_is_told_at_the_moment_and_the_container_goes_on(engine: Engine, image: Image) -> None:
    script = "while :; do read go; head -c 100000000 /dev/zero | tail >/dev/null; echo again; done"
    with engine.run("busybox", ["sh", "-c", script], memory="16m", name="survivor", stdin_open=True) as container:
        follower = engine.events(follow=True, filters={"event": "oom"}, until=time.time() + 60)
        with container.attach() as process:
            for _ in range(2):
                assert process.stdin and process.stdout
                process.stdin.write(b"go\n")
                assert next(follower).name == "survivor" and process.stdout.readline() == b"again\n"
        container.attach().close()  # its monitor answers: it has told of all that was before
        assert container.status == "running"
        follower.close()  # type: ignore[attr-defined]  # a generator
        told = len(list(engine.events(filters={"event": "oom"})))
    assert len(list(engine.events(filters={"event": "oom"}))) == told  # not once more at the end


def test_what_is_run_in_a_container_is_in_its_events(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", name="web") as container:
        container.exec(["sh", "-c", "exit 3"])
        assert eventually(lambda: list(engine.events(filters={"event": "exec_die"})))
        (ended,) = engine.events(filters={"event": "exec_die"})
        (began,) = engine.events(filters={"event": "exec_start"})
        assert began.action == "exec_start: sh -c exit 3" and ended.attributes["exitCode"] == "3"
        assert began.attributes["execID"] == ended.attributes["execID"] and began.name == "web"


def test_an_exec_does_not_wait_until_its_events_are_written(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60") as container:
        with closing(sqlite3.connect(engine.paths.database, isolation_level=None)) as somebody:
            somebody.execute("BEGIN IMMEDIATE")
            assert container.exec("echo on").stdout == "on\n"
            somebody.execute("ROLLBACK")
        assert eventually(lambda: list(engine.events(filters={"event": "exec_die"})))
        found = [event.action.partition(":")[0] for event in engine.events()]
        assert found[-2:] == ["exec_start", "exec_die"]


def test_paused_containers_are_listed_among_those_that_run(engine: Engine, image: Image) -> None:
    with (
        engine.run("busybox", "sleep 60", name="still", labels={"a": "b"}),
        engine.run("busybox", "sleep 60", name="goes"),
    ):
        engine.containers["still"].pause()
        assert list(engine.containers.frame()["name"]) == ["goes", "still"]
        assert list(engine.containers.frame(filters={"label": "a=b"})["status"]) == ["paused"]
        assert list(engine.containers.frame(all=True, filters={"status": "running"})["name"]) == ["goes"]
