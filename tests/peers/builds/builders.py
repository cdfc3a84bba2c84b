"""Builds: by docker's two builders, and by ours."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from containerkit import Engine, Image
from containerkit.errors import ContainerkitError
from tests.peers.builds.built import Built, read
from tests.peers.builds.case import WEB, Builder, Case
from tests.peers.programs import Docker


@dataclass(frozen=True)
class Refused:
    """No image, and what was said."""

    message: str


@dataclass(frozen=True)
class Dockers:
    """docker's two builders; ``busybox`` has to be there.

    Args:
        web: the address of the server that ADD fetches from.
    """

    docker: Docker
    web: str

    def build(self, case: Case, builder: Builder) -> Built | Refused:
        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory)
            context = case.write(place / "context", self.web)
            if case.parent is not None:
                (place / "Dockerfile").write_text(case.parent)
                self._run(builder, "build", "--network", "none", "-t", "parent", "-f", place / "Dockerfile", context)
            done = self._run(builder, *self._words(case, place, context))
            # A Dockerfile that a daemon does not survive is none that it refuses.
            assert "the Docker daemon" not in done.stderr and "reading from server" not in done.stderr, done.stderr
            if done.returncode:
                return Refused(done.stderr.strip().replace(self.web, WEB))
            self.docker("save", "-o", place / "archive", "built")
            return read(place / "archive")

    def _run(self, builder: Builder, *words: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DOCKER_BUILDKIT": "1" if builder == "buildkit" else "0"}
        command = [self.docker.client, "-H", f"unix://{self.docker.state}/socket", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def _words(self, case: Case, place: Path, context: Path) -> list[str | Path]:
        words: list[str | Path] = [
            "build",
            "--network",
            "none",
            "-t",
            "built",
            "-f",
            context / case.dockerfile_name,
        ]
        for name, value in case.build_args.items():
            words += ["--build-arg", f"{name}={value}"]
        for name, value in case.labels.items():
            words += ["--label", f"{name}={value}"]
        for name, value in case.secrets.items():
            (place / name).write_text(value)
            words += ["--secret", f"id={name},src={place / name}"]
        return [*words, *(["--target", case.target] if case.target else []), context]


@dataclass(frozen=True)
class Ours:
    """Our builder, in an engine that has ``busybox``."""

    engine: Engine
    web: str

    def build(self, case: Case) -> Built | Refused:
        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory)
            context = case.write(place / "context", self.web)
            try:
                if case.parent is not None:
                    (place / "Dockerfile").write_text(case.parent)
                    self._build(context, dockerfile=place / "Dockerfile", tag="parent", network="none")
                image = self._build(
                    context, dockerfile=case.dockerfile_name, tag="built", build_args=case.build_args,
                    target=case.target, labels=case.labels,
                    secrets={name: value.encode() for name, value in case.secrets.items()}, network="none",
                )  # fmt: skip
            except ContainerkitError as error:
                return Refused(str(error).replace(self.web, WEB))
            image.save(place / "archive")
            return read(place / "archive")

    def _build(self, context: Path, **options: Any) -> Image:
        return Image.build(context, progress=False, timeout=60, engine=self.engine, **options)
