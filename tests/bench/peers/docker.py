"""docker, with a daemon of this run's own."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.bench.peers.client import Client
from tests.bench.peers.host import HOST


class Docker(Client):
    """dockerd is started here and ended here."""

    name = "docker"
    program, package = "dockerd", "docker.io"

    def client(self) -> list[str]:
        return ["docker", "-H", f"unix://{self.scratch}/docker.sock"]

    def __enter__(self) -> Docker:
        state = self.scratch / "docker"
        state.mkdir()
        with open(state / "log", "w") as log:
            self._daemon = subprocess.Popen(
                [*HOST, "dockerd", "-H", f"unix://{self.scratch}/docker.sock", "--data-root", state / "data",
                 "--exec-root", state / "exec", "--pidfile", state / "pid"],
                stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            self._wait(state / "log")
            super().__enter__()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            super().__exit__(*exception)
        finally:
            self._stop()

    def daemons(self) -> list[int]:
        """dockerd and its containerd."""
        pid = self._daemon.pid
        children = Path(f"/proc/{pid}/task").glob("*/children")
        return [pid, *(int(child) for path in children for child in path.read_text().split())]

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if subprocess.run([*self.client(), "info"], capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.5)
        raise RuntimeError("dockerd does not come up; its log: " + log.read_text()[-2000:])

    def _stop(self) -> None:
        self._daemon.terminate()
        self._daemon.wait(timeout=60)
