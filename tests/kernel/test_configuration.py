"""What the configuration says holds for the containers and images of its engine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import containerkit as ck
from containerkit import Engine, Image
from containerkit.options import LogOptions
from tests import loopback
from tests.engines import emptied
from tests.loopback import Web, says

LOUD = "i=0; while [ $i -lt 6000 ]; do echo line $i 0123456789012345678901234567890123456789; i=$((i+1)); done"


@pytest.fixture
def bounded(nothing_is_left: None, tmp_path: Path, busybox_tar: Path) -> Iterator[Engine]:
    """An engine whose containers have logs of two files of 64 KiB, with ``busybox``."""
    configuration = {"log": {"max_size": "64k", "max_file": 2}}
    with emptied(tmp_path / "root", tmp_path / "run", configuration=configuration) as engine:
        Image.import_(busybox_tar, tag="busybox", engine=engine)
        yield engine


def bounds(container: ck.Container) -> tuple[str, str]:
    found = container.inspect()["HostConfig"]["LogConfig"]["Config"]
    return found["max-size"], found["max-file"]


def files(container: ck.Container) -> dict[str, int]:
    directory = container._engine.paths.containers / container.id
    return {path.name: path.stat().st_size for path in sorted(directory.glob("log*"))}


def test_logs_are_as_large_as_the_configuration_says(bounded: Engine) -> None:
    container = bounded.run("busybox", ["sh", "-c", LOUD])
    assert container.wait(60) == 0 and bounds(container) == ("65536", "2")
    assert sorted(files(container)) == ["log", "log.1"] and max(files(container).values()) <= 65_536
    assert container.logs().splitlines()[-1].startswith("line 5999 ")
    # It is the container's own from then on: another engine's configuration changes nothing.
    other = Engine(bounded.paths.root, bounded.paths.run, configuration={"log": {"max_file": 9}})
    again = ck.Container.get(container.id, engine=other).start()
    assert again.wait(60) == 0 and sorted(files(again)) == ["log", "log.1"]
    other.close()


def test_who_runs_a_container_has_the_last_word_on_its_log(bounded: Engine) -> None:
    one = bounded.create("busybox", "true", log_options={"max_file": 5})
    assert bounds(one) == ("65536", "5")
    assert bounds(bounded.create("busybox", "true", log_options={"max-size": "1m"})) == ("1048576", "2")
    whole = bounded.create("busybox", "true", log_options=LogOptions())
    assert bounds(whole) == ("10485760", "3")


def test_a_call_s_output_is_whole_whatever_the_configuration_says(bounded: Engine) -> None:
    assert len(bounded.call("busybox", ["sh", "-c", LOUD]).stdout.splitlines()) == 6000


def test_without_limits_in_the_configuration_logs_are_as_ever(engine: Engine, image: Image) -> None:
    assert bounds(engine.create(image, "true")) == ("10485760", "3")


# -- additional registries -------------------------------------------------------------------------------------------


def test_an_id_is_no_short_name(nothing_is_left: None, tmp_path: Path) -> None:
    with loopback.serve() as web:
        given = {"registries": {"additional": [web.authority], "mirrors": {"docker.io": [web.url("/")]}}}
        engine = Engine(tmp_path / "root", tmp_path / "run", configuration=given)
        for id in ("0" * 64, "sha256:" + "0" * 64):
            with pytest.raises(ck.NotFound, match=f"^image {id}: not found locally$"):
                Image.get(id, engine=engine)
            with pytest.raises(ck.NotFound, match=f"^image {id}: not found locally$"):
                engine.create(id)
        assert web.requests == []
        engine.close()


# -- platform --------------------------------------------------------------------------------------------------------


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def offer(web: Web, name: str, *architectures: str) -> str:
    """An image of no layers for these architectures, as a registry has it; its reference."""

    def put(kind: str, data: bytes, media_type: str) -> dict[str, Any]:
        web.on(f"/v2/{name}/{kind}/{digest(data)}", says(200, data, Content_Type=media_type))
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    entries = []
    for architecture in architectures:
        config = {"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
        described = put("blobs", json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
        manifest = json.dumps({"schemaVersion": 2, "config": described, "layers": []}).encode()
        entry = put("manifests", manifest, "application/vnd.oci.image.manifest.v1+json")
        entries.append({**entry, "platform": {"architecture": architecture, "os": "linux"}})
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    web.on(f"/v2/{name}/manifests/latest", says(200, index, Content_Type="application/vnd.oci.image.index.v1+json"))
    web.on("/v2/", says(200, b"{}"))
    return f"{web.authority}/{name}"


def test_images_are_pulled_for_the_configuration_s_platform(nothing_is_left: None, tmp_path: Path) -> None:
    engine = Engine(tmp_path / "root", tmp_path / "run", configuration={"platform": "linux/s390x"})
    with loopback.serve() as web:
        reference = offer(web, "app", "amd64", "arm64", "s390x", "ppc64le")
        assert Image.pull(reference, engine=engine).platform == "linux/s390x"
        assert Image.pull(reference, platform="ppc64le", engine=engine).platform == "linux/ppc64le"
        reference = offer(web, "other", "amd64", "arm64")
        with pytest.raises(ck.NotFound, match=r"not for linux/s390x \(there is linux/amd64, linux/arm64\)$"):
            Image.pull(reference, engine=engine)
        # Where an image is asked for that is not here, the configuration's platform is what is pulled, too.
        with pytest.raises(ck.NotFound, match="not for linux/s390x"):
            engine.create(reference, "true")
    engine.close()
