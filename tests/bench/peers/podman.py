"""podman, with runc."""

from __future__ import annotations

from tests.bench.peers.client import Client
from tests.bench.peers.host import HOST
from tests.bench.peers.storage import unmount


class Podman(Client):
    """With low limits: to raise them, as it does by default, takes CAP_SYS_RESOURCE, which is not had everywhere."""

    name = "podman"
    program, package = "podman", "podman"
    run_options = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
    remove_options = ("-t", "0")  # kill, as docker does
    pull_options = ("--tls-verify=false",)

    def client(self) -> list[str]:
        state = self.scratch / "podman"
        return [*HOST, "podman", "--root", f"{state}/root", "--runroot", f"{state}/run", "--runtime", "runc",
                "--cgroup-manager", "cgroupfs", "--events-backend", "file"]  # fmt: skip

    def __exit__(self, *exception: object) -> None:
        try:
            super().__exit__(*exception)
        finally:
            unmount(self.scratch / "podman/root/overlay")
