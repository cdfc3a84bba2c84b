"""Bundles for the runtime alone, and the command that runs them."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    },
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
]
NAMESPACES = ("mount", "uts", "ipc", "pid", "network", "cgroup")


def make(path: Path, tar: Path) -> Path:
    """A bundle without a configuration yet, in a place that any user may pass through."""
    with tarfile.open(tar) as archive:
        archive.extractall(path / "rootfs", filter="tar")
    for parent in (path, *path.parents):
        if parent == Path("/tmp"):
            break
        parent.chmod(0o755)
    return path


def configure(bundle: Path, script: str, namespaces: tuple[str, ...] = NAMESPACES, **linux: Any) -> Path:
    """Write a configuration that runs a shell script."""
    config = {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "process": {"args": ["sh", "-c", script], "env": ["PATH=/bin"], "cwd": "/"},
        "hostname": "bundle",
        "mounts": MOUNTS,
        "linux": {"namespaces": [{"type": kind} for kind in namespaces], **linux},
    }
    (bundle / "config.json").write_text(json.dumps(config))
    return bundle


def change(bundle: Path, how: Callable[[dict[str, Any]], object]) -> Path:
    """Change the configuration in place."""
    config = json.loads((bundle / "config.json").read_text())
    how(config)
    (bundle / "config.json").write_text(json.dumps(config))
    return bundle


class Runtime:
    """The command, on a root of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def words(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "containerkit.runtime", "--root", str(self.root), *map(str, arguments)]

    def __call__(self, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(*arguments), capture_output=True, text=True, timeout=60, check=False, **options
        )

    def ok(self, *arguments: object, **options: Any) -> str:
        """As a call, for one that has to succeed: its output."""
        done = self(*arguments, **options)
        assert done.returncode == 0, f"{arguments}: {done.returncode}: {done.stderr}{done.stdout}"
        return done.stdout

    def detached(self, *arguments: object) -> None:
        """As :meth:`ok`, for one whose streams a container keeps."""
        null = subprocess.DEVNULL
        done = subprocess.run(self.words(*arguments), stdin=null, stdout=null, stderr=null, timeout=60, check=False)
        assert done.returncode == 0, f"{arguments}: {done.returncode}"

    def state(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ok("state", id))
        return found
