"""``ck.step()``: a start, one operation at a time."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import containerkit as ck
from containerkit import Engine, Image, Stepped, Stepper
from containerkit.notebook.stepperpanel import StepperPanel
from tests.processes import parent
from tests.waiting import eventually


def named(steps: list[Stepped], operation: str) -> dict[tuple[str, str], tuple[str, str]]:
    """What the operation has changed: (side, what) → (before, after)."""
    step = next(one for one in steps if one.step.operation == operation)
    return {(one.side, one.what): (one.before, one.after) for one in step.changes}


def test_a_start_is_walked_through(engine: Engine, image: Image) -> None:
    with engine.step("busybox", "sleep 60", name="box", hostname="box", network="none") as stepper:
        assert repr(stepper).startswith("Stepper('box', 0 of ") and not stepper.world.inside
        done = list(stepper)
        assert len(done) == len(stepper) == len(stepper.done) and stepper.is_over
        assert [one.step.operation for one in done] == [step.operation for step in stepper.plan]
        assert named(done, "CreateCgroup") == {("outside", "cgroup"): ("none", "made")}
        own = ("outside", "namespaces of its own")
        assert named(done, "Clone")[own] == ("", "mount, uts, ipc, pid, network")
        assert named(done, "UnshareCgroup")[own] == ("", "+ cgroup")
        assert named(done, "WriteDown") == {("outside", "container"): ("created", "running")}
        assert named(done, "RaiseLoopback") == {("inside", "addresses"): ("", "+ 127.0.0.1")}
        assert named(done, "MountOverlay")["inside", "mounts"] == ("", "+ /")
        assert named(done, "CreateDevice")["inside", "devices"] == ("", "+ null")
        assert named(done, "SetHostname") == {("inside", "host name"): ("the host's", "box")}
        pivot = named(done, "PivotRoot")
        assert pivot["inside", "/"][0] == "the host's" and "bin" in pivot["inside", "/"][1].split()
        assert pivot["inside", "mounts"] == ("- the host's", "")
        assert named(done, "LoadSeccomp") == {("inside", "system calls"): ("all", "through a filter")}
        assert named(done, "SetCapabilities")["inside", "capabilities"][1] == "14, at most 14"
        assert named(done, "Execute")["outside", "program"] == ("our init", "sleep 60")
        assert all(one.step.nanoseconds for one in done[:-1]) and all(one.step.calls for one in done)
        assert stepper.container.status == "running" and stepper.container.exec("hostname").stdout == "box\n"
        assert stepper.container.explain().nanoseconds < 60e9
    assert not engine.containers


def test_what_the_monitor_does_is_among_the_steps(engine: Engine, image: Image) -> None:
    with engine.step("busybox", "sleep 60", name="box", ports={80: None}) as stepper:
        stepper.run(until="ConnectNetworks")
        changes = named(stepper.done, "ConnectNetworks")
        assert changes["outside", "cables"] == ("", "+ from bridge to eth0")
        assert changes["inside", "links"] == ("", "+ eth0")
        stepper.run(until="PublishPorts")
        assert stepper.container.ports["80/tcp"]
        assert stepper.run(timeout=60).ip_address is not None
        assert len(stepper.container.exec("ip address show eth0").lines) > 1


@pytest.mark.parametrize(
    "options",
    [
        {"tty": True, "init": True, "read_only": True, "user": "1000", "security_opt": ["no-new-privileges"]},
        {"userns": "remap", "network": "none", "workdir": "/a/b"},
        {"pid": "host", "uts": "host", "ipc": "host", "network": "host", "privileged": True},
    ],
    ids=["terminal", "users", "host"],
)
def test_every_kind_of_start_can_be_walked_through(engine: Engine, image: Image, options: Any) -> None:
    with engine.step("busybox", "sleep 60", name="box", **options) as stepper:
        for step in stepper:
            assert "hidden" not in repr(step)
        assert stepper.container.status == "running"


def test_the_calls_are_those_that_strace_sees(engine: Engine, image: Image, tmp_path: Path) -> None:
    with engine.step("busybox", "sleep 60", network="none", ulimits={"nofile": 99}, oom_score_adj=9) as stepper:
        stepper.run(until="WriteDown")
        trace = tmp_path / "trace"
        command = ["strace", "-f", "-o", str(trace), "-s", "64", "-p", str(stepper._pid)]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as strace:
            assert strace.stderr is not None and b"attached" in strace.stderr.readline()
            first = len(stepper.done)
            stepper.run(timeout=60)
            strace.terminate()
        traced: list[set[str]] = []
        for line in trace.read_text().splitlines():
            if "read(" in line and '"go"' in line:
                traced.append(set())
            elif traced and (call := re.match(r"\d+\s+(\w+)\(", line)):
                traced[-1].add(call[1])
        steps = [one.step for one in stepper.done[first:]]
        assert len(traced) == len(steps)
        # Not every path that is to be hidden is there on every machine.
        missing = {
            step.operation: set(step.calls) - calls
            for step, calls in zip(steps, traced, strict=True)
            if set(step.calls) - calls and step.operation not in ("MaskPath", "ReadonlyPath")
        }
        assert not missing


def test_what_is_given_up_leaves_nothing(engine: Engine, image: Image) -> None:
    places: list[str | None] = [None, "CreateCgroup", "Clone", "WriteDown", "MountOverlay", "PivotRoot", "SetUser"]
    for place in places:
        stepper = engine.step("busybox", "sleep 60", name="box", volumes=["/data"], ports={80: None})
        if place is not None:
            stepper.run(until=place)
        stepper.close()
        assert stepper.is_over and not list(engine.containers) and repr(stepper).endswith("given up)")
        with pytest.raises(ck.InvalidState, match="container box: no step is left: given up"):
            stepper.next()


def test_what_is_forgotten_is_given_up(engine: Engine, image: Image) -> None:
    stepper = engine.step("busybox", "sleep 60", name="box", network="none")
    stepper.run(until="PivotRoot")
    pid = stepper._pid
    assert pid is not None
    del stepper
    gc.collect()
    assert eventually(lambda: not os.path.exists(f"/proc/{pid}") and not engine.containers.rows(all=True))


def test_a_started_container_stays_when_the_stepper_is_closed(engine: Engine, image: Image) -> None:
    stepper = engine.step("busybox", "sleep 60", name="box", network="none")
    box = stepper.run()
    stepper.close()
    del stepper
    gc.collect()
    assert box.status == "running"


WALKER = """
import sys, time
import containerkit as ck
engine = ck.Engine(root=sys.argv[1], run=sys.argv[2])
stepper = engine.step("busybox", "sleep 60", name="box", ports={80: None})
stepper.run(until=sys.argv[3])
if sys.argv[4]:
    import os
    child = os.fork()
    if child == 0:
        time.sleep(60)
else:
    child = 0
print(stepper._pid, child, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("forks", ["", "forks"])
@pytest.mark.parametrize("place", ["CreateCgroup", "Clone", "WriteDown", "MountOverlay", "SetCapabilities"])
def test_when_the_walker_is_killed_nothing_is_left(engine: Engine, image: Image, place: str, forks: str) -> None:
    paths = engine.store.paths
    arguments = [sys.executable, "-c", WALKER, str(paths.root), str(paths.run), place, forks]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as walker:
        assert walker.stdout is not None
        pid, child = walker.stdout.readline().split()
        assert pid == "None" or os.path.exists(f"/proc/{pid}")
        walker.kill()
    assert eventually(lambda: not engine.containers.rows(all=True))
    if forks:
        os.kill(int(child), signal.SIGKILL)  # it has the gates, too


@pytest.mark.parametrize("who", ["init", "monitor"])
def test_when_somebody_is_killed_the_next_step_says_so(engine: Engine, image: Image, who: str) -> None:
    stepper = engine.step("busybox", "sleep 60", name="box", network="none")
    stepper.run(until="MountOverlay")
    init = stepper._pid or -1
    os.kill(parent(init) if who == "monitor" else init, signal.SIGKILL)
    with pytest.raises(ck.RuntimeFailure, match="killed"):
        stepper.run()
    assert stepper.is_over and not engine.containers.rows(all=True)


def test_a_step_that_fails_says_why_and_leaves_nothing(engine: Engine, image: Image) -> None:
    stepper = engine.step("busybox", "/none", name="box", network="none")
    with pytest.raises(ck.RuntimeFailure, match="container box: program /none: no such file") as failure:
        stepper.run()
    assert failure.value.exit_code == 127 and stepper.is_over and not engine.containers.rows(all=True)
    with pytest.raises(ck.InvalidArgument, match="operation 'Fly': none ahead"):
        engine.step("busybox", "true", network="none").run(until="Fly")


def test_time_that_is_up_gives_it_up(engine: Engine, image: Image) -> None:
    stepper = engine.step("busybox", "sleep 60", name="box", network="none")
    stepper.run(until="PivotRoot")
    os.kill(stepper._pid or -1, signal.SIGSTOP)
    with pytest.raises(ck.Timeout, match="operation NewSession: time is up"):
        stepper.next(timeout=0.2)
    assert not engine.containers.rows(all=True)


def test_the_panel_works_without_a_browser(engine: Engine, image: Image) -> None:
    with engine.step("busybox", "sleep 60", name="box", network="none") as stepper:
        panel = stepper.panel()
        assert isinstance(panel, StepperPanel) and panel.shown is None
        panel.next_button.click()
        assert panel.shown is not None and panel.shown.step.operation == "CreateCgroup"
        panel.target = "PivotRoot"
        panel.run_button.click()
        assert panel.shown.step.operation == "PivotRoot" and "pivot_root" in panel._view.value
        panel.history.value = 2
        assert panel.shown.step.operation == "Clone" and not panel.next_button.disabled
        panel.run_button.click()
        assert "none ahead" in panel.error
        panel.target = None
        panel.run_button.click()
        assert panel.error == "" and panel.next_button.disabled and stepper.container.status == "running"
    with engine.step("busybox", "true", name="box", network="none") as stepper:
        panel = stepper.panel()
        panel.close_button.click()
        assert panel.next_button.disabled and stepper.is_over


def test_it_looks_like_something(engine: Engine, image: Image) -> None:
    with engine.step("busybox", "echo <b>", name="box", network="none") as stepper:
        stepper.run(until="SetHostname")
        last = stepper.done[-1]
        assert "seen from inside" in last._repr_html_() and "<script" not in last._repr_html_()
        assert repr(last).splitlines()[0].endswith(f"sethostname {stepper.container.short_id}")
        assert list(last.frame()["what"]) == ["host name"]
        assert "echo &lt;b&gt;" in stepper._repr_html_() and "▶" in stepper._repr_html_()
    assert isinstance(stepper, Stepper)
