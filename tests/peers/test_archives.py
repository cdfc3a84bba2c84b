"""Archives go to docker, podman and skopeo, and come back from them: the same images, that run here and there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from containerkit import Engine, Image
from tests import leftovers
from tests.peers.programs import Docker, needs, run
from tests.peers.test_podman import Podman


@pytest.fixture
def image(engine: Engine, busybox_tar: Path) -> Image:
    changes = ['CMD ["sh", "-c", "echo $A from $(id -u) in $PWD"]', "ENV A=hello", "WORKDIR /var/www", "USER web"]
    return Image.import_(busybox_tar, tag="quay.io/box:1", changes=changes, engine=engine)


SAYS = "hello from 33 in /var/www\n"


# -- docker ----------------------------------------------------------------------------------------------------------


@needs("dockerd", "docker.io")
@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_an_image_goes_to_docker_and_comes_back(
    docker: Docker, image: Image, elsewhere: Engine, tmp_path: Path, ending: str
) -> None:
    image.save(tmp_path / f"image.{ending}")
    assert docker("load", "-i", tmp_path / f"image.{ending}") == "Loaded image: quay.io/box:1\n"
    assert docker.id("quay.io/box:1") == image.id
    assert docker("run", "--rm", "--network", "none", "quay.io/box:1") == SAYS
    docker("save", "-o", tmp_path / "back.tar", "quay.io/box:1")
    docker("rmi", "quay.io/box:1")
    (back,) = Image.load(tmp_path / "back.tar", engine=elsewhere)
    assert (back.id, back.tags, back.config) == (image.id, image.tags, image.config)
    assert elsewhere.call(back, check=True).stdout == SAYS


@needs("dockerd", "docker.io")
def test_images_with_shared_layers_go_to_docker_and_come_back(
    docker: Docker, image: Image, engine: Engine, elsewhere: Engine, tmp_path: Path
) -> None:
    image.save(tmp_path / "image.tar")
    docker("load", "-i", tmp_path / "image.tar")
    docker("run", "--name", "made", "--network", "none", "-u", "0", "quay.io/box:1", "sh", "-c", "echo new >/new")
    docker("commit", "-c", "CMD cat /new", "made", "quay.io/new:1")
    docker("rm", "made")
    docker("tag", "quay.io/new:1", "quay.io/new:2")
    # Of a shared layer docker writes a symbolic link to the first.
    docker("save", "-o", tmp_path / "both.tar", "quay.io/box:1", "quay.io/new:1", "quay.io/new:2")
    new_id = docker.id("quay.io/new:1")
    # In an order that docker leaves to chance.
    loaded = {one.id: one for one in Image.load(tmp_path / "both.tar", engine=elsewhere)}
    assert loaded.keys() == {image.id, new_id}
    old, new = loaded[image.id], loaded[new_id]
    assert new.tags == ("quay.io/new:1", "quay.io/new:2") and new.layers[:-1] == old.layers
    assert elsewhere.call(new, check=True, user="0").stdout == "new\n"
    docker("rmi", "quay.io/box:1", "quay.io/new:1", "quay.io/new:2")
    elsewhere.images.save(tmp_path / "again.tar", old, new)
    docker("load", "-i", tmp_path / "again.tar")
    assert [docker.id(name) for name in ("quay.io/box:1", "quay.io/new:1", "quay.io/new:2")] == [old.id, new.id, new.id]
    assert docker("run", "--rm", "--network", "none", "-u", "0", "quay.io/new:2") == "new\n"
    docker("rmi", "quay.io/box:1", "quay.io/new:1", "quay.io/new:2")


# -- podman ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    state = tmp_path_factory.mktemp("podman")
    podman = Podman(state)
    before = leftovers.look()
    assert podman("images").returncode == 0
    yield podman
    subprocess.run(["umount", f"{state}/root/overlay"], capture_output=True, check=False)
    found = leftovers.left(before, apart_from="libpod_parent")
    assert not found, "left behind:\n" + "\n".join(found)


def check(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, f"{done.args}: {done.stderr}"
    return done.stdout


@needs("podman", "podman")
# Not tar.gz of the docker format: podman 4.3 reads no such archive of anybody's.
@pytest.mark.parametrize(
    ("format", "ending"), [("docker", "tar"), ("docker", "tar.zst"), ("oci", "tar"), ("oci", "tar.gz")]
)
def test_an_image_goes_to_podman_and_comes_back(
    podman: Podman, image: Image, elsewhere: Engine, tmp_path: Path, format: Literal["docker", "oci"], ending: str
) -> None:
    image.save(tmp_path / f"image.{ending}", format=format)
    assert "Loaded image: quay.io/box:1" in check(podman("load", "-i", tmp_path / f"image.{ending}"))
    assert check(podman("images", "--no-trunc", "--format", "{{.Id}}", "quay.io/box:1")).strip() == image.id[7:]
    assert check(podman.run("quay.io/box:1")) == SAYS
    back = "docker-archive" if format == "docker" else "oci-archive"
    check(podman("save", "--format", back, "-o", tmp_path / "back.tar", "quay.io/box:1"))
    check(podman("rmi", "quay.io/box:1"))
    (loaded,) = Image.load(tmp_path / "back.tar", engine=elsewhere)
    assert (loaded.id, loaded.tags) == (image.id, image.tags)
    assert elsewhere.call(loaded, check=True).stdout == SAYS


@needs("podman", "podman")
def test_several_images_go_to_podman_and_come_back(
    podman: Podman, image: Image, engine: Engine, elsewhere: Engine, tmp_path: Path
) -> None:
    (tmp_path / "tree").mkdir()
    second = Image.import_(tmp_path / "tree", tag="localhost/tree:1", engine=engine).tag("localhost/tree:2")
    engine.images.save(tmp_path / "both.tar", image, second)
    check(podman("load", "-i", tmp_path / "both.tar"))
    names = ("quay.io/box:1", "localhost/tree:1", "localhost/tree:2")
    check(podman("save", "-m", "-o", tmp_path / "back.tar", *names))
    check(podman("rmi", *names))
    loaded = Image.load(tmp_path / "back.tar", engine=elsewhere)
    assert [(one.id, one.tags) for one in loaded] == [(one.id, one.tags) for one in (image, second)]


# -- skopeo ----------------------------------------------------------------------------------------------------------


def copy(*words: str) -> None:
    run("skopeo", "copy", "-q", "--insecure-policy", *words)


@needs("skopeo", "skopeo")
def test_an_oci_archive_goes_through_skopeo_with_its_digest(image: Image, elsewhere: Engine, tmp_path: Path) -> None:
    image.tag("docker.io/library/box:2")
    image.save(tmp_path / "image.tar", format="oci")
    for name in image.tags:
        full = name if "/" in name else f"docker.io/library/{name}"
        found = json.loads(run("skopeo", "inspect", f"oci-archive:{tmp_path}/image.tar:{full}"))
        assert found["Digest"] == image.digest
    copy(f"oci-archive:{tmp_path}/image.tar:quay.io/box:1", f"oci-archive:{tmp_path}/back.tar:quay.io/back:1")
    copy(f"oci-archive:{tmp_path}/image.tar:quay.io/box:1", f"oci:{tmp_path}/back:latest")
    (back,) = Image.load(tmp_path / "back.tar", engine=elsewhere)
    assert (back.id, back.digest, back.tags) == (image.id, image.digest, ("quay.io/back:1",))
    assert elsewhere.call(back, check=True).stdout == SAYS
    back.remove()
    # A word alone may be a tag: nobody knows of what.
    (back,) = Image.load(tmp_path / "back", engine=elsewhere)
    assert (back.digest, back.tags) == (image.digest, ())


@needs("skopeo", "skopeo")
def test_a_docker_archive_goes_through_skopeo_with_its_id(image: Image, elsewhere: Engine, tmp_path: Path) -> None:
    image.save(tmp_path / "image.tar.zst")
    copy(f"docker-archive:{tmp_path}/image.tar.zst:quay.io/box:1", f"docker-archive:{tmp_path}/back.tar:quay.io/back:1")
    (back,) = Image.load(tmp_path / "back.tar", engine=elsewhere)
    assert (back.id, back.tags) == (image.id, ("quay.io/back:1",))
    assert elsewhere.call(back, check=True).stdout == SAYS
    # An OCI layout of it has another config, which skopeo writes anew, and the same layers.
    copy(f"docker-archive:{tmp_path}/image.tar.zst:quay.io/box:1", f"oci-archive:{tmp_path}/oci.tar:quay.io/oci:1")
    (converted,) = Image.load(tmp_path / "oci.tar", engine=elsewhere)
    assert converted.layers == image.layers and elsewhere.call(converted, check=True).stdout == SAYS
