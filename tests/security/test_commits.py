"""A container that attacks whoever makes an image of it."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

import containerkit as ck
from containerkit import Engine, Image
from containerkit.layers.stack import Stack


@pytest.fixture
def secret(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host with a file of a name and content that nobody else has."""
    (tmp_path / "host" / "inner").mkdir(parents=True)
    for directory in ("host", "host/inner"):
        (tmp_path / directory / "host-secret").write_text("of the host")
    yield tmp_path / "host"
    assert sorted(os.listdir(tmp_path / "host")) == ["host-secret", "inner"]


def layer(image: Image) -> dict[str, bytes]:
    """What is in its uppermost layer, by name."""
    found = {}
    with (
        open(image.engine.store.blobs.path(image._record.layers[-1].digest), "rb") as blob,
        tarfile.open(fileobj=zstandard.ZstdDecompressor().stream_reader(blob), mode="r|") as archive,
    ):
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            found[member.name] = content.read() if content is not None else b""
    return found


SWAP = """
mkdir -p /t /keep/d/inner; for i in 1 2 3 4 5 6 7 8; do echo mine >/keep/d/host-secret; cp -r /keep/d /t/d$i; done
touch /ready
while true; do
  for i in 1 2 3 4 5 6 7 8; do
    mv /t/d$i /keep/x; ln -s {host} /t/d$i; rm /t/d$i; mv /keep/x /t/d$i
    mv /t/d$i/host-secret /keep/f; ln -s {host}/host-secret /t/d$i/host-secret; rm /t/d$i/host-secret
    mv /keep/f /t/d$i/host-secret; mv /t/d$i/inner /keep/i; ln -s {host}/inner /t/d$i/inner; rm /t/d$i/inner
    mv /keep/i /t/d$i/inner
  done
done
"""


def test_directories_that_are_swapped_for_links_to_the_host(engine: Engine, image: Image, secret: Path) -> None:
    outcomes = []
    with engine.run("busybox", ["sh", "-c", SWAP.format(host=secret)], name="box") as box:
        box.wait_for(ck.until.file("/ready"))
        for _ in range(60):
            try:
                made = box.commit(pause=False)
            except ck.ContainerkitError as error:
                outcomes.append(str(error))
                continue
            found = layer(made)
            outcomes.append("made")
            assert {data for name, data in found.items() if name.endswith("host-secret")} <= {b"mine\n", b""}
            assert not [name for name in found if "inner/host-secret" in name]
            box.diff()
            made.remove()
        assert outcomes.count("made") > 5, outcomes
        # With a pause there is nothing to swap.
        assert layer(box.commit()).keys() >= {"t", "keep"}


def test_an_images_links_lead_a_containers_directories_nowhere(
    engine: Engine, busybox_tar: Path, tmp_path: Path, secret: Path
) -> None:
    """Where the image has a link to the host and the container a directory, the host's names are nobody's."""
    with tarfile.open(busybox_tar) as tar:
        tar.extractall(tmp_path / "tree", filter="tar")
    (tmp_path / "tree/link").symlink_to(secret)
    Image.import_(tmp_path / "tree", tag="liar", engine=engine)
    script = "rm /link; mkdir -p /link/inner; echo mine >/link/host-secret; echo mine >/link/inner/file"
    mounted = ["/link/inner/mounted"]
    box = engine.run("liar", ["sh", "-c", script], name="box")
    assert box.wait(timeout=60) == 0
    expected = ["C /link", "A /link/host-secret", "A /link/inner", "A /link/inner/file"]
    assert [str(change) for change in box.diff()] == expected
    made = box.commit("app")
    assert set(layer(made)) == {".", "link", "link/host-secret", "link/inner", "link/inner/file"}
    assert [str(change) for change in Image.get("liar", engine=engine).diff(made)] == expected
    assert [str(change) for change in made.diff("liar")] == ["C /link"]
    assert engine.call("app", "ls /link/inner", tmpfs=mounted).stdout.split() == ["file", "mounted"]


def test_a_directory_that_has_just_become_a_link_is_empty(tmp_path: Path, secret: Path) -> None:
    (tmp_path / "layer/d/e").mkdir(parents=True)
    with Stack([tmp_path / "layer"]) as stack:
        root = stack.tree()
        outer = root.enter("d", root.child("d"))
        inner = outer.enter("e", outer.child("e"))
        (tmp_path / "layer/d").rename(tmp_path / "layer/away")
        (tmp_path / "layer/d").symlink_to(secret)
        (tmp_path / "layer/away/e").rename(tmp_path / "layer/e")
        assert outer.children() == {} and outer.child("host-secret") is None
        assert inner.children() == {} and root.resolve("d/inner") == str(secret / "inner").strip("/")
        (secret / "e").symlink_to(".")
        assert inner.children() == {}
        (secret / "e").unlink()


def test_devices_and_fifos_are_told_of_and_never_opened(engine: Engine, image: Image) -> None:
    script = "mkfifo /fifo; mknod /tape c 9 0; mknod /disk b 259 0; mknod /kmsg c 1 11; touch /ready; exec sleep 60"
    box = engine.run("busybox", ["sh", "-c", script], name="box")
    box.wait_for(ck.until.file("/ready"))
    assert set(layer(box.commit("app"))) == {".", "fifo", "tape", "disk", "kmsg", "ready"}


@pytest.mark.parametrize("attribute", ["user.overlay.opaque", "user.overlay.redirect", "user.overlay.metacopy"])
def test_overlayfss_own_attributes_are_not_a_containers_to_give(engine: Engine, image: Image, attribute: str) -> None:
    box = engine.create("busybox", "true", name="box")
    box.path("/etc/new").write_text("x")
    upper = engine.store.snapshots.upper(box.id)
    for path in (upper / "etc", upper / "etc/new"):
        os.setxattr(path, attribute, b"/var")
        os.setxattr(path, "user.kept", b"x")
    made = box.commit("app")
    (top, *_) = engine.store.layers.ensure(made._record.chain_ids, made._record.layers)[::-1]
    assert os.listxattr(top / "etc") == os.listxattr(top / "etc/new") == ["user.kept"]
    stream = zstandard.ZstdDecompressor().stream_reader(
        open(engine.store.blobs.path(made._record.layers[-1].digest), "rb")
    )
    with stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        written = {key for member in archive for key in member.pax_headers if key.startswith("SCHILY.xattr.")}
    assert written == {"SCHILY.xattr.user.kept"}
    assert "passwd" in engine.call("app", "ls /etc").stdout.split()


def test_a_tree_without_end_is_refused(engine: Engine, image: Image) -> None:
    script = (
        "mkdir /deep; cd /deep; i=0; while [ $i -lt 300 ]; do mkdir d; cd d; i=$((i+1)); done; touch /ready; sleep 60"
    )
    box = engine.run("busybox", ["sh", "-c", script], name="box")
    box.wait_for(ck.until.file("/ready"))
    with pytest.raises(ck.InvalidArgument, match="more than 256 directories deep"):
        box.commit()
    assert box.status == "running" and list(engine.paths.tmp.iterdir()) == []
