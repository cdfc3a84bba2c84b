"""What an init does between pivot_root and execve, seen by strace: it opens nothing that the plan does not name."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from containerkit import Engine, Image
from containerkit.supervise.client import spawner
from tests.processes import descendants
from tests.waiting import eventually


def is_traced(pid: int) -> bool:
    try:
        return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True  # it has ended meanwhile


@pytest.fixture
def traced(engine: Engine, image: Image, tmp_path: Path) -> str:
    """The system calls that name a file, of an init from its birth to its end."""
    if shutil.which("strace") is None:
        pytest.fail("strace is not installed (Debian package strace)")
    engine.call("busybox", "true")
    output = tmp_path / "trace"
    command = ["strace", "-ff", "-qq", "-e", "trace=%file,execve", "-o", str(output)]
    pids = [spawner.pid, *descendants(spawner.pid)]
    for pid in pids:
        command += ["-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    assert eventually(lambda: all(map(is_traced, pids)))
    engine.call("busybox", "true", user="web", workdir="/tmp")
    tracer.terminate()
    tracer.wait()
    texts = [path.read_text() for path in tmp_path.glob("trace.*")]
    return next(text for text in texts if "pivot_root" in text)


def test_nothing_is_opened_by_name_after_pivot_root(traced: str) -> None:
    calls = traced.splitlines()
    pivoted = next(number for number, call in enumerate(calls) if call.startswith("pivot_root"))
    executed = next(number for number, call in enumerate(calls) if call.startswith("execve") and call.endswith("= 0"))
    between = calls[pivoted + 1 : executed]
    allowed = re.compile(
        r'newfstatat\(\d, ""|'
        r'mount\("none", "\."|umount2\("\."|chdir\("/"|chdir\("/tmp"|getcwd\(|execve\("/[a-z/]+/true"'
    )
    assert [call for call in between if not allowed.match(call)] == []
    assert any(call.startswith('chdir("/tmp")') for call in between)
