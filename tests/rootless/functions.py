"""Functions of an ordinary user, in a view of this machine: scenarios of :mod:`tests.rootless.scenarios`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import containerkit as ck
from containerkit import Engine

SCENARIOS = ("called", "viewed")


def called(engine: Engine, here: Path, users: int) -> None:
    """Values go in and out, errors come back, in order for many inputs."""

    @engine.function(timeout=30)
    def divide(x: int) -> Any:
        return os.getpid(), 12 / x

    assert divide(4) == (1, 3.0)
    try:
        divide.map([1, 0, 2], parallel=3)
    except ck.MapFailed as error:
        (_, twelve), problem, (_, six) = error.results
        assert (twelve, six) == (12, 6) and isinstance(problem, ZeroDivisionError)
    else:
        raise AssertionError("nothing failed")
    assert len(engine.containers) == 0 and not list(engine.store.paths.tmp.iterdir())


def viewed(engine: Engine, here: Path, users: int) -> None:
    """What is written vanishes, the user's files and those of others; what is not this user's stays closed."""
    mine = here / "out-mine"
    mine.mkdir()
    (mine / "kept").write_text("old")
    os.chdir(mine)

    @engine.function
    def change() -> Any:
        (mine / "kept").write_text("new")
        (mine / "made").write_text("x")
        Path("/var/tmp/made").write_text("x")
        tempfile.mkdtemp()
        refused = []
        for place in ("/etc/shadow", "/usr/bin/made"):
            try:
                Path(place).read_text() if os.path.exists(place) else Path(place).write_text("x")
            except OSError:
                refused.append(place)
        return (mine / "kept").read_text(), refused, os.getcwd(), sys.executable, os.path.exists("/usr/bin/env")

    text, refused, where, program, has_programs = change()
    assert text == "new" and (mine / "kept").read_text() == "old" and not (mine / "made").exists()
    assert not os.path.exists("/var/tmp/made") and not os.path.exists("/usr/bin/made") and "/etc/shadow" in refused
    assert (where, program, has_programs) == (os.getcwd(), sys.executable, True), (where, program)
