"""The machine runs beside all other tests, with what they leave of the processors: emulated, it takes minutes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.vm import machine

_PROCESS = pytest.StashKey[subprocess.Popen[bytes]]()
_OUTPUT = pytest.StashKey[Path]()


def pytest_collection_finish(session: pytest.Session) -> None:
    here = Path(__file__).parent
    wanted = any(here in item.path.parents for item in session.items)
    if not wanted or session.config.option.collectonly or "CONTAINERKIT_VM" in os.environ:
        return
    log, name = tempfile.mkstemp(prefix="vm-", suffix=".log")
    command = ["nice", "-n", "10", sys.executable, "-m", "tests.vm"]
    session.config.stash[_OUTPUT] = Path(name)
    session.config.stash[_PROCESS] = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=machine.ROOT
    )
    os.close(log)


def pytest_unconfigure(config: pytest.Config) -> None:
    if (process := config.stash.get(_PROCESS, None)) is not None:
        process.terminate()
        process.wait()
        config.stash[_OUTPUT].unlink()


@pytest.fixture
def finished(request: pytest.FixtureRequest) -> tuple[int, str]:
    """The exit code of the machine's run, once it has ended, and what it said."""
    stash = request.config.stash
    code = stash[_PROCESS].wait(machine.LIMIT)
    return code, stash[_OUTPUT].read_text(errors="replace")
