"""Kill -9 of anything at any moment, by chance: what the next call finds is true, and can be cleaned up whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

import pytest

import containerkit as ck
from containerkit import Engine, Image
from tests.processes import descendants

WORKER = """
import random, sys, threading
import containerkit as ck
engine = ck.Engine(root=sys.argv[1], run=sys.argv[2])
def work():
    for _ in range(20):
        try:
            match random.randrange(5):
                case 0: engine.call("busybox", "true")
                case 1: engine.run("busybox", "sleep 30", remove=random.random() < 0.5)
                case 2: [c.exec(["sh", "-c", "sleep .01"]) for c in list(engine.containers)[:2]]
                case 3: [c.remove(force=True) for c in list(engine.containers)[:1]]
                case 4: engine.containers.rows(), engine.create("busybox", "true")
        except ck.ContainerkitError:
            pass
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def kill_some(worker: subprocess.Popen[str], seconds: float) -> None:
    """Kill descendants of the worker for a while, then the worker itself."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and worker.poll() is None:
        time.sleep(random.uniform(0, 0.15))
        if targets := descendants(worker.pid):
            try:
                os.kill(random.choice(targets), 9)
            except ProcessLookupError:
                pass
    worker.kill()


@pytest.mark.parametrize("round", range(4))
def test_kills_by_chance(engine: Engine, image: Image, round: int) -> None:
    command = [sys.executable, "-c", WORKER, str(engine.paths.root), str(engine.paths.run)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as worker:
        kill_some(worker, random.uniform(0.4, 2.0))
        _, errors = worker.communicate(timeout=60)
    assert "Traceback" not in errors, errors
    for container in engine.containers:
        try:
            if container.status == "running":
                assert container.exec("true").exit_code == 0
        except (ck.NotFound, ck.InvalidState, ck.RuntimeFailure):
            pass  # it was ending when it was asked, and is gone now or says so
        try:
            container.remove(force=True)
        except ck.NotFound:
            pass
    assert len(engine.containers) == 0 and list(engine.paths.containers.iterdir()) == []
