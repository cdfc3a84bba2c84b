"""``kill -9`` between two operations of a start, which waits there at its gates (runtime/gate.py)."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Literal, get_args

import containerkit as ck
from containerkit.linux.process import readable, start_time
from containerkit.supervise.client import spawner
from tests.processes import descendants, parent

Whom = Literal["init", "starter", "relief", "spawner"]
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
        starter = _starter()
        target = {"init": init, "starter": starter, "relief": parent(starter), "spawner": spawner.pid}[whom]
        if target is not None:
            _kill(target)
        try:
            stepper.run(timeout=20)
        except ck.RuntimeFailure as error:
            assert "box" in str(error)
            assert "box" not in engine.containers, f"not started, and there as {engine.containers['box']!r}"
        else:
            # The init may have been killed when it was the program already; nobody needs the spawner any more.
            assert target is None or whom not in ("starter", "relief"), "nobody has noticed"
            assert whom == "init" or stepper.container.exec("true").exit_code == 0
    assert init is None or start_time(init) is None, "the init lives on"
    assert not engine.containers and list(engine.paths.containers.iterdir()) == [] and not engine.volumes
    engine.run("busybox", "true", name="box").remove(force=True)
    return len(stepper.plan)


def _starter() -> int:
    """The process that starts it, a child of its relief."""
    titles = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in descendants(spawner.pid)}
    return [child for child, title in titles.items() if b"containerkit-monitor" in title][-1]


def _kill(pid: int) -> None:
    """Kill it, and wait until it has ended: until then those who end with it go on."""
    pidfd = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        assert readable(pidfd, 10), f"{pid} has not ended"
    finally:
        os.close(pidfd)
