"""Pause, rename, update, restart policies, health checks: a container's life beyond start and end."""

from __future__ import annotations

import os
import time

import pytest

import containerkit as ck
from containerkit import Container, Engine, Image
from tests.processes import kill_monitor
from tests.waiting import eventually

COUNTING = ["sh", "-c", "i=0; while true; do i=$((i+1)); echo $i; sleep 0.02; done"]


def stands_still(container: Container) -> bool:
    before = container.logs()
    time.sleep(0.2)
    return container.logs() == before


def test_a_paused_container_stands_still_and_goes_on(engine: Engine, image: Image) -> None:
    with engine.run("busybox", COUNTING, name="counter") as container:
        assert eventually(lambda: container.logs(tail=1))
        assert container.pause().status == "paused"
        # What it wrote before may still be on its way into the log.
        assert eventually(lambda: stands_still(container))
        before = container.logs()
        with pytest.raises(ck.InvalidState, match="container counter: cannot pause: it is paused"):
            container.pause()
        with pytest.raises(ck.InvalidState, match="cannot exec: it is paused"):
            container.exec("true")
        assert container.unpause().status == "running"
        assert eventually(lambda: container.logs() != before)
        with pytest.raises(ck.InvalidState, match="cannot unpause: it is running"):
            container.unpause()


def test_a_paused_container_is_measured(engine: Engine, image: Image) -> None:
    with engine.run("busybox", COUNTING) as container:
        container.pause()
        with container.record(interval=0.02) as recording:
            before = container.stats()
            time.sleep(0.2)
        assert container.stats().cpu_usage_seconds == before.cpu_usage_seconds > 0
        assert set(recording.frame()["pids"]) == {before.pids}


@pytest.mark.parametrize("end", ["stop", "kill", "remove"])
def test_a_paused_container_can_be_ended(engine: Engine, image: Image, end: str) -> None:
    container = engine.run("busybox", ["sh", "-c", "trap 'exit 7' TERM; echo up; while true; do sleep 0.05; done"])
    assert eventually(container.logs)
    container.pause()
    if end == "stop":
        assert container.stop(timeout=60).exit_code == 7
    elif end == "kill":
        assert container.kill().exit_code == 137
    else:
        container.remove(force=True)
        assert len(engine.containers) == 0


def test_pausing_that_was_killed_half_way_is_undone_by_unpause(engine: Engine, image: Image) -> None:
    with engine.run("busybox", COUNTING) as container:
        # The row comes first: this is what is left when the kill comes before the freezing.
        engine.store.containers.move(container.id, "pause")
        assert container.status == "paused"
        assert container.unpause().status == "running"


def test_rename(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", name="old") as container, engine.run("busybox", "sleep 60", name="taken"):
        container.rename("new")
        assert container.name == "new" and engine.containers["new"] == container and "old" not in engine.containers
        with pytest.raises(ck.AlreadyExists, match="container taken"):
            container.rename("taken")
        with pytest.raises(ck.InvalidArgument):
            container.rename("-")
        assert container.exec("true")


def test_limits_change_while_it_runs_and_stay_for_the_next_start(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", memory="64m") as container:
        container.update(memory="32m", cpus=0.5, pids_limit=50)
        stats = container.stats()
        assert (stats.memory_limit_bytes, stats.pids_limit) == (32 << 20, 50)
        with pytest.raises(ck.InvalidArgument, match="option name: cannot be changed"):
            container.update(name="x")  # type: ignore[call-arg]  # what a person types
        with pytest.raises(ck.InvalidArgument, match="memory"):
            container.update(memory="nonsense")
        assert container.inspect()["HostConfig"]["Memory"] == 32 << 20
        container.stop(timeout=0).start()
        assert container.stats().memory_limit_bytes == 32 << 20


def test_a_value_that_the_kernel_refuses_changes_nothing(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", memory="64m") as container:
        with pytest.raises(ck.ContainerkitError, match="cpuset"):
            container.update(memory="128m", cpuset_cpus="4000")
        assert container.stats().memory_limit_bytes == 64 << 20
        assert container.inspect()["HostConfig"]["Memory"] == 64 << 20


def test_a_log_is_followed_through_restarts(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", ["sh", "-c", "sleep 0.1; echo again; exit 3"], restart="on-failure:2")
    assert [line.text for line in container.log_lines(follow=True)] == ["again"] * 3
    assert container.status == "exited" and container.wait() == 3


def test_on_failure_starts_again_so_many_times(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", ["sh", "-c", "echo again; exit 3"], restart="on-failure:2")
    assert container.wait(timeout=60) == 3
    assert container.logs() == "again\n" * 3
    assert (container.restart_count, container.status) == (2, "exited")
    once = engine.run("busybox", "true", restart="on-failure")
    assert once.wait(timeout=60) == 0 and once.restart_count == 0


def test_always_until_somebody_stops_it(engine: Engine, image: Image) -> None:
    program = "echo up; sleep 0.1; while test -e /stay; do sleep 0.05; done"
    container = engine.run("busybox", ["sh", "-c", program], restart="always")
    assert eventually(lambda: container.restart_count >= 2)
    assert container.stop(timeout=1).status == "exited"
    count = container.restart_count
    time.sleep(0.5)
    assert container.status == "exited" and container.restart_count == count
    container.path("/stay").write_text("")
    container.start()
    assert container.restart_count == 0
    container.update(restart="no").exec("rm /stay")
    assert container.wait(timeout=60) == 0


def test_a_container_that_waits_for_its_next_start_can_be_stopped_and_removed(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", "false", restart="always", name="loop")
    assert eventually(lambda: container.status == "restarting" and container.restart_count >= 3)
    with pytest.raises(ck.InvalidState, match="cannot remove"):
        container.remove()
    began = time.monotonic()
    assert container.stop().status == "exited" and container.exit_code == 1
    assert time.monotonic() - began < 8  # ten are what a program has
    container.start()
    container.remove(force=True)
    assert "loop" not in engine.containers


def test_a_killed_monitor_of_a_restarting_container(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", "false", restart="always")
    assert eventually(lambda: container.status == "restarting" and container.restart_count >= 3)
    kill_monitor(engine, container)
    left = engine.store.containers.read(container.id)
    assert left is not None
    # On a slow machine the next run may just have begun: then it is that one which was killed.
    code = 1 if left.state == "restarting" else 137
    assert eventually(lambda: container.status == "exited") and container.exit_code == code


def test_a_health_check_tells_starting_healthy_and_unhealthy(engine: Engine, image: Image) -> None:
    check = {
        "test": "until test -e /go; do sleep 0.05; done; test -e /tmp/well && echo fine || { echo ill; exit 1; }",
        "interval": 0.1,
        "retries": 2,
        "timeout": 60,
    }
    with engine.run("busybox", "sleep 60", healthcheck=check) as container:
        assert container.health == "starting"
        container.exec("touch /tmp/well /go")
        assert eventually(lambda: container.health == "healthy")
        container.exec("rm /tmp/well")
        assert eventually(lambda: container.health == "unhealthy")
        state = container.inspect()["State"]["Health"]
        assert state["Status"] == "unhealthy" and state["FailingStreak"] >= 2
        assert state["Log"][-1]["ExitCode"] == 1 and state["Log"][-1]["Output"] == "ill\n"
    with engine.run("busybox", "sleep 60") as container:
        assert container.health is None


def test_a_probe_that_takes_too_long_is_ended_with_what_it_started(engine: Engine, image: Image) -> None:
    check = ck.Healthcheck(test="sleep 1000", interval="100ms", timeout=0.2, retries=1)
    with engine.run("busybox", "sleep 60", healthcheck=check) as container:
        assert eventually(lambda: container.health == "unhealthy")
        assert "longer than 0.2 s" in container.inspect()["State"]["Health"]["Log"][0]["Output"]
        container.pause()
        time.sleep(0.3)
        container.unpause()
    program = engine.run("busybox", "sleep 60", healthcheck={"test": ["/nowhere"], "interval": 0.05, "retries": 1})
    assert eventually(lambda: program.health == "unhealthy")
    program.remove(force=True)


def test_failures_in_the_start_period_do_not_count(engine: Engine, image: Image) -> None:
    check = {"test": "false", "interval": 0.05, "start_interval": 0.05, "retries": 1}
    with engine.run("busybox", "sleep 60", healthcheck={**check, "start_period": 60}) as container:
        assert eventually(lambda: len(container.inspect()["State"]["Health"]["Log"]) >= 3)
        assert container.health == "starting"
    with engine.run("busybox", "sleep 60", healthcheck={**check, "start_period": 0.5}) as container:
        assert eventually(lambda: container.health == "unhealthy")


def test_the_failed_start_of_a_container_that_has_run_leaves_it_exited(engine: Engine, image: Image) -> None:
    container = engine.create("busybox", ["sh", "-c", "rm /bin/sh"])
    assert container.start().wait(timeout=60) == 0
    with pytest.raises(ck.RuntimeFailure) as failure:
        container.start()
    assert failure.value.exit_code == 127
    assert (container.status, container.exit_code) == ("exited", 127)


def test_namespaces_of_another_container_and_of_the_host(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", name="first", hostname="one") as first:
        options = {
            "pid": "container:first",
            "ipc": "container:first",
            "uts": "container:first",
            "network": "container:first",
        }
        with engine.run("busybox", "sleep 61", name="second", **options) as second:  # type: ignore[arg-type]  # a table
            for kind in ("pid", "ipc", "uts", "net"):
                assert os.readlink(f"/proc/{first.pid}/ns/{kind}") == os.readlink(f"/proc/{second.pid}/ns/{kind}")
            assert second.exec("hostname").stdout == "one\n"
            assert "sleep 61" in first.exec("ps").stdout
            assert second.restart(timeout=0).status == "running"
        with pytest.raises(ck.NotFound, match="absent"):
            engine.run("busybox", "true", pid="container:absent")
    with engine.run("busybox", "sleep 60", pid="host", uts="host", ipc="host", cgroupns="host") as container:
        for kind in ("pid", "uts", "ipc", "cgroup"):
            assert os.readlink(f"/proc/self/ns/{kind}") == os.readlink(f"/proc/{container.pid}/ns/{kind}")


def test_devices(engine: Engine, image: Image) -> None:
    denied = engine.call("busybox", "dd if=/dev/fuse of=/dev/null count=0")
    assert denied.exit_code != 0
    assert engine.call("busybox", "ls -l /dev/mine", devices=["/dev/fuse:/dev/mine:r"]).stdout.startswith("c")
    allowed = engine.call("busybox", ["sh", "-c", "exec 3</dev/mine && echo open"], devices=["/dev/fuse:/dev/mine"])
    assert allowed.stdout == "open\n"
    with pytest.raises(ck.InvalidArgument, match="devices /dev/absent: no such device"):
        engine.call("busybox", "true", devices=["/dev/absent"])


def test_a_pid_1_that_reaps_and_passes_signals_on(engine: Engine, image: Image) -> None:
    script = "(sleep 0.1 & sleep 0.2 &) ; trap 'echo term; exit 9' TERM; echo up; while true; do sleep 0.05; done"
    with engine.run("busybox", ["sh", "-c", script], init=True, user="web") as container:
        assert container.exec("cat /proc/1/comm").stdout == "containerkit-in\n"
        time.sleep(0.5)
        # The shell's own children are zombies for a moment.
        assert eventually(lambda: "Z" not in [row.state for row in container.top()])
        assert eventually(container.logs) and container.stop(timeout=60).exit_code == 9
        assert container.logs() == "up\nterm\n"
    assert engine.call("busybox", ["sh", "-c", "exit 5"], init=True).exit_code == 5
    assert engine.call("busybox", ["sh", "-c", "kill -9 $$"], init=True).exit_code == 137
    with pytest.raises(ck.RuntimeFailure) as failure:
        engine.call("busybox", "absent", init=True)
    assert failure.value.exit_code == 127
    with engine.run("busybox", "sh", init=True, tty=True, stdin_open=True) as container, container.attach() as client:
        assert client.stdin
        client.stdin.write(b"sleep 50\n")
        assert eventually(lambda: any("sleep 50" in row.command for row in container.top()))
        client.stdin.write(b"\x03")
        client.stdin.write(b"exit 6\n")
        assert client.wait(timeout=60) == 6


def test_options_of_the_image_and_of_later_versions(engine: Engine, image: Image) -> None:
    assert engine.call("busybox", "true", pull="never", platform=image.platform)
    with pytest.raises(ck.NotFound, match="image busybox: is for linux/"):
        engine.call("busybox", "true", pull="never", platform="linux/s390x")
    with pytest.raises(ck.InvalidArgument, match="pull 'often'"):
        engine.call("busybox", "true", pull="often")
    assert len(engine.containers) == 0
