"""Damage on the disk: doctor(verify=True) finds it and says of which images, and a pull mends it."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from containerkit import Engine, Image
from containerkit.errors import StorageError
from containerkit.layers.compare import difference
from tests import registry_stub, trees
from tests.registry_stub import Stub, layer
from tests.tars import tar


@pytest.fixture
def stub(nothing_is_left: None) -> Iterator[Stub]:
    with registry_stub.serving() as stub:
        yield stub


@pytest.fixture
def app(engine: Engine, stub: Stub, busybox_tar: Path) -> Image:
    """``app``, pulled: busybox, and a layer with a file."""
    stub.image("app", [layer(busybox_tar.read_bytes()), layer(tar(file=b"right"))], container={"Cmd": ["cat", "/file"]})
    return Image.pull(stub.name("app"), engine=engine, progress=False)


def rot(path: str | Path) -> None:
    """A bit of the file is another, and nothing tells."""
    before = os.stat(path)
    data = bytearray(Path(path).read_bytes())
    data[len(data) // 2] ^= 1
    Path(path).write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def anew(engine: Engine) -> Engine:
    """The engine as another process sees it: nothing is remembered."""
    engine.close()
    return Engine(engine.paths.root, engine.paths.run)


def is_well(engine: Engine) -> bool:
    doctor = engine.doctor(verify=True)
    return all(doctor[name].ok for name in ("images", "blobs", "layers"))


def blob_of(image: Image, what: str) -> str:
    """The path of one of its blobs."""
    record = image._record
    digests = {"manifest": record.manifest.digest, "config": record.id, "layer": record.layers[1].digest}
    return image.engine.store.blobs.path(digests[what])


# -- what a pull mends -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", [rot, os.unlink, lambda path: os.truncate(path, 10)])
@pytest.mark.parametrize("what", ["manifest", "config", "layer"])
def test_a_damaged_blob_is_named_and_a_pull_brings_it_anew(
    engine: Engine, app: Image, stub: Stub, what: str, harm: Callable[[str], None]
) -> None:
    other = Image.import_(os.path.dirname(__file__), tag="other", engine=engine)
    assert is_well(engine)
    path = blob_of(app, what)
    harm(path)
    finding = engine.doctor(verify=True)["blobs"]
    assert not finding.ok and os.path.basename(path) in finding.detail and stub.name("app:latest") in finding.detail
    assert finding.mend == f'ck.pull("{stub.name("app:latest")}")' and not os.path.exists(path)
    engine = anew(engine)
    asked = len(stub.asked)
    # The tag is up to date, and all the same only what is missing is fetched.
    again = Image.pull(stub.name("app"), engine=engine, progress=False)
    assert again.id == app.id and is_well(engine) and again.call().stdout == "right"
    blobs = [one.path.rpartition("/")[2] for one in stub.asked[asked:] if "/blobs/" in one.path]
    assert set(blobs) == {app.id, *([f"sha256:{os.path.basename(path)}"] if what == "layer" else [])}
    assert not any(engine.paths.downloads.iterdir()) and not any(engine.paths.tmp.iterdir())
    assert {other, again} == set(Image.list(engine=engine))
    engine.close()


def harm_content(root: Path) -> None:
    rot(root / "etc/passwd")


def harm_mode(root: Path) -> None:
    (root / "bin/busybox").chmod(0o4755)


def harm_names(root: Path) -> None:
    (root / "bin/evil").write_text("#!/bin/sh\n")


def harm_links(root: Path) -> None:
    (root / "bin/sh").unlink()
    (root / "bin/sh").symlink_to("/bin/false")


def harm_attributes(root: Path) -> None:
    os.setxattr(root / "etc", "trusted.overlay.opaque", b"y")


@pytest.mark.parametrize("harm", [harm_content, harm_mode, harm_names, harm_links, harm_attributes])
def test_a_damaged_layer_is_named_and_unpacked_anew(engine: Engine, app: Image, harm: Callable[[Path], None]) -> None:
    (bottom, _) = engine.store.layers.ensure(app._record.chain_ids, app._record.layers)
    before = trees.facts(bottom)
    harm(bottom)
    finding = engine.doctor(verify=True)["layers"]
    assert not finding.ok and app.tags[0] in finding.detail and "is damaged: './" in finding.detail, finding
    assert finding.mend == "nothing: each is unpacked anew when it is needed" and not bottom.exists()
    assert app.call().stdout == "right" and trees.facts(bottom) == before and is_well(engine)
    # It is a pull's to see, too.
    harm(bottom)
    engine.doctor(verify=True)
    Image.pull(app.tags[0], engine=engine, progress=False)
    assert trees.facts(bottom) == before and not any(engine.paths.tmp.iterdir())


def test_a_blob_and_its_layer_both_come_anew(engine: Engine, app: Image, stub: Stub) -> None:
    (_, top) = engine.store.layers.ensure(app._record.chain_ids, app._record.layers)
    rot(top / "file")
    rot(blob_of(app, "layer"))
    assert not engine.doctor(verify=True)["blobs"].ok
    # Nobody can say what the layer was to be; now it can be fetched, and compared.
    Image.pull(app.tags[0], engine=engine, progress=False)
    assert not engine.doctor(verify=True)["layers"].ok
    assert app.call().stdout == "right" and is_well(engine)


def test_what_a_container_has_mounted_stays_and_the_container_is_named(engine: Engine, app: Image) -> None:
    (bottom, _) = engine.store.layers.ensure(app._record.chain_ids, app._record.layers)
    with app.run("sleep 60", name="web", stop_timeout=0) as web:
        rot(bottom / "etc/group")
        finding = engine.doctor(verify=True)["layers"]
        assert not finding.ok and finding.mend == "stop container web, then ck.doctor(verify=True)"
        assert web.exec("cat /etc/passwd").stdout.startswith("root") and bottom.exists()
        web.stop()
        assert not engine.doctor(verify=True)["layers"].ok and not bottom.exists()
        assert web.start().exec("cat /etc/group").stdout.startswith("root") and is_well(engine)


def test_a_missing_layer_that_can_be_unpacked_is_no_damage(engine: Engine, app: Image) -> None:
    engine.store.layers.remove(app._record.chain_ids[1])
    assert is_well(engine) and [step["size"] for step in app.history()] == [] and app.size > 0
    assert app.call().stdout == "right"


# -- images that nobody can pull -------------------------------------------------------------------------------------


def test_an_image_of_no_registry_is_made_anew(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(os.urandom(50_000))
    image = Image.import_(tmp_path / "tree", tag="mine", engine=engine)
    rot(engine.store.blobs.path(image._record.layers[0].digest))
    finding = engine.doctor(verify=True)["blobs"]
    assert finding.mend == "make mine:latest anew, or remove it"
    assert Image.import_(tmp_path / "tree", tag="mine", engine=engine) == image and is_well(engine)


def test_an_image_is_made_anew_of_the_same_packed_otherwise(engine: Engine) -> None:
    """The manifest that it had is of no use any more."""
    data = tar(file=os.urandom(50_000))
    image = Image.import_(io.BytesIO(gzip.compress(data)), tag="mine", engine=engine)
    before = image.digest
    engine.store.blobs.delete(image._record.layers[0].digest)
    assert Image.import_(io.BytesIO(zstandard.compress(data)), tag="mine", engine=engine) == image
    assert image.digest != before and is_well(engine)


def test_programs_of_this_machine_are_packed_anew(engine: Engine) -> None:
    image = Image.from_host("sh", tag="host", engine=engine)
    for digest in (image._record.layers[0].digest, image.digest):
        rot(engine.store.blobs.path(digest))
        assert not engine.doctor(verify=True)["blobs"].ok
        assert Image.from_host("sh", tag="host", engine=engine) == image and is_well(engine)


@pytest.mark.parametrize("harm", [rot, os.unlink])
@pytest.mark.parametrize("what", ["manifest", "config"])
def test_one_damaged_image_does_not_hide_the_others(
    engine: Engine, app: Image, what: str, harm: Callable[[str], None]
) -> None:
    other = Image.import_(os.path.dirname(__file__), tag="other", engine=engine)
    box = app.create(name="box")
    harm(blob_of(app, what))
    name = app.tags[0]
    engine = anew(engine)
    assert Image.list(engine=engine) == list(engine.images) == [other] and "other" in repr(engine.images)
    assert name not in engine.images and len(engine.images.frame()) == 1
    for ask in (lambda: Image.get(name, engine=engine), lambda: engine.run(name), lambda: app.size):
        with pytest.raises(StorageError, match=f"image {app.id}: blob sha256:.*: (damaged on disk|not in the store)"):
            ask()
    # Without reading everything, doctor has it.
    finding = engine.doctor()["images"]
    assert not finding.ok and name in finding.detail and finding.mend == f'ck.pull("{name}")'
    assert [one.name for one in engine.containers] == ["box"] and box.status == "created"
    engine.containers["box"].remove()
    assert engine.prune(all=True).images == (name, "other:latest") and list(engine.paths.blobs.iterdir()) == []
    engine.close()


# -- comparing -------------------------------------------------------------------------------------------------------


def test_trees_with_everything_are_compared(tmp_path: Path) -> None:
    right = trees.build(tmp_path / "right")
    subprocess.run(["cp", "-a", right, tmp_path / "same"], check=True)
    assert difference(right, tmp_path / "same") == ""

    def other(name: str, change: Callable[[Path], object]) -> str:
        changed = tmp_path / name
        subprocess.run(["cp", "-a", right, changed], check=True)
        times = {path: path.stat().st_mtime_ns for path in (changed, changed / "etc")}
        change(changed)
        for path, time in times.items():
            os.utime(path, ns=(time, time))
        return difference(right, changed)

    assert other("content", lambda root: rot(root / "etc/passwd")) == "'./other-name' has another content"
    assert other("mode", lambda root: (root / "etc").chmod(0o700)) == "'./etc' has another kind or mode"
    assert other("owner", lambda root: os.lchown(root / "dangling", 1, 8)).endswith(" has another owner")
    assert other("time", lambda root: os.utime(root / "etc/passwd", ns=(0, 0))).endswith(" has another time")
    assert other("gone", lambda root: (root / "etc/empty").unlink()) == "'./etc/empty' is missing"
    assert other("new", lambda root: (root / "etc/new").touch()) == "'./etc/new' does not belong there"
    assert other("names", lambda root: os.link(root / "setuid", root / "etc/x")).endswith("number of names")
    assert other("attribute", lambda root: os.removexattr(root / "etc/passwd", "user.note")).endswith("attributes")
    assert other("link", lambda root: _relink(root / "absolute")) == "'./absolute' has another content"


def _relink(path: Path) -> None:
    times = os.lstat(path).st_mtime_ns
    length = len(os.readlink(path))
    path.unlink()
    path.symlink_to("x" * length)
    os.utime(path, ns=(times, times), follow_symlinks=False)
