"""Other tools read our store: its root is an OCI image layout."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from containerkit import Engine, Image
from tests import busybox

pytestmark = pytest.mark.skipif(
    shutil.which("skopeo") is None,
    reason="skopeo is not installed (Debian package skopeo): our layout is read by nobody",
)


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
