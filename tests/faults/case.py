"""One case: an operation, hit once; and what is true of its engine afterwards."""

from __future__ import annotations

import os
import re
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import containerkit as ck
from tests import leftovers, registry_stub
from tests.engines import loop_disk
from tests.faults import listening
from tests.faults.faults import Fault, Kind
from tests.faults.operations import Operation, layers
from tests.faults.scene import Scene
from tests.faults.watching import Watch, kill
from tests.faults.working import Worker

#: Seconds that no operation takes here, hit or not.
_LIMIT = 40.0
_DISK = "48m"


@dataclass
class Outcome:
    """What came of a case: nothing in ``problems`` when all is well."""

    operation: str
    fault: Fault | None
    counts: dict[Kind, int] = field(default_factory=dict)
    at: str = ""
    told: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n    ".join([f"{self.operation}: {self.fault or 'not hit'} ({self.at})", *self.problems])


class Bench:
    """Where operations are hit: a template of the scene, a registry, and who does the work."""

    def __init__(self, directory: Path, worker: Worker, registry: str) -> None:
        self._template, self._place = directory / "template", directory / "place"
        self._worker = worker
        Scene.template(self._place, self._template, registry)

    @classmethod
    @contextmanager
    def set_up(cls, directory: Path) -> Iterator[Bench]:
        """One below ``directory``."""
        with registry_stub.serving() as stub:
            stub.image("app", layers=layers())
            worker = Worker()
            try:
                yield cls(directory, worker, stub.name("app"))
            finally:
                worker.close()

    def carry_out(self, operation: Operation, fault: Fault | None = None) -> Outcome:
        """Do the operation, hit it, and look; without a fault, its calls are counted."""
        outcome = Outcome(operation.name, fault)
        before = leftovers.look()
        try:
            with Scene.copied(self._template, self._place) as scene:
                operation.prepare(scene)
                scene.close()
                with self._hit(outcome):
                    with closing(Scene(self._place)) as anew:
                        _look(operation, outcome, anew)
                    scene.clear()
        except Exception as error:
            outcome.problems.append("afterwards: " + "".join(traceback.format_exception(error)))
        outcome.problems += [f"left: {line}" for line in leftovers.left(before)]
        return outcome

    def fill(self, operation: Operation, free: int) -> Outcome:
        """Do the operation, on a disk on which so many bytes are free, and look when there is room again."""
        outcome = Outcome(operation.name, None, at=f"{free} bytes free")
        before = leftovers.look()
        try:
            with loop_disk(self._place, _DISK), Scene.copied(self._template, self._place) as scene:
                operation.prepare(scene)
                scene.close()
                with _filled(self._place, free):
                    outcome.told = _told(operation, scene)
                    scene.close()
                with closing(Scene(self._place)) as anew:
                    _look(operation, outcome, anew)
        except Exception as error:
            outcome.problems.append("afterwards: " + "".join(traceback.format_exception(error)))
        outcome.problems += [f"left: {line}" for line in leftovers.left(before)]
        return outcome

    @contextmanager
    def _hit(self, outcome: Outcome) -> Iterator[None]:
        """The operation, hit; its processes are watched until the end of the block."""
        pid = self._worker.begin(outcome.operation, self._place)
        watch = Watch(listening.taken(pid), outcome.fault, self._place, self._worker.pid)
        timer = threading.Timer(_LIMIT, kill, ([pid],))
        timer.start()
        self._worker.go()
        outcome.told = self._worker.end()
        if not timer.is_alive():
            outcome.problems.append(f"took more than {_LIMIT} s")
        timer.cancel()
        timer.join()
        watch.over()
        outcome.counts, outcome.at = watch.counts, watch.at
        try:
            yield
        finally:
            watch.close()


@contextmanager
def _filled(disk: Path, free: int) -> Iterator[None]:
    """A file takes all but so many bytes of a disk."""
    size, step = 0, 16 << 20
    with open(disk / "filler", "wb") as file:
        while step >= 1 << 10:
            try:
                os.posix_fallocate(file.fileno(), size, step)
                size += step
            except OSError:
                step //= 2
        file.truncate(size - free)
    try:
        yield
    finally:
        (disk / "filler").unlink()


def _told(operation: Operation, scene: Scene) -> dict[str, Any]:
    """What it says when the disk is full, as of a worker."""
    try:
        operation.work(scene)
    except Exception as error:
        is_said = isinstance(error, ck.ContainerkitError) and re.search("no space left|is full|are free", str(error))
        frames = "".join(traceback.format_tb(error.__traceback__)[-4:])
        return {"error": type(error).__name__, "message": str(error), "is_ours": bool(is_said), "trace": frames}
    return {}


def _look(operation: Operation, outcome: Outcome, scene: Scene) -> None:
    """What must be true now, and be true again when the operation is repeated."""
    told, problems = outcome.told, outcome.problems
    if told.get("error") and not told["is_ours"]:
        problems.append(f"raises {told['error']}: {told['message']}{told['trace']}")
    if told.get("error") and outcome.fault is None and not outcome.at:
        problems.append(f"fails unhit: {told['error']}: {told['message']}{told['trace']}")
    problems += [f"lost: {one}" for one in scene.lost(operation.takes)]
    problems += [f"scrap: {path}" for path in scene.scraps()]
    is_done = operation.is_done(scene)
    if is_done and told.get("error") and operation.fails_whole:
        problems.append(f"is there, and failed: {told['message']}")
    if not is_done:
        operation.work(scene)
        if not operation.is_done(scene):
            problems.append("done again, and not done")
    problems += [f"lost, done again: {one}" for one in (*scene.lost(operation.takes), *scene.damage())]
    problems += [f"scrap, done again: {path}" for path in (*scene.scraps(), *scene.parts())]
