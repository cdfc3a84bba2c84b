"""Docker's two builders make the same layers of COPY and ADD."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.kernel.test_build_copying import ARCHIVE, BASE, Bench, Lines, fill, lines
from tests.peers.programs import Docker, needs

pytestmark = needs("dockerd", "docker.io")

#: What is copied, with the instruction's flags; and which builders do it: the first has no --chmod, the second wants a
#: slash behind every directory that takes several files.
BOTH, LEGACY, BUILDKIT = ("0", "1"), ("0",), ("1",)
CASES: list[tuple[str, str, dict[str, object], tuple[str, ...]]] = [
    ("COPY", words, {}, BOTH)
    for words in (
        "f /new", "f /new/", "f /a/b/c/", "f /there", "f /there/", "f /file", "f /link/", "f /link", "f /absolute/",
        "f /link/new/x", "f /link/../x", "f /dangling", "f /dangling/", "f /tofile", "f d /new/", "d /there",
        "d /there/", "d /", "d/sub /there", "empty /new", "links /", "lf /got", "lf /got/", "ld /got", "abs /got",
        "up /got", "lf* /g/", "d/* /got/", "f zz* /got/", "d/sub/../../f /got/", "d/[a-h] /got", "d/[^h]* /got/",
    )
]  # fmt: skip
CASES += [("COPY", words, {"chown": chown}, BOTH) for words, chown in (
    ("f /x/y/", "7:8"), ("d /x", "app"), ("f /x", "app:staff"), ("f /x", "77"), ("f /x", "100"), ("d /there", "1:2"),
)]  # fmt: skip
CASES += [("COPY", words, {"chmod": chmod}, BUILDKIT) for words, chmod in (("d /m/n", "601"), ("f /m", "755"))]
CASES += [("COPY", words, {}, BUILDKIT) for words in ("d f /new", "f zz /there", "d other /new", "../f /got")]
CASES += [("COPY", "d /x/y", {"chown": "app"}, BUILDKIT), ("COPY", "*/h /got/", {}, LEGACY)]
CASES += [("ADD", words, {"is_add": True}, BOTH) for words in ("f /t", "a.tar /t", "a.tar /there", "d /t", "a.* /t/")]


class Pair:
    """The same context for both."""

    def __init__(self, docker: Docker, place: Path) -> None:
        self.docker, self.bench = docker, Bench(place)
        fill(self.bench)
        context = self.bench.context
        for name, target in (("lf", "f"), ("ld", "d"), ("up", "../../f"), ("abs", "/d/h")):
            (context / name).symlink_to(target)
        self.bench.file("other/o")
        self.bench.file("zz", "zz")
        self.bench.file("a.tar", ARCHIVE)
        self.bench.file("base.tar", BASE)

    def build(self, instruction: str, builder: str) -> Lines:
        """Its layer."""
        dockerfile = self.bench.file("Dockerfile", f"FROM scratch\nADD base.tar /\n{instruction}\n")
        command = [
            self.docker.client,
            "-H",
            f"unix://{self.docker.state}/socket",
            "build",
            "-q",
            "--no-cache",
            "-t",
            "copied",
        ]
        done = subprocess.run(
            [*command, dockerfile.parent], env={"DOCKER_BUILDKIT": builder}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        saved = self.bench.place / "saved.tar"
        self.docker("save", "-o", saved, "copied")
        with tarfile.open(saved) as archive:
            (manifest,) = json.loads(contents(archive, "manifest.json"))
            layer = contents(archive, manifest["Layers"][-1])
        return unpacked(layer, self.bench.place / f"docker-{builder}")


def contents(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def unpacked(layer: bytes, place: Path) -> Lines:
    place.mkdir()
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        archive.extractall(place, filter="fully_trusted")
    return lines(place)


def said(word: str, words: str, more: dict[str, object]) -> str:
    flags = [f"--{name}={value}" for name, value in more.items() if name in ("chown", "chmod")]
    return " ".join([word, *flags, words])


@pytest.mark.parametrize(("word", "words", "more", "builders"), CASES, ids=lambda value: str(value)[:20])
def test_a_layer_is_what_docker_makes(
    docker: Docker, tmp_path: Path, word: str, words: str, more: dict[str, object], builders: tuple[str, ...]
) -> None:
    pair = Pair(docker, tmp_path)
    ours = lines(pair.bench.write(pair.bench.plan(words, **more)))  # type: ignore[arg-type] # as the cases say
    for builder in builders:
        assert pair.build(said(word, words, more), builder) == ours
