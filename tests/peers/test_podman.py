"""Podman runs containers with our runtime."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import busybox, leftovers

pytestmark = pytest.mark.skipif(
    shutil.which("podman") is None,
    reason="podman is not installed (Debian package podman): nobody else runs our runtime",
)
#: To raise limits, as podman does by default, takes a right that is not had everywhere.
LOW = ("--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


class Podman:
    """Podman with a state of its own."""

    def __init__(self, state: Path) -> None:
        runtime = Path(sys.executable).with_name("containerkit-runtime")
        self.words = [
            "podman", "--root", f"{state}/root", "--runroot", f"{state}/run", "--tmpdir", f"{state}/tmp",
            "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
            "--runtime", str(runtime),
        ]  # fmt: skip

    def __call__(self, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        words = [*self.words, *map(str, arguments)]
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload,no-any-return]

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return self("run", "--rm", *LOW, *arguments)


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    state = tmp_path_factory.mktemp("podman")
    podman = Podman(state)
    before = leftovers.look()
    assert podman("import", busybox.build_tar(state / "busybox.tar"), "busybox").returncode == 0
    yield podman
    podman("rm", "--all", "--force", "--time", "0")
    # It keeps a cgroup of its own, and mounts its storage onto itself.
    subprocess.run(["umount", f"{state}/root/overlay"], capture_output=True, check=False)
    found = leftovers.left(before, apart_from="libpod_parent")
    assert not found, "left behind:\n" + "\n".join(found)


def test_a_run(podman: Podman) -> None:
    done = podman.run("--hostname", "box", "busybox", "sh", "-c", "hostname; id -u; echo no >&2; exit 5")
    assert (done.returncode, done.stdout, done.stderr) == (5, "box\n0\n", "no\n")


@pytest.mark.parametrize(("program", "code"), [("nosuch", 127), ("/etc", 126)])
def test_what_cannot_be_executed(podman: Podman, program: str, code: int) -> None:
    assert podman.run("busybox", program).returncode == code


def test_a_user_a_mount_a_limit_and_a_read_only_root(podman: Podman, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "file").write_text("from the host\n")
    script = "id -u; cat /mnt/file; touch /mnt/no /no 2>/dev/null || echo read-only; echo x >/tmp/x && cat /tmp/x"
    options = ("--user", "33", "--read-only", "-v", f"{tmp_path}:/mnt:ro", "-m", "64m", "--pids-limit", "20")
    done = podman.run(*options, "busybox", "sh", "-c", script)
    assert done.stdout.splitlines() == ["33", "from the host", "read-only", "x"], done.stderr


def test_a_life(podman: Podman) -> None:
    assert podman("run", "-d", "--name", "life", *LOW, "-m", "64m", "busybox", "sleep", "60").returncode == 0
    done = podman("exec", "-i", "life", "sh", "-c", "cat; exit 4", input="typed\n")
    assert (done.returncode, done.stdout) == (4, "typed\n"), done.stderr
    assert podman("exec", "-t", "life", "tty").stdout.startswith("/dev/pts/")
    assert podman("exec", "life", "nosuch").returncode == 127
    assert podman("pause", "life").returncode == 0
    assert json.loads(podman("inspect", "life").stdout)[0]["State"]["Status"] == "paused"
    assert podman("unpause", "life").returncode == 0
    assert "sleep 60" in podman("top", "life").stdout
    assert "67.11MB" in podman("stats", "--no-stream", "life").stdout
    assert podman("stop", "--time", "1", "life").returncode == 0
    assert json.loads(podman("inspect", "life").stdout)[0]["State"]["ExitCode"] == 137
    assert podman("start", "life").returncode == 0
    assert podman("rm", "-f", "--time", "0", "life").returncode == 0


def test_a_terminal_and_an_init(podman: Podman) -> None:
    assert podman.run("-t", "busybox", "tty").stdout.startswith("/dev/pts/")
