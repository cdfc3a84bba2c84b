"""Words of docker's command line, which podman shares."""

from __future__ import annotations

import contextlib
import os
import subprocess
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.bench import files, webimage
from tests.bench.logload import LOAD
from tests.bench.peers.host import run
from tests.bench.peers.peer import Peer
from tests.bench.side import Keeping, Work

_NONE = ("--network", "none")


class Client(Peer, Keeping):
    """One with the image ``bench`` and a container of it that goes on."""

    run_options: tuple[str, ...] = ()
    remove_options: tuple[str, ...] = ()
    pull_options: tuple[str, ...] = ()
    _is_changed = False

    @abstractmethod
    def client(self) -> list[str]:
        """How its command begins."""

    def __enter__(self) -> Client:
        self.call("import", str(self.rootfs_tar), "bench")
        self.start("none", "--name", "bench-long")
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove(["bench-long"])

    def call(self, *arguments: str) -> str:
        """What a command of it prints.

        Raises:
            RuntimeError: it fails.
        """
        return run(*self.client(), *arguments)

    def works(self) -> Mapping[str, Work]:
        return {
            "P1": Work(self._true),
            "P2": Work(lambda: self._true(*_NONE)),
            "P3": Work(lambda: self._true("-p", "18080:80")),
            "P4": Work(lambda: self.call("exec", "bench-long", "true")),
            "P5": Work(lambda: self.call("stats", "--no-stream", "bench-long")),
            "P6": Work(lambda: self.call("ps", "-a"), around=lambda: self._filled(100)),
            "P7": Work(self._twenty),
            "P8": Work(self._log),
            "P9": Work(lambda: self._build("--no-cache")),
            "P10": Work(self._build),
            "C1": Work(lambda: self.call("commit", "bench-long"), before=self._change),
        }

    def start(self, network: str, *options: str) -> str:
        words = ("run", *self.run_options, "-d", "--network", network, *options, "bench", "sleep", "3600")
        return self.call(*words).strip()

    def remove(self, ids: list[str]) -> None:
        self.call("rm", "-f", *self.remove_options, *ids)

    def keeper(self, id: str) -> int:
        """The parent of its first process."""
        pid = self.call("inspect", "-f", "{{.State.Pid}}", id).strip()
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])

    def _true(self, *options: str) -> None:
        self.call("run", *self.run_options, "--rm", *options, "bench", "true")

    @contextlib.contextmanager
    def _filled(self, count: int) -> Iterator[None]:
        """So many containers to list, with the one that goes on."""
        words = ("create", *self.run_options, *_NONE, "bench", "true")
        made = [self.call(*words).strip() for _ in range(count - 1)]
        yield
        self.call("rm", *made)

    def _twenty(self) -> None:
        command = [*self.client(), "run", *self.run_options, "--rm", *_NONE, "bench", "true"]
        started = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(20)]
        if failed := sum(process.wait() != 0 for process in started):
            raise RuntimeError(f"{failed} of 20 runs failed")

    def _log(self) -> None:
        id = self.call("run", *self.run_options, *_NONE, "-d", "bench", "sh", "-c", LOAD).strip()
        self.call("wait", id)
        self.call("rm", id)

    def _build(self, *options: str) -> None:
        self.call("build", *options, *_NONE, "-t", "bench-web", str(webimage.context(self.scratch)))

    def _change(self) -> None:
        """Something to commit; never twice the same."""
        if not self._is_changed:
            self.call("cp", str(files.to_commit(self.scratch)), "bench-long:/mixed")
            self._is_changed = True
        self.call("exec", "bench-long", "sh", "-c", "date +%N >/changed")
        os.sync()
