"""The programs of others, as tests call them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import leftovers


def needs(program: str, package: str) -> pytest.MarkDecorator:
    reason = f"{program} is not installed (Debian package {package}): nothing is exchanged with it"
    return pytest.mark.skipif(shutil.which(program) is None, reason=reason)


def run(*words: str | Path) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


class Docker:
    """A dockerd of the tests' own, and the client of its version: another may be found earlier."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.client = shutil.which("docker", path=os.defpath) or "docker"

    def __call__(self, *arguments: str | Path) -> str:
        return run(self.client, "-H", f"unix://{self.state}/socket", *arguments)

    def id(self, reference: str) -> str:
        return self("image", "inspect", "--format", "{{.Id}}", reference).strip()


@contextmanager
def dockerd(state: Path, *options: str) -> Iterator[Docker]:
    """A daemon that keeps everything below ``state``, and its client."""
    before = leftovers.look()
    # Where docker's containers are: made here, for docker leaves it behind.
    root, group = Path("/sys/fs/cgroup"), f"containerkit-peer-{os.getpid()}-{state.name}"
    places = {procs.with_name(group) for procs in (*root.glob("cgroup.procs"), *root.glob("*/cgroup.procs"))}
    command = [
        "dockerd", "-H", f"unix://{state}/socket", "--data-root", f"{state}/data", "--exec-root", f"{state}/exec",
        "--pidfile", f"{state}/pid", "--bridge", "none", "--iptables=false", "--ip6tables=false",
        "--cgroup-parent", f"/{group}", *options,
    ]  # fmt: skip
    for place in places:
        place.mkdir()
    with open(state / "log", "w") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        docker = Docker(state)
        deadline = time.monotonic() + 60
        while subprocess.run([docker.client, "-H", f"unix://{state}/socket", "info"], capture_output=True).returncode:
            assert time.monotonic() < deadline and daemon.poll() is None, (state / "log").read_text()[-2000:]
            time.sleep(0.2)
        yield docker
    finally:
        daemon.terminate()
        daemon.wait(timeout=60)
        for place in places:
            # BuildKit leaves the group above its containers'.
            for below in sorted((path for path in place.rglob("*") if path.is_dir()), reverse=True):
                below.rmdir()
            place.rmdir()
    found = leftovers.left(before)
    assert not found, "left behind:\n" + "\n".join(found)
