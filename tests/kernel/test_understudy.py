"""Understudies: inits that are there before there is a container, and what becomes of them when somebody is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from containerkit import Engine, Image
from containerkit.supervise.client import spawner

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
    result = subprocess.run([sys.executable, "-c", TAKES_OVER, memory], capture_output=True, text=True, timeout=30)
    assert result.stdout.startswith("True"), result


def test_an_understudy_is_killed_and_the_start_makes_another(engine: Engine, image: Image) -> None:
    for signal_number in (signal.SIGKILL, signal.SIGSEGV):
        _, understudy = _spare(engine)
        os.kill(understudy, signal_number)
        assert _ends(understudy)
        assert engine.call("busybox", "echo on").stdout == "on\n"
    with engine.run("busybox", "sleep 60") as container:
        _, understudy = _spare(engine)
        os.kill(understudy, signal.SIGKILL)
        assert _ends(understudy)
        assert container.exec("echo on").stdout == "on\n"


def test_an_understudy_ends_with_the_spare_that_it_belongs_to(engine: Engine, image: Image) -> None:
    spare, understudy = _spare(engine)
    os.kill(spare, signal.SIGKILL)
    assert _ends(understudy)
    assert engine.call("busybox", "true").exit_code == 0


def test_nothing_is_left_of_an_understudy_whose_container_runs(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60") as container:
        assert _children(container._record().monitor or 0) == [container._record().pid]


def _spare(engine: Engine) -> tuple[int, int]:
    """The spare that waits for the next request, and its understudy."""
    engine.call("busybox", "true")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for spare in _children(spawner.pid):
            if _waits(spare):
                (understudy,) = _children(spare)
                return spare, understudy
        time.sleep(0.01)
    raise AssertionError("no spare waits")


def _waits(pid: int) -> bool:
    """Whether it is no monitor, has an understudy, and sleeps: it waits for a request."""
    return "spawner" in Path(f"/proc/{pid}/cmdline").read_text() and bool(_children(pid)) and _state(pid) == "S"


def _ends(pid: int) -> bool:
    deadline = time.monotonic() + 30
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


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
