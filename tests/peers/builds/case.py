"""What a case is made of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

#: The time of all files in contexts: before any of what builds make.
THEN = 1_700_000_000
#: What a Dockerfile has for the address of the web server that the tests run.
WEB = "http://web.test"
Builder = Literal["buildkit", "classic"]
BOTH: tuple[Builder, ...] = ("buildkit", "classic")
BUILDKIT: tuple[Builder, ...] = ("buildkit",)
#: What BuildKit has put right since: it is not the reference.
CLASSIC_FIRST: tuple[Builder, ...] = ("classic", "buildkit")
CLASSIC: tuple[Builder, ...] = ("classic",)
NEITHER: tuple[Builder, ...] = ()


@dataclass(frozen=True)
class File:
    content: bytes | str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = THEN


@dataclass(frozen=True)
class Directory:
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Link:
    target: str


@dataclass(frozen=True)
class Hard:
    """Another name of a file that stands before it."""

    target: str


Files = Mapping[str, "bytes | str | File | Directory | Link | Hard"]


@dataclass(frozen=True)
class Expected:
    """What an image is to have, in the words of the Dockerfile reference, where no docker here can say it.

    Args:
        files: path → content, or what of :class:`built.Entry` it has (``{"mode": 0o600}``).
        absent: paths that are not there.
        config: what the config has, key by key.
        history: the instructions, as BuildKit writes them; None: not looked at.
        layers: how many, without the base's.
    """

    files: Mapping[str, str | Mapping[str, Any]] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[str, ...] | None = None
    layers: int | None = None


@dataclass(frozen=True)
class Case:
    """A Dockerfile and what a build of it is given.

    Args:
        builders: docker's that know the syntax; the first is the reference.
        parent: the Dockerfile of ``parent``, which is built before, in the same context.
        expected: beside, or in place of, docker.
        refused: all builders are to refuse it.
        differs: why docker's two builders do not agree; the regular expressions of these differences are its keys.
        ours: why ours does not agree with the reference, in the same form.
    """

    name: str
    dockerfile: str | bytes
    files: Files = field(default_factory=dict)
    build_args: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    dockerfile_name: str = "Dockerfile"
    builders: tuple[Builder, ...] = BOTH
    parent: str | None = None
    expected: Expected | None = None
    refused: bool = False
    differs: Mapping[str, str] = field(default_factory=dict)
    ours: Mapping[str, str] = field(default_factory=dict)

    def write(self, place: Path, web: str) -> Path:
        """The context at ``place``, with its Dockerfile."""
        place.mkdir()
        for name, content in self.files.items():
            _write(place / name, content)
        text = self.dockerfile.encode() if isinstance(self.dockerfile, str) else self.dockerfile
        _write(place / self.dockerfile_name, text.replace(WEB.encode(), web.encode()))
        # Files have their own time; of directories and links it is known when all is there.
        for path in sorted(place.rglob("*"), reverse=True):
            if path.is_symlink() or path.is_dir():
                os.utime(path, (THEN, THEN), follow_symlinks=False)
        return place


def _write(path: Path, content: bytes | str | File | Directory | Link | Hard) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Link):
        path.symlink_to(content.target)
    elif isinstance(content, Hard):
        path.hardlink_to(path.parent / content.target)
    elif isinstance(content, Directory):
        path.mkdir(exist_ok=True)
        _owned(path, content.mode, content.uid, content.gid)
    else:
        file = content if isinstance(content, File) else File(content)
        path.write_bytes(file.content.encode() if isinstance(file.content, str) else file.content)
        _owned(path, file.mode, file.uid, file.gid)
        os.utime(path, (file.mtime, file.mtime))


def _owned(path: Path, mode: int, uid: int, gid: int) -> None:
    os.chown(path, uid, gid)
    path.chmod(mode)
