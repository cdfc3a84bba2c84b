"""``kill -9`` between two operations of a start, which waits there at its gates (runtime/gate.py)."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Literal, get_args

import containerkit as ck
from containerkit.linux.process import start_time
from containerkit.supervise.client import spawner

Whom = Literal["init", "monitor", "spawner"]
WHOM: tuple[Whom, ...] = get_args(Whom)


def kill_before(engine: ck.Engine, number: int, whom: Whom) -> int:
    """Walk a start to before its ``number``-th operation (from 1), kill somebody, and go on.

    Returns:
        How many operations there are.

    Raises:
        AssertionError: something is lost or left.
    """
    with engine.step("busybox", "sleep 60", name="box", ports={80: None}, volumes=["/data"], stop_timeout=0) as stepper:
        for _ in range(number - 1):
            stepper.next(timeout=20)
        init = stepper._pid
        target = {"init": init, "monitor": _monitor(), "spawner": spawner.pid}[whom]
        if target is not None:
            os.kill(target, signal.SIGKILL)
        try:
            stepper.run(timeout=20)
        except ck.RuntimeFailure as error:
            assert "box" in str(error)
            assert "box" not in engine.containers, f"not started, and there as {engine.containers['box']!r}"
        else:
            # The init may have been killed when it was the program already; nobody needs the spawner any more.
            assert target is None or whom != "monitor", "nobody has noticed"
            assert whom == "init" or stepper.container.exec("true").exit_code == 0
    assert init is None or start_time(init) is None, "the init lives on"
    assert not engine.containers and list(engine.paths.containers.iterdir()) == [] and not engine.volumes
    engine.run("busybox", "true", name="box").remove(force=True)
    return len(stepper.plan)


def _monitor() -> int:
    """The spawner's child that has children, or is not the one that waits for the next request."""
    children = [int(child) for child in Path(f"/proc/{spawner.pid}/task/{spawner.pid}/children").read_text().split()]
    titles = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return next(child for child in children if b"containerkit-monitor" in titles[child])
