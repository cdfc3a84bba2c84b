"""Spares and their understudies: there before there is a container and used again after it, and killed meanwhile."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image
from containerkit.linux.cgroups import Cgroup
from containerkit.oci.runtime_spec import Pids, Resources
from containerkit.supervise.client import spawner
from tests.processes import children, descendants
from tests.waiting import eventually

TAKES_OVER = """
import os, signal, sys
from containerkit.linux.takeover import take_over
def write_over(depth):
    return [depth, *write_over(depth - 1)] if depth else []
heard, said = os.pipe()
maker = os.fork()
if maker == 0:
    take_over(0, shares_memory=sys.argv[1] == "shared")
    write_over(200)
    os.write(said, str(os.getpid()).encode())
    signal.pause()
child = int(os.read(heard, 64))
os.kill(child, signal.SIGKILL)
ended = dict(os.waitpid(-1, 0) for _ in range(2))
print(ended == {maker: 0, child: signal.SIGKILL}, ended)
"""


@pytest.mark.parametrize("memory", ["shared", "own"])
def test_who_stood_still_for_a_child_that_was_killed_ends_by_itself(memory: str) -> None:
    result = subprocess.run([sys.executable, "-c", TAKES_OVER, memory], capture_output=True, text=True, timeout=60)
    assert result.stdout.startswith("True"), result


#: What a container runs until it is told that it is over.
UNTIL_OVER = "until [ -e /over ]; do sleep 0.02; done"

RUNS_TWO = r"""
import errno, os
from containerkit.linux.takeover import Executed, execute, take_over
heard, said = os.pipe()
me = os.getpid()
if os.fork() == 0:
    kept = ["before"]
    for word in ("one", "two"):
        try:
            take_over(0)
            kept.append(word)
            try:
                execute("/nowhere", ("nowhere",), {})
            except FileNotFoundError as error:
                kept.append(error.errno == errno.ENOENT)
            os.dup2(said, 1)
            execute("/bin/sh", ("sh", "-c", 'echo "$1 $HOW"', "sh", word), {"HOW": "well", "PATH": "/bin"})
        except Executed:
            pass
    kept.append(os.getppid() == me)
    os.write(said, f"{kept}\n".encode())
    os._exit(7)
ended = sorted(os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1]) for _ in range(3))
os.close(said)
print(ended, *sorted(os.read(heard, 4096).decode().splitlines()), sep="|")
"""


def test_who_stood_still_for_a_child_that_became_a_program_goes_on_with_what_that_has_left() -> None:
    result = subprocess.run([sys.executable, "-c", RUNS_TWO], capture_output=True, text=True, timeout=60)
    kept = ["before", "one", True, "two", True, True]
    assert result.stdout == f"[0, 0, 7]|{kept!r}|one well|two well\n", result


def test_those_who_have_run_a_container_run_the_next_one(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", name="box") as box, engine.run("busybox", "sleep 60", init=True) as other:
        for number in range(6):
            engine.call("busybox", "true", ports={80: None})
            assert engine.call("busybox", ["sh", "-c", "echo $$ /proc/[0-9]*"]).stdout == "1 /proc/1\n"
            for container in (box, other):
                assert container.exec("hostname").stdout == f"{container.short_id}\n"
            name = f"made{number}"
            with engine.run("busybox", ["sh", "-c", UNTIL_OVER], name=name, hostname=name) as made:
                assert made.exec("hostname").stdout == f"{name}\n"
                assert made.exec("touch /over").exit_code == 0 and made.wait() == 0
        with pytest.raises(ck.RuntimeFailure, match="not found"):
            engine.call("busybox", "nothing-of-this-name")
        assert any(_are_used_again(engine) for _ in range(20)), "they are made anew"


def test_calls_that_overlap_leave_the_spawner_there(engine: Engine, image: Image) -> None:
    engine.call("busybox", "true")
    before = spawner.pid
    for _ in range(3):
        threads = [threading.Thread(target=lambda: engine.call("busybox", "sleep 0.05")) for _ in range(5)]
        for thread in threads:
            thread.start()
            time.sleep(0.01)
        for thread in threads:
            thread.join()
        time.sleep(0.1)
    assert spawner.pid == before and Path(f"/proc/{before}/exe").exists()


def _are_used_again(engine: Engine) -> bool:
    """Whether those who wait run two containers and wait again; what takes long, on a busy machine, ends."""
    time.sleep(0.3)
    before = descendants(spawner.pid)
    for _ in range(2):
        engine.call("busybox", "true")
    time.sleep(0.1)
    return set(before) <= set(descendants(spawner.pid))


def test_the_end_of_a_container_is_seen_though_its_monitor_lives_on(engine: Engine, image: Image) -> None:
    assert any(_watched_to_its_end(engine) in children(spawner.pid) for _ in range(20)), "none lives on"


def _watched_to_its_end(engine: Engine) -> int:
    """A container that one thread waits for and another reads the log of; its monitor."""
    container = engine.run("busybox", ["sh", "-c", "sleep 0.1; echo over"])
    monitor = container._record().monitor or 0
    seen: list[str] = []
    threads = [
        threading.Thread(target=lambda: seen.extend(line.text for line in container.log_lines(follow=True))),
        threading.Thread(target=lambda: seen.append(str(container.wait(timeout=60)))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(seen) == ["0", "over"]
    container.remove()
    return monitor


def test_an_understudy_is_killed_and_the_start_makes_another(engine: Engine, image: Image) -> None:
    for signal_number in (signal.SIGKILL, signal.SIGSEGV):
        for _, understudy in _spares(engine):
            os.kill(understudy, signal_number)
            assert _ends(understudy)
        assert engine.call("busybox", "echo on").stdout == "on\n"
    with engine.run("busybox", "sleep 60") as container:
        for _, understudy in _spares(engine):
            os.kill(understudy, signal.SIGKILL)
            assert _ends(understudy)
        assert container.exec("echo on").stdout == "on\n"


def test_an_understudy_ends_with_the_spare_that_it_belongs_to(engine: Engine, image: Image) -> None:
    for spare, understudy in _spares(engine):
        os.kill(spare, signal.SIGKILL)
        assert _ends(understudy)
    assert engine.call("busybox", "true").exit_code == 0


def test_nothing_is_left_of_an_understudy_whose_container_runs(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60") as container:
        monitor, init = container._record().monitor or 0, container._record().pid
        assert eventually(lambda: children(monitor) == [init]), children(monitor)


@pytest.mark.parametrize("most", [1, 2])  # itself; and a relief, which cannot fork
def test_a_spawner_that_cannot_fork_refuses_each_request_and_then_goes_on(
    engine: Engine, image: Image, most: int
) -> None:
    engine.call("busybox", "true")
    group = Cgroup(f"/containerkit-test-{os.getpid()}")
    group.create()
    try:
        group.apply(Resources(pids=Pids(most)))
        group.attach(spawner.pid)
        victims = descendants(spawner.pid)
        for relief in children(spawner.pid):
            os.kill(relief, signal.SIGKILL)
        assert all(_ends(one) for one in victims)
        for _ in range(3):
            with pytest.raises(ck.RuntimeFailure, match="cannot fork"):
                engine.call("busybox", "true")
        group.apply(Resources(pids=Pids(100)))
        assert engine.call("busybox", "echo on").stdout == "on\n"
    finally:
        spawner.close()
        group.kill()
        group.delete()


def test_a_spawner_without_room_for_descriptors_says_so_and_then_goes_on(engine: Engine, image: Image) -> None:
    engine.call("busybox", "true")
    soft, hard = resource.prlimit(spawner.pid, resource.RLIMIT_NOFILE)
    pid = spawner.pid
    victims = descendants(pid)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
    for relief in children(pid):
        os.kill(relief, signal.SIGKILL)
    assert all(_ends(one) for one in victims)
    assert eventually(lambda: len(os.listdir(f"/proc/{pid}/fd")) == 4)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (5, hard))  # there is room for whom to answer, and for nothing else
    for _ in range(3):
        with pytest.raises(ck.RuntimeFailure, match="cannot fork: too many open files"):
            engine.call("busybox", "true")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert engine.call("busybox", "echo on").stdout == "on\n" and spawner.pid == pid


def _spares(engine: Engine) -> list[tuple[int, int]]:
    """Those who wait for the next request or rest, each with its understudy: children of a relief."""
    engine.call("busybox", "true")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        families = [children(relief) for relief in children(spawner.pid)]
        pairs = [family for family in families if len(family) == 2 and _waits(family[0])]
        if pairs and not any(family and _state(family[0]) == "R" for family in families):
            return [(spare, understudy) for spare, understudy in pairs]
        time.sleep(0.01)
    raise AssertionError("no spare waits")


def _waits(pid: int) -> bool:
    """Whether it is no monitor, and sleeps."""
    return "spawner" in _title(pid) and _state(pid) == "S"


def _title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def _ends(pid: int) -> bool:
    deadline = time.monotonic() + 60
    while _state(pid) not in "Z":
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _state(pid: int) -> str:
    """The letter for what it does; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return ""
