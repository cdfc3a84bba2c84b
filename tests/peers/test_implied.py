"""Layers that do not name the directories above their files: the tree is docker's, where that unpacks onto those below.

It does with its driver vfs. With overlay2 docker 20.10 unpacks each layer alone, and has such directories as 0755 root.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerkit import Engine, Image
from tests import archives, trees
from tests.kernel.test_implied import BASE, LINK
from tests.peers.programs import Docker, dockerd, needs
from tests.tars import Member, info, tar

#: What docker itself makes.
_ITS_OWN = ("dev", "etc", "proc", "sys", ".dockerenv")
Tree = dict[str, tuple[object, ...]]


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    with dockerd(tmp_path_factory.mktemp("vfs"), "--storage-driver", "vfs") as found:
        yield found


def exported(docker: Docker, name: str) -> Tree:
    container = docker("create", name, "x").strip()
    command = [docker.client, "-H", f"unix://{docker.state}/socket", "export", container]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    docker("rm", container)
    found: Tree = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            content = archive.extractfile(member).read() if member.isreg() else member.linkname  # type: ignore[union-attr]
            looks = () if member.issym() else (member.mode & 0o7777,)
            found[member.name.strip("/")] = (member.type, *looks, member.uid, member.gid, content)
    return {name: facts for name, facts in found.items() if name.split("/")[0] not in _ITS_OWN}


def ours(image: Image, place: Path) -> Tree:
    kinds = {0o10: tarfile.REGTYPE, 0o04: tarfile.DIRTYPE, 0o12: tarfile.SYMTYPE}
    found: Tree = {}
    facts = trees.of_image(image, place)
    del facts["."]
    for name, (mode, uid, gid, _, content, *_) in facts.items():
        assert isinstance(mode, str)
        number = int(mode, 8)
        kind = kinds[number >> 12]
        looks = () if kind == tarfile.SYMTYPE else (number & 0o7777,)
        found[name] = (kind, *looks, uid, gid, "" if content is None else content)
    return found


@needs("dockerd", "docker.io")
@pytest.mark.parametrize(
    "members",
    [
        [info("tmp/x"), info("home/sub/y")],
        [info("lib/x"), info("absolute/y"), info("up/z")],
        [info("home/.wh.gone"), info("lib/.wh.old")],
        [info("home/.wh..wh..opq"), info("home/x")],
        [info("own", LINK, linkname="home/sub"), info("own/x")],
        [info("lib/x"), info("lib", tarfile.DIRTYPE, mode=0o700), info("lib/y")],
    ],
)
def test_the_tree_is_dockers(docker: Docker, engine: Engine, tmp_path: Path, members: list[Member]) -> None:
    (tmp_path / "app.tar").write_bytes(archives.tar(archives.docker(BASE, tar(*members), tags=["quay.io/app:1"])))
    docker("load", "-i", tmp_path / "app.tar")
    (image,) = Image.load(tmp_path / "app.tar", engine=engine)
    assert ours(image, tmp_path / "place") == exported(docker, "quay.io/app:1")
    docker("rmi", "quay.io/app:1")
