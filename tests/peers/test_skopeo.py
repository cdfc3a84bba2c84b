"""Other tools read our store: its root is an OCI image layout."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from containerkit import Engine, Image
from containerkit.oci.manifest import DOCKER_MANIFEST
from tests import busybox

pytestmark = pytest.mark.skipif(
    shutil.which("skopeo") is None,
    reason="skopeo is not installed (Debian package skopeo): our layout is read by nobody",
)


def named(engine: Engine, image: Image) -> str:
    """How skopeo calls it."""
    entries = json.loads((engine.paths.root / "index.json").read_text())["manifests"]
    (annotations,) = [entry["annotations"] for entry in entries if entry["digest"] == image.digest]
    return f"oci:{engine.paths.root}:{annotations['org.opencontainers.image.ref.name']}"


def test_skopeo_reads_a_commit(tmp_path: Path) -> None:
    """Of an image of docker's kind, whose layers an OCI manifest calls otherwise."""
    tar = busybox.build_tar(tmp_path / "busybox.tar")
    subprocess.run(["gzip", tar], check=True)
    other = Engine(root=tmp_path / "other", run=tmp_path / "other-run")
    oci = named(other, Image.import_(f"{tar}.gz", tag="base", engine=other))
    copy = ["skopeo", "copy", "-q", "--insecure-policy"]
    subprocess.run([*copy, "--format", "v2s2", oci, f"dir:{tmp_path}/docker"], check=True)
    engine = Engine(root=tmp_path / "root", run=tmp_path / "run")
    with engine.store.ingest() as ingest:
        blobs = {path.name: ingest.put(path.read_bytes(), DOCKER_MANIFEST) for path in (tmp_path / "docker").iterdir()}
        engine.store.images.add(blobs["manifest.json"], "docker", ingest)
    box = engine.create("docker", "true", name="box")
    box.path("/etc/group").unlink()
    box.path("/made").write_text("x")
    made = box.commit("app", message="by hand")
    box.remove()
    raw = subprocess.run(["skopeo", "inspect", "--raw", named(engine, made)], check=True, capture_output=True).stdout
    assert [layer["mediaType"].rpartition("+")[2] for layer in json.loads(raw)["layers"]] == ["gzip", "zstd"]
    subprocess.run([*copy, named(engine, made), f"oci:{tmp_path}/copy:app"], check=True)
    other.close()
    engine.prune()
    engine.close()


def test_skopeo_reads_an_image_of_ours(tmp_path: Path) -> None:
    engine = Engine(root=tmp_path / "root", run=tmp_path / "run")
    tar = busybox.build_tar(tmp_path / "busybox.tar")
    image = Image.import_(tar, tag="busybox:1", changes=['CMD ["sh"]'], engine=engine)
    name = json.loads((tmp_path / "root" / "index.json").read_text())["manifests"][0]["annotations"]
    reference = f"oci:{tmp_path}/root:{name['org.opencontainers.image.ref.name']}"
    found = json.loads(subprocess.run(["skopeo", "inspect", reference], check=True, capture_output=True).stdout)
    assert found["Digest"] == image.digest and found["Architecture"] in image.platform
    # A copy reads and checks every blob.
    subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", reference, f"oci:{tmp_path}/copy:busybox"], check=True)
    copied = sorted(path.name for path in (tmp_path / "copy" / "blobs" / "sha256").iterdir())
    assert (
        set(copied) <= {path.name for path in (tmp_path / "root" / "blobs" / "sha256").iterdir()} and len(copied) == 3
    )
    engine.close()
