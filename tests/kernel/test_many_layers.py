"""Images of many layers: how they are stacked depends on what fits the kernel's options."""

from __future__ import annotations

import io
import tarfile

import pytest

from containerkit import Engine, Image
from containerkit.layers.pack import repack
from containerkit.oci import codec, platforms
from containerkit.oci import manifest as oci
from containerkit.oci.image_config import ContainerConfig, ImageConfig, RootFS
from containerkit.oci.manifest import Descriptor


def stack(engine: Engine, base: Image, count: int) -> Image:
    """``base`` with so many layers more, each with a file of its own."""
    record = base._record
    described, diff_ids = list(record.layers), list(record.config.rootfs.diff_ids)
    with engine.store.ingest() as ingest:
        for number in range(count):
            archive = io.BytesIO()
            with tarfile.open(fileobj=archive, mode="w") as tar:
                tar.addfile(tarfile.TarInfo(f"layer-{number}"))
            archive.seek(0)
            with ingest.writer() as writer:
                packed = repack(archive, writer, "test")
            described.append(Descriptor(oci.layer_media_type("zstd"), writer.digest, writer.size))
            diff_ids.append(packed.diff_id)
        machine = platforms.this_machine()
        config = ImageConfig(machine.architecture, machine.os, RootFS("layers", tuple(diff_ids)), ContainerConfig())
        blob = ingest.put(codec.dumps(config).encode(), oci.OCI_CONFIG)
        manifest = ingest.put(codec.dumps(oci.manifest(blob, tuple(described))).encode(), oci.OCI_MANIFEST)
        record = engine.store.images.add(manifest, "many", ingest)
    return Image.get("many", engine=engine)


# Paths fit, descriptors fit.
@pytest.mark.parametrize("count", [20, 120])
def test_an_image_of_many_layers_runs_and_its_files_are_there_when_it_has_ended(
    engine: Engine, image: Image, count: int
) -> None:
    many = stack(engine, image, count)
    container = many.create(["sh", "-c", "ls / | grep -c layer; echo note >/note"])
    container.start().wait()
    assert container.logs() == f"{count}\n"
    assert container.path("/note").read_text() == "note\n" and container.path(f"/layer-{count - 1}").exists()
    assert "/note" in [change.path for change in container.diff()]
    container.remove()


def test_so_does_one_whose_root_is_an_ordinary_user(engine: Engine, image: Image) -> None:
    many = stack(engine, image, 60)
    assert many.call(["sh", "-c", "ls / | grep -c layer; id -u"], userns="remap").stdout == "60\n0\n"
