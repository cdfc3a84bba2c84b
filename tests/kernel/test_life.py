"""A container's life: states, names, exec, popen, logs, removal."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image
from containerkit.linux.cgroups import detect
from tests.waiting import eventually


def test_run_stop_start_remove(engine: Engine, image: Image) -> None:
    container = engine.run(
        "busybox", ["sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep .05; done"], name="web"
    )
    assert (container.status, container.name, container.exit_code) == ("running", "web", None)
    assert engine.containers["web"] == container == ck.Container.get(container.id[:8], engine=engine)
    next(container.log_lines(follow=True))  # the trap is set
    assert container.stop().status == "exited"
    assert (container.exit_code, container.pid, container.wait()) == (3, None, 3)
    assert container.start().status == "running"
    assert container.kill().exit_code == 137
    container.remove()
    with pytest.raises(ck.NotFound):
        _ = container.status
    assert "web" not in engine.containers


def test_stop_kills_after_its_timeout(engine: Engine, image: Image) -> None:
    with engine.run("busybox", ["sh", "-c", "trap '' TERM; sleep 60"]) as container:
        began = time.monotonic()
        assert container.stop(timeout=0.3).exit_code == 137
        assert 0.3 <= time.monotonic() - began < 8  # ten without it


def test_create_then_start(engine: Engine, image: Image) -> None:
    container = engine.create("busybox", "true", name="later")
    assert (container.status, container.exit_code, container.started) == ("created", None, None)
    assert container.start().wait() == 0
    assert container.started is not None and container.finished is not None
    container.remove()


def test_a_running_container_is_not_started_or_removed(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", name="busy") as container:
        with pytest.raises(ck.InvalidState, match="container busy: cannot start: it is running"):
            container.start()
        with pytest.raises(ck.InvalidState, match="force=True"):
            container.remove()


def test_a_name_in_use(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", name="one") as first:
        with pytest.raises(ck.AlreadyExists, match="container one: the name is in use"):
            engine.run("busybox", "true", name="one")
        second = engine.run("busybox", "sleep 60", name="one", replace=True)
        assert second != first and len(engine.containers) == 1
        second.remove(force=True)


def test_auto_remove_and_wait(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", ["sh", "-c", "sleep .2; exit 9"], remove=True)
    assert container.wait(timeout=60) == 9
    assert len(engine.containers) == 0


def test_wait_times_out_and_the_container_goes_on(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60") as container:
        with pytest.raises(ck.Timeout):
            container.wait(timeout=0.1)
        assert container.status == "running"


def test_exec(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", env={"A": "1"}, workdir="/tmp", hostname="inside") as container:
        result = container.exec(["sh", "-c", "echo $A $B; pwd; hostname; cat; exit 4"], env={"B": "2"}, input="typed")
        assert (result.exit_code, result.stdout) == (4, "1 2\n/tmp\ninside\ntyped")
        assert container.exec("id -un", user="web").stdout == "web\n"
        status = container.exec("grep -E ^(CapEff|Seccomp): /proc/self/status").stdout.split()
        outside = container.exec("grep CapEff /proc/1/status").stdout.split()
        assert status[1] == outside[1] and status[3] == "2"
        assert "containerkit-" in container.exec("cat /proc/self/cgroup").stdout or True


def test_exec_that_cannot_start(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", name="web") as container:
        with pytest.raises(ck.RuntimeFailure, match="container web: program nosuch: not found in PATH") as caught:
            container.exec("nosuch")
        assert caught.value.exit_code == 127
        with pytest.raises(ck.RuntimeFailure) as caught:
            container.exec("/etc/passwd")
        assert caught.value.exit_code == 126
        with pytest.raises(ck.RuntimeFailure, match="container web: user nobody2"):
            container.exec("true", user="nobody2")
    with pytest.raises(ck.NotFound):
        container.exec("true")


def test_exec_timeout_ends_what_it_started(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60") as container:
        with pytest.raises(ck.Timeout) as caught:
            container.exec(["sh", "-c", "echo begun; setsid sleep 77 & sleep 77"], timeout=1.5)
        assert caught.value.result is not None and caught.value.result.stdout == "begun\n"
        assert "sleep 77" not in container.exec("ps").stdout
        assert container.status == "running"


def test_100_mb_through_exec(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60") as container:
        result = container.exec("dd if=/dev/zero bs=1M count=100")
        assert sum(len(chunk.data) for chunk in result.chunks() if chunk.stream == 1) == 100 << 20


def test_popen_streams(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60") as container:
        with container.popen("cat") as process:
            assert process.stdin and process.stdout
            process.stdin.write(b"one\n")
            assert process.stdout.readline() == b"one\n" and process.poll() is None
            process.stdin.close()
            assert process.wait(timeout=60) == 0
        with container.popen(["sh", "-c", "sleep 60"]) as process:
            process.terminate()
            assert process.wait(timeout=60) == 143
        out, err = container.popen(["sh", "-c", "cat; echo e >&2"]).communicate(b"x" * 300_000)
        assert (len(out), err) == (300_000, b"e\n")


def test_popen_with_a_terminal(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60") as container, container.popen(["sh"], tty=True) as process:
        assert process.stdin and process.stdout
        process.resize(24, 100)
        process.stdin.write(b"stty size; tty; exit 5\n")
        text = b""
        while data := process.stdout.read(1024):
            text += data
        assert b"24 100" in text and b"/dev/pts/0" in text
        assert process.wait(timeout=60) == 5


def test_a_terminal_resized_while_in_use(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60") as container:
        with container.popen(["sh"], tty=True) as process:
            assert process.stdin and process.stdout
            for columns in range(40, 140):
                process.resize(24, columns)
                process.stdin.write(b"stty size\n")
                seen = b""
                while f"24 {columns}\r\n".encode() not in seen:
                    seen += process.stdout.read(1024)
            with pytest.raises(ck.InvalidArgument, match="resize"):
                process.resize(0, 80)
        with container.popen(["cat"]) as process, pytest.raises(ck.InvalidState, match="no terminal"):
            process.resize(24, 80)


def test_logs(engine: Engine, image: Image) -> None:
    script = "for i in 1 2 3 4 5; do echo line $i; done; echo bad >&2; printf end"
    with engine.run("busybox", ["sh", "-c", script]) as container:
        container.wait(timeout=60)
        assert container.logs(stderr=False) == "line 1\nline 2\nline 3\nline 4\nline 5\nend\n"
        assert container.logs(stdout=False) == "bad\n"
        assert container.logs(tail=2, stderr=False) == "line 5\nend\n"
        assert container.logs(timestamps=True).startswith("20")
        assert container.logs(since=time.time() + 10) == "" == container.logs(until=0)


def test_following_a_log_ends_with_the_container(engine: Engine, image: Image) -> None:
    script = "for i in 1 2 3; do echo $i; until [ -e /seen$i ]; do sleep .02; done; done"
    with engine.run("busybox", ["sh", "-c", script]) as container:
        arrived = []
        for line in container.log_lines(follow=True):
            arrived.append(line.text)
            container.exec(f"touch /seen{line.text}")  # it goes on when this line has come
        assert arrived == ["1", "2", "3"]
        assert container.status == "exited"


def test_stats_and_record(engine: Engine, image: Image) -> None:
    with engine.run("busybox", ["sh", "-c", "while :; do :; done"], cpus=0.2, memory="32m") as container:
        with container.record(interval=0.05) as recording:
            time.sleep(1)
            assert eventually(lambda: len(recording) >= 10)
        frame = recording.frame()
        assert frame.index.name == "time" and str(frame.index.dtype).endswith("UTC]") and len(frame) >= 10
        assert 1 < frame["cpu_percent"].iloc[2:].mean() < 50
        assert (frame["memory_limit_bytes"] == 32 << 20).all() and (frame["pids"] == 1).all()
        assert frame["throttled_seconds"].iloc[-1] > 0
        stats = container.stats()
        assert stats.cpu_usage_seconds > 0.05 and 0 < stats.memory_bytes < 32 << 20 and stats.pids == 1
        assert recording.plot().get_ylabel().startswith("CPU")
        if os.path.exists("/proc/pressure/cpu") and detect().v2 is not None:
            assert stats.pressure["cpu"].some_seconds > 0, "half of the time it waited for its quota"
            assert 0 <= stats.pressure["memory"].full10 <= 100


def test_inspect_is_shaped_as_docker_s(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", name="seen", memory="32m", labels={"a": "b"}, cap_drop=["ALL"]) as container:
        found = container.inspect()
        assert found["Name"] == "/seen" and found["State"]["Pid"] == container.pid
        assert found["HostConfig"]["Memory"] == 32 << 20 and found["Config"]["Labels"]["a"] == "b"
        assert (found["Path"], found["Args"], found["HostConfig"]["CapDrop"]) == ("sleep", ["60"], ["ALL"])


def test_explain_tells_the_start(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", name="seen", hostname="seen") as container:
        plan = container.explain()
        names = [step.operation for step in plan]
        assert names.index("Clone") < names.index("MountOverlay") < names.index("PivotRoot") < names.index("Execute")
        assert all(step.nanoseconds for step in plan if step.operation in ("Clone", "MountOverlay", "PivotRoot"))
        assert "sethostname seen" in repr(plan) and "execve sleep 60" in plan._repr_html_()


def test_representations(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "echo <b>", name="shown") as container:
        container.wait(timeout=60)
        assert repr(container) == "Container('shown', exited (0), image='busybox')"
        assert "&lt;b&gt;" in container._repr_html_()
        assert "shown" in repr(engine.containers) and "exited" in engine.containers._repr_html_()
        frame = engine.containers.frame(all=True)
        assert frame.loc[0, "name"] == "shown" and frame.loc[0, "exit_code"] == 0
        assert len(engine.containers.frame()) == 0
    assert repr(container) == "Container('shown', removed)"


def test_lists_and_filters(engine: Engine, busybox_tar: Path) -> None:
    Image.import_(busybox_tar, tag="web:1", engine=engine, changes=["LABEL tier=front", "STOPSIGNAL SIGUSR1"])
    first = engine.create("web:1", "true", name="first", labels={"mine": "1"})
    second = engine.run("web:1", ["sleep", "60"], name="second", labels={"tier": "back"})

    def names(*, all: bool = True, **filters: str) -> list[str]:
        return [c.name for c in ck.Container.list(all=all, filters=filters, engine=engine)]

    assert names() == ["second", "first"] and names(all=False) == ["second"]
    assert names(name="sec") == ["second"] and names(status="created", all=False) == ["first"]
    assert names(image="web:1") == ["second", "first"] and names(image="other") == []
    # The image's labels are the container's, unless the call says otherwise.
    assert first.labels == {"tier": "front", "mine": "1"} and second.labels == {"tier": "back"}
    assert names(label="tier=front") == ["first"] and names(label="mine") == ["first"] and names(label="x") == []
    for wrong in ({"colour": "red"}, {"status": "fine"}):
        with pytest.raises(ck.InvalidArgument, match=r"filter (colour|status fine): unknown"):
            ck.Container.list(filters=wrong, engine=engine)
    frame = engine.containers.frame(all=True)
    assert list(frame["name"]) == ["first", "second"] and list(frame["command"]) == ["true", "sleep 60"]
    assert list(engine.containers.frame()["name"]) == ["second"] and len(engine.containers) == 2


def test_the_image_says_how_to_stop(engine: Engine, busybox_tar: Path) -> None:
    Image.import_(busybox_tar, tag="web", engine=engine, changes=["STOPSIGNAL SIGUSR1"])
    container = engine.run("web", ["sh", "-c", "trap 'exit 4' USR1; echo up; while :; do sleep .05; done"])
    next(container.log_lines(follow=True))
    assert container.stop(timeout=10).exit_code == 4


def test_a_line_of_100_mb(engine: Engine, image: Image) -> None:
    command = ["sh", "-c", "head -c 100000000 /dev/zero | tr '\\0' x"]
    container = engine.run("busybox", command, log_options={"max_size": -1})
    container.wait(timeout=60)
    (line,) = container.log_lines()
    assert len(line.text) == 100_000_000


def test_exec_says_when_memory_ran_out(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", memory="32m") as container:
        result = container.exec(["sh", "-c", "head -c 200000000 /dev/zero | tail"])
        assert result.exit_code in (137, 1) and container.stats().oom_kills >= 1
        direct = container.exec(["tail", "/dev/zero"])
        assert (direct.exit_code, direct.oom_killed) == (137, True)
        assert not container.exec(["sh", "-c", "kill -9 $$"]).oom_killed


def test_an_exec_does_not_outlive_its_helper(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60") as container, container.popen(["sleep", "50"], user=1000) as process:
        helper = int(Path(f"/proc/{process.pid}/stat").read_text().split(") ")[1].split()[1])
        os.kill(helper, 9)
        assert process.wait(timeout=60) == 137
        assert eventually(lambda: "sleep 50" not in container.exec("ps").stdout)


def test_communicate_with_a_terminal_and_in_time(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60") as container:
        with container.popen(["echo", "hello"], tty=True) as process:
            assert b"hello" in process.communicate()[0]
        with container.popen(["sh", "-c", "echo so far; sleep 50"]) as process:
            with pytest.raises(ck.Timeout) as caught:
                process.communicate(timeout=1.5)
            assert caught.value.result is not None and caught.value.result.stdout == "so far\n"


def test_follow_before_the_first_start(engine: Engine, image: Image) -> None:
    with engine.create("busybox", "echo hello") as container:
        assert list(container.log_lines(follow=True)) == []
        container.start()
        assert [line.text for line in container.log_lines(follow=True)] == ["hello"]


def test_signals_by_number_and_name(engine: Engine, image: Image) -> None:
    script = "trap 'exit 5' 37; echo up; while :; do sleep .05; done"
    with engine.run("busybox", ["sh", "-c", script], stop_signal="RTMIN+3") as container:
        next(container.log_lines(follow=True))
        assert container.stop(timeout=10).exit_code == 5
    for wrong in ("FOO", "TERM+1", 99, "RTMAX+1"):
        with pytest.raises(ck.InvalidArgument, match="stop_signal"):
            engine.run("busybox", "true", stop_signal=wrong)
    for image_ in (5, None):
        with pytest.raises(ck.InvalidArgument, match="expected a reference"):
            engine.run(image_, "true")  # type: ignore[arg-type]
