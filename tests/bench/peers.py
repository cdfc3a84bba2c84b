"""The peers: each work as a function without arguments, or None where the peer has no such thing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import webimage

Work = Callable[[], object]


def _run(*arguments: str | Path, **more: object) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, **more)  # type: ignore[call-overload]
    if done.returncode:
        raise RuntimeError(f"{arguments[0]}: exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    return str(done.stdout)


#: Their bridges and rules are in a network namespace of their own, in nobody's way; what reaches their containers
#: begins so. (Not `ip netns exec`: that hides cgroups.)
HOST = ("nsenter", "--net=/run/netns/ckbench")


@contextlib.contextmanager
def host() -> Iterator[None]:
    """That network namespace."""
    _run("ip", "netns", "add", "ckbench")
    try:
        _run(*HOST, "ip", "link", "set", "lo", "up")
        yield
    finally:
        _run("ip", "netns", "delete", "ckbench")


class Peer:
    """Words of docker's command line, which podman shares."""

    name = ""
    run_options: tuple[str, ...] = ()

    def __init__(self, rootfs_tar: Path, scratch: Path) -> None:
        self.scratch = scratch
        self.is_filled = False
        self.rootfs_tar = rootfs_tar

    def client(self) -> list[str]:
        raise NotImplementedError

    def __enter__(self) -> Peer:
        self.call("import", str(self.rootfs_tar), "bench")
        self.call("run", *self.run_options, "-d", "--network", "none", "--name", "bench-long", "bench", "sleep", "3600")
        return self

    def __exit__(self, *exception: object) -> None:
        subprocess.run([*self.client(), "rm", "-f", "bench-long"], capture_output=True, check=False)

    def call(self, *arguments: str) -> str:
        return _run(*self.client(), *arguments)

    def works(self) -> dict[str, Work]:
        none = ("--network", "none")
        return {
            "P1": lambda: self.call("run", *self.run_options, "--rm", "bench", "true"),
            "P2": lambda: self.call("run", *self.run_options, "--rm", *none, "bench", "true"),
            "P3": lambda: self.call("run", *self.run_options, "--rm", "-p", "18080:80", "bench", "true"),
            "P4": lambda: self.call("exec", "bench-long", "true"),
            "P5": lambda: self.call("stats", "--no-stream", "bench-long"),
            "P6": lambda: self.call("ps", "-a"),
            "P7": self.twenty,
            "P8": lambda: self.logged(),
            "P9": lambda: self.build("--no-cache"),
            "P10": lambda: self.build(),
            "C1": lambda: self.call("commit", "bench-long"),
        }

    def build(self, *options: str) -> None:
        self.call("build", *options, "--network", "none", "-t", "bench-web", str(webimage.context(self.scratch)))

    def twenty(self) -> None:
        command = [*self.client(), "run", *self.run_options, "--rm", "--network", "none", "bench", "true"]
        started = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(20)]
        for process in started:
            process.wait()

    def before(self, figure: str) -> Work:
        """What is to be done before each work, uncounted."""
        return self.change if figure == "C1" else lambda: None

    def change(self) -> None:
        """Something to commit; never twice the same."""
        if not self.is_filled:
            self.call("cp", f"{self.scratch}/mixed", "bench-long:/mixed")
            self.is_filled = True
        self.call("exec", "bench-long", "sh", "-c", "date +%N >/changed")
        os.sync()

    def logged(self) -> None:
        self.call("run", *self.run_options, "--network", "none", "--name", "bench-log", "-d", "bench", "sh", "-c", LOAD)
        self.call("wait", "bench-log")
        self.call("rm", "bench-log")


#: 200 MB in lines of 64 characters; made once and copied, for `yes` is slower than any log.
LOAD = (
    "yes 123456789012345678901234567890123456789012345678901234567890123 | head -c 2000000 >/tmp/lines;"
    "i=0; while [ $i -lt 100 ]; do cat /tmp/lines; i=$((i+1)); done"
)


class Docker(Peer):
    """dockerd of this directory's own, started here and ended here."""

    name = "docker"

    def client(self) -> list[str]:
        return ["docker", "-H", f"unix://{self.scratch}/docker.sock"]

    def __enter__(self) -> Peer:
        state = self.scratch / "docker"
        state.mkdir()
        self.daemon = subprocess.Popen(
            [*HOST, "dockerd", "-H", f"unix://{self.scratch}/docker.sock", "--data-root", state / "data",
             "--exec-root", state / "exec", "--pidfile", state / "pid"],
            stdout=subprocess.DEVNULL, stderr=open(state / "log", "w"), start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if subprocess.run([*self.client(), "info"], capture_output=True, check=False).returncode == 0:
                return super().__enter__()
            time.sleep(0.5)
        self._stop()
        raise RuntimeError("dockerd does not come up; its log: " + (state / "log").read_text()[-2000:])

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self._stop()

    def _stop(self) -> None:
        self.daemon.terminate()
        self.daemon.wait(timeout=60)

    def memory(self) -> float | None:
        """MB held per running container by its shim."""
        pid = int(self.call("inspect", "-f", "{{.State.Pid}}", "bench-long"))
        return _pss(_parent(pid))


class Podman(Peer):
    """With low limits: to raise them, as it does by default, takes CAP_SYS_RESOURCE, which is not had everywhere."""

    name = "podman"
    run_options = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")

    def client(self) -> list[str]:
        state = self.scratch / "podman"
        return [*HOST, "podman", "--root", f"{state}/root", "--runroot", f"{state}/run", "--runtime", "runc",
                "--cgroup-manager", "cgroupfs", "--events-backend", "file"]  # fmt: skip

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        _unmount(self.scratch / "podman/root/overlay")

    def memory(self) -> float | None:
        pid = int(self.call("inspect", "-f", "{{.State.Pid}}", "bench-long"))
        return _pss(_parent(pid))


class Buildah(Peer):
    """Builds alone, with the cache of layers that it has only when asked."""

    name = "buildah"

    def client(self) -> list[str]:
        state = self.scratch / "buildah"
        return [*HOST, "buildah", "--root", f"{state}/root", "--runroot", f"{state}/run"]

    def __enter__(self) -> Peer:
        container = self.call("from", "scratch").strip()
        self.call("add", container, str(self.rootfs_tar), "/")
        self.call("commit", "--rm", container, "bench")
        return self

    def __exit__(self, *exception: object) -> None:
        _unmount(self.scratch / "buildah/root/overlay")

    def works(self) -> dict[str, Work]:
        layers = ("--layers", "--runtime", "runc")
        return {"P9": lambda: self.build("--no-cache", *layers), "P10": lambda: self.build(*layers)}

    def memory(self) -> float | None:
        return None


class Runc(Peer):
    """runc alone on a bundle: no image, no storage, no log."""

    name = "runc"

    def __enter__(self) -> Peer:
        bundle = self.scratch / "bundle"
        (bundle / "rootfs").mkdir(parents=True)
        _run("tar", "-xf", self.rootfs_tar, "-C", bundle / "rootfs")
        _run("runc", "spec", cwd=bundle)
        config = json.loads((bundle / "config.json").read_text())
        config["process"].update(terminal=False, args=["true"])
        (bundle / "config.json").write_text(json.dumps(config))
        self.bundle = bundle
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def works(self) -> dict[str, Work]:
        root = str(self.scratch / "runc")
        return {"P2": lambda: _run("runc", "--root", root, "run", f"bench-{os.getpid()}", cwd=self.bundle)}

    def memory(self) -> float | None:
        return None


class Bubblewrap(Peer):
    """Namespaces and nothing else: the floor."""

    name = "bubblewrap"

    def __enter__(self) -> Peer:
        self.rootfs = self.scratch / "bwrap"
        self.rootfs.mkdir()
        _run("tar", "-xf", self.rootfs_tar, "-C", self.rootfs)
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def works(self) -> dict[str, Work]:
        return {"P2": lambda: _run("bwrap", "--unshare-all", "--ro-bind", self.rootfs, "/", "--proc", "/proc", "true")}

    def memory(self) -> float | None:
        return None


#: name → (class, the program it needs, the Debian package that has it)
PEERS = {
    "docker": (Docker, "dockerd", "docker.io"),
    "podman": (Podman, "podman", "podman"),
    "buildah": (Buildah, "buildah", "buildah"),
    "runc": (Runc, "runc", "runc"),
    "bubblewrap": (Bubblewrap, "bwrap", "bubblewrap"),
}


def available() -> tuple[list[type[Peer]], list[str]]:
    """The classes of the peers that are installed, and a line about each that is not."""
    found: list[type[Peer]] = []
    missing = []
    for name, (kind, program, package) in PEERS.items():
        if shutil.which(program):
            found.append(kind)
        else:
            missing.append(f"{name}: {program} is not installed (Debian package {package})")
    return found, missing


def _unmount(place: Path) -> None:
    """The storage directory that podman and buildah mount onto itself, more than once, and leave so.

    What cleans up after the last container is still there for a moment.
    """
    quiet = 0
    for _ in range(100):
        if f" {place} " in Path("/proc/self/mountinfo").read_text():
            subprocess.run(["umount", place], capture_output=True, check=False)
            quiet = 0
        quiet += 1
        if quiet > 20:
            break
        time.sleep(0.1)


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(") ")[2].split()[1])


def _pss(pid: int) -> float:
    return pss(pid)


def pss(pid: int) -> float:
    """A process's proportional share of memory, in MB."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1000
    return 0.0
