"""Images as files: saved, loaded, handed on as streams; and archives that are wrong, or lie."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import zstandard

from containerkit import Engine, Image
from containerkit.errors import ContainerkitError, InvalidArgument, NotFound, StorageError, Unsupported
from containerkit.layers import tar
from containerkit.progress import Shown
from tests import archives, trees
from tests.archives import Files, Link
from tests.engines import emptied
from tests.kernel.test_store import EMPTY, contents

FORMATS: list[Literal["docker", "oci"]] = ["docker", "oci"]
BASE, TOP, OTHER = (archives.tar({name: name.encode() * 1000}) for name in ("base", "top", "other"))


@pytest.fixture
def other(nothing_is_left: None, tmp_path: Path) -> Iterator[Engine]:
    """Where archives are loaded: an engine without any image."""
    with emptied(tmp_path / "other", tmp_path / "other-run") as engine:
        assert len(engine.images) == 0 and contents(engine) == EMPTY
        yield engine


def load(engine: Engine, files: Files) -> list[Image]:
    return Image.load(archives.tar(files), engine=engine)


def members(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        return archive.getnames()


def unpacked(image: Image) -> list[trees.Facts]:
    layers = image.engine.store.layers.ensure(image._record.chain_ids, image._record.layers)
    return [trees.facts(layer) for layer in layers]


def stored(image: Image) -> list[str]:
    return [layer.digest for layer in image._record.layers]


def two(engine: Engine) -> tuple[Image, Image]:
    """Two images that share their lower layer: gzip there, and not compressed above."""
    packed = {BASE: (gzip.compress(BASE), "+gzip")}
    first, files = archives.image(BASE, TOP, blobs=packed)
    second, more = archives.image(BASE, OTHER, blobs=packed)
    entries = [
        archives.described(manifest, archives.MANIFEST, annotations={"io.containerd.image.name": name})
        for manifest, name in ((first, "docker.io/library/first:1"), (second, "quay.io/second:2"))
    ]
    one, another = load(engine, archives.layout(entries, files, more))
    return one, another


# -- round trips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize("format", FORMATS)
def test_an_image_comes_back_from_its_archive(
    engine: Engine, other: Engine, image: Image, tmp_path: Path, format: Literal["docker", "oci"], ending: str
) -> None:
    image.tag("registry:5000/box:2")
    path = tmp_path / f"image.tar{ending}"
    assert image.save(path, format=format) is image
    (loaded,) = Image.load(path, engine=other)
    assert (loaded.id, loaded.layers) == (image.id, image.layers)
    assert loaded.tags == ("busybox:latest", "registry:5000/box:2")
    assert loaded.config == image.config and loaded.created == image.created and loaded.size == image.size
    # Even out of plain tars: layers are compressed here as they were there.
    assert loaded.digest == image.digest
    assert other.call("busybox", "echo it works", check=True).stdout == "it works\n"


def test_everything_a_file_system_can_hold_survives(engine: Engine, other: Engine, tmp_path: Path) -> None:
    image = Image.import_(trees.build(tmp_path / "tree"), engine=engine)
    for format in FORMATS:
        image.save(tmp_path / "image.tar", format=format)
        (loaded,) = Image.load(tmp_path / "image.tar", engine=other)
        assert unpacked(loaded) == unpacked(image) and loaded.tags == ()
        loaded.remove()


def test_an_oci_archive_keeps_every_digest(engine: Engine, other: Engine, tmp_path: Path) -> None:
    for image in two(engine):
        image.save(tmp_path / "image.tar", format="oci")
        (loaded,) = Image.load(tmp_path / "image.tar", engine=other)
        assert (loaded.id, loaded.digest, stored(loaded)) == (image.id, image.digest, stored(image))


@pytest.mark.parametrize("format", FORMATS)
def test_images_share_their_layers_in_an_archive(
    engine: Engine, other: Engine, tmp_path: Path, format: Literal["docker", "oci"]
) -> None:
    first, second = two(engine)
    engine.images.save(tmp_path / "images.tar", second, "first:1", format=format)
    names = members(tmp_path / "images.tar")
    layers = [name for name in names if name.endswith(".tar")]
    assert len(layers) == len(set(layers)) == (3 if format == "docker" else 0)
    assert len(names) == len(set(names)) == (6 if format == "docker" else 9)
    loaded = Image.load(tmp_path / "images.tar", engine=other)
    assert [(one.id, one.tags) for one in loaded] == [(second.id, ("quay.io/second:2",)), (first.id, ("first:1",))]
    assert all(len(unpacked(one)) == 2 for one in loaded)
    # Layers, configs, manifests.
    assert len(contents(other)["blobs"]) == 3 + 2 + 2 and len(contents(other)["layers"]) == 3


def test_what_is_saved_has_the_tags_it_was_asked_for_by(engine: Engine, other: Engine, tmp_path: Path) -> None:
    first, second = two(engine)
    first.tag("first:2")
    untagged, files = archives.image(OTHER)
    load(engine, archives.layout([archives.described(untagged, archives.MANIFEST)], files))

    def saved(*images: str | Image) -> dict[str, tuple[str, ...]]:
        engine.images.save(tmp_path / "images.tar", *images)
        found = {image.id: image.tags for image in Image.load(tmp_path / "images.tar", engine=other)}
        for image in other.images:
            image.remove(force=True)
        return found

    both = ("first:1", "first:2")
    assert saved("first:2") == {first.id: ("first:2",)}
    assert saved("docker.io/library/first:2", "first:1") == {first.id: both}
    for name in (first, first.id, first.short_id):
        assert saved(name) == {first.id: both}
    assert saved() == {first.id: both, second.id: ("quay.io/second:2",)}


def test_the_same_images_give_the_same_file(engine: Engine, other: Engine, image: Image, tmp_path: Path) -> None:
    two(engine)
    for format in FORMATS:
        for ending in ("tar", "tgz", "tar.zst"):
            files = [tmp_path / f"{number}.{ending}" for number in range(3)]
            engine.images.save(files[0], format=format)
            engine.images.save(files[1], format=format)
            loaded = Image.load(files[0], engine=other)
            other.images.save(files[2], *loaded, format=format)
            for one in other.images:
                one.remove(force=True)
            assert files[0].read_bytes() == files[1].read_bytes() == files[2].read_bytes(), (format, ending)


def test_an_archive_that_is_loaded_again_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    first, second = two(engine)
    engine.images.save(tmp_path / "images.tar", format="oci")
    before = contents(engine)
    assert set(Image.load(tmp_path / "images.tar", engine=engine)) == {first, second}
    assert contents(engine) == before
    second.tag("first:1")
    Image.load(tmp_path / "images.tar", engine=engine)
    assert (first.tags, second.tags) == (("first:1",), ("quay.io/second:2",))


# -- streams ---------------------------------------------------------------------------------------------------------


def fed(data: bytes, end: int) -> threading.Thread:
    """A thread that writes all of it there, and closes."""

    def feed() -> None:
        with open(end, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=feed)
    thread.start()
    return thread


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_a_pipe_is_read(image: Image, other: Engine, tmp_path: Path, ending: str) -> None:
    image.save(tmp_path / f"image.tar{ending}")
    for buffering in (0, -1):
        reading, writing = os.pipe()
        thread = fed((tmp_path / f"image.tar{ending}").read_bytes(), writing)
        with open(reading, "rb", buffering=buffering) as stream:
            assert [loaded.id for loaded in Image.load(stream, engine=other)] == [image.id]
        thread.join()


def test_bytes_files_and_sockets_are_read(image: Image, other: Engine, tmp_path: Path) -> None:
    image.save(tmp_path / "image.tar")
    data = (tmp_path / "image.tar").read_bytes()
    near, far = socket.socketpair()
    thread = fed(data, far.detach())
    with near, near.makefile("rb") as stream, open(tmp_path / "image.tar", "rb") as file:
        for source in (data, io.BytesIO(data), file, stream, str(tmp_path / "image.tar")):
            assert [loaded.id for loaded in Image.load(source, engine=other)] == [image.id]
    thread.join()


def test_an_archive_is_written_to_a_pipe(image: Image, other: Engine) -> None:
    reading, writing = os.pipe()
    received: list[bytes] = []

    def receive() -> None:
        with open(reading, "rb") as file:
            received.append(file.read())

    thread = threading.Thread(target=receive)
    thread.start()
    with open(writing, "wb", buffering=0) as stream:
        image.save(stream, compression="zstd")
    thread.join()
    assert received[0].startswith(b"\x28\xb5\x2f\xfd")
    assert [loaded.id for loaded in Image.load(received[0], engine=other)] == [image.id]


def test_a_file_that_takes_little_at_a_time_gets_everything(image: Image, other: Engine) -> None:
    class Slow(io.BytesIO):
        def write(self, data: Any, /) -> int:
            return super().write(data[:50_000])

    slow = Slow()
    image.save(slow)
    assert [loaded.id for loaded in Image.load(slow.getvalue(), engine=other)] == [image.id]


@pytest.mark.parametrize("compress", [bz2.compress, lzma.compress])
def test_what_others_compress_with_is_read(image: Image, other: Engine, compress: Callable[[bytes], bytes]) -> None:
    plain = io.BytesIO()
    image.save(plain)
    (loaded,) = Image.load(compress(plain.getvalue()), engine=other)
    assert loaded.id == image.id


@pytest.mark.parametrize("format", FORMATS)
def test_who_waits_sees_how_far_it_is(
    image: Image, other: Engine, tmp_path: Path, format: Literal["docker", "oci"]
) -> None:
    class Seen(Shown):
        def draw(self) -> None:
            pass

    saving, loading, failing = Seen(), Seen(), Seen()
    path = tmp_path / "image.tar"
    image.save(path, format=format, progress=saving)
    (item,) = saving.items.values()
    layer = image.layers[0] if format == "docker" else stored(image)[0]
    assert layer[7:].startswith(item.key) and item.done == item.total and item.state == "saving"
    assert saving.summary == f"{path}: 1 image saved"
    Image.load(path, engine=other, progress=loading)
    (item, last) = loading.items.values()
    assert layer[7:].startswith(item.key) and item.done == item.total and last.state == "unpacking"
    assert loading.summary == f"archive {path}: busybox:latest loaded"
    with pytest.raises(InvalidArgument):
        Image.load(path.read_bytes()[:-50_000], engine=other, progress=failing)
    assert failing.summary == "archive in memory: not loaded" and failing.is_over


# -- archives of other tools -----------------------------------------------------------------------------------------


def test_a_layer_may_be_a_link_to_another_images(other: Engine) -> None:
    for link in (Link("../b/layer.tar"), Link("b/layer.tar", hard=True)):
        made = archives.config(TOP)
        item = {"Config": f"{archives.hexed(made)}.json", "RepoTags": ["x:1"], "Layers": ["a/layer.tar"]}
        legacy: Files = {"a/VERSION": b"1.0", "a/json": b'{"id":"a"}', "a/layer.tar": link, "b/VERSION": b"1.0"}
        # And manifest.json comes last, as in docker's.
        rest: Files = {"b/layer.tar": TOP, f"{archives.hexed(made)}.json": made, "manifest.json": archives.text([item])}
        (image,) = load(other, legacy | rest)
        assert image.layers == (archives.digest(TOP),) and image.tags == ("x:1",)
        image.remove()


def test_names_may_begin_with_a_dot(other: Engine) -> None:
    (image,) = load(other, {f"./{name}": content for name, content in archives.docker(BASE, tags=["x"]).items()})
    assert image.tags == ("x:latest",)


@pytest.mark.parametrize("suffix", ["gzip", "zstd"])
def test_layers_of_a_docker_archive_may_be_compressed(other: Engine, suffix: str) -> None:
    packed = gzip.compress(BASE) if suffix == "gzip" else zstandard.compress(BASE)
    made = archives.config(BASE)
    item = {"Config": archives.digest(made), "RepoTags": ["x"], "Layers": [f"{archives.hexed(packed)}.tar.gz"]}
    files: Files = {archives.digest(made): made, f"{archives.hexed(packed)}.tar.gz": packed}
    (image,) = load(other, {**files, "manifest.json": archives.text([item])})
    assert stored(image) == [archives.digest(packed)]


def test_a_layout_is_preferred_to_the_manifest_beside_it(other: Engine) -> None:
    """Docker 25 and later write both: digests are kept, and the tags of both."""
    manifest, files = archives.image(BASE, TOP)
    made = archives.config(BASE, TOP)
    blobs = [f"blobs/sha256/{archives.hexed(data)}" for data in (made, BASE, TOP)]
    item = {"Config": blobs[0], "RepoTags": ["x:1", "x:2"], "Layers": blobs[1:]}
    names = {"io.containerd.image.name": "docker.io/library/x:1", "org.opencontainers.image.ref.name": "1"}
    entry = archives.described(manifest, archives.MANIFEST, annotations=names)
    both = archives.layout([entry], files) | {"manifest.json": archives.text([item])}
    (image,) = load(other, both)
    assert (image.digest, image.tags) == (archives.digest(manifest), ("x:1", "x:2"))
    image.remove(force=True)
    # Without its index it is a docker-archive with other names.
    del both["index.json"]
    (image,) = load(other, both)
    assert (image.id, image.tags) == (archives.digest(made), ("x:1", "x:2"))


def test_a_manifest_of_dockers_keeps_its_digest(other: Engine, tmp_path: Path) -> None:
    made, packed = archives.config(BASE), gzip.compress(BASE)
    docker = "application/vnd.docker"
    manifest = archives.text({
        "schemaVersion": 2, "mediaType": f"{docker}.distribution.manifest.v2+json",
        "config": archives.described(made, f"{docker}.container.image.v1+json"),
        "layers": [archives.described(packed, f"{docker}.image.rootfs.diff.tar.gzip")],
    })  # fmt: skip
    entry = archives.described(manifest, f"{docker}.distribution.manifest.v2+json")
    blobs = [archives.blob(data) for data in (manifest, made, packed)]
    (image,) = load(other, archives.layout([entry], *blobs))
    assert (image.id, image.digest) == (archives.digest(made), archives.digest(manifest))
    image.save(tmp_path / "image.tar", format="oci")
    image.remove()
    (image,) = Image.load(tmp_path / "image.tar", engine=other)
    assert image.digest == archives.digest(manifest)


def test_what_is_no_image_is_passed_over(other: Engine) -> None:
    chart = archives.text({
        "schemaVersion": 2, "mediaType": archives.MANIFEST, "layers": [],
        "config": archives.described(b"{}", "application/vnd.cncf.helm.config.v1+json"),
    })  # fmt: skip
    manifest, files = archives.image(BASE)
    entries = [archives.described(data, archives.MANIFEST) for data in (chart, manifest)]
    text = archives.described(b"text", "text/plain")
    blobs = [archives.blob(data) for data in (chart, b"{}", b"text")]
    assert [image.digest for image in load(other, archives.layout([*entries, text], *blobs, files))] == [
        archives.digest(manifest)
    ]
    with pytest.raises(InvalidArgument, match="no image in its index"):
        load(other, archives.layout([entries[0], text], *blobs))


def test_a_tag_that_two_images_want_is_the_last_ones(other: Engine) -> None:
    first, second = archives.docker(BASE, tags=["x:1"]), archives.docker(TOP, tags=["x:1", "y:1"])
    items = [json.loads(files["manifest.json"])[0] for files in (first, second)]  # type: ignore[arg-type]  # bytes
    one, two = load(other, first | second | {"manifest.json": archives.text(items)})
    assert (repr(one), one.tags) == (f"Image(sha256:{one.short_id})", ())
    assert (repr(two), two.tags) == (f"Image('x:1', sha256:{two.short_id})", ("x:1", "y:1"))


def test_the_last_file_of_a_name_counts(other: Engine) -> None:
    right = list(archives.docker(BASE).items())
    name = f"{archives.hexed(BASE)}.tar"
    for wrong, message in ((OTHER, "its content is"), (Link("nowhere"), "is not in it")):
        (image,) = Image.load(archives.tar([(name, wrong), *right]), engine=other)
        image.remove()
        with pytest.raises(InvalidArgument, match=message):
            Image.load(archives.tar([*right, (name, wrong)]), engine=other)


def test_an_index_for_several_platforms_gives_this_machines_image(other: Engine) -> None:
    ours, files = archives.image(BASE)
    theirs, more = archives.image(TOP, architecture="s390x")
    said, about = archives.image(OTHER, architecture="unknown")
    platforms = {
        ours: {"os": "linux", "architecture": archives.ARCHITECTURE},
        theirs: {"os": "linux", "architecture": "s390x"},
        said: {"os": "unknown", "architecture": "unknown"},
    }

    def nested(*manifests: bytes) -> Files:
        entries = [archives.described(one, archives.MANIFEST, platform=platforms[one]) for one in manifests]
        inner = archives.index(*entries)
        outer = archives.index(archives.described(inner, archives.INDEX))
        annotations = {"org.opencontainers.image.ref.name": "quay.io/x:1"}
        entry = archives.described(outer, archives.INDEX, annotations=annotations)
        return archives.layout([entry], archives.blob(inner), archives.blob(outer))

    for found in (nested(said, theirs, ours) | files | more | about, nested(theirs, ours) | files):
        (image,) = load(other, found)
        assert (image.digest, image.tags) == (archives.digest(ours), ("quay.io/x:1",))
        image.remove()
    # An archive of another machine's image alone holds what it was asked for, whatever is said of it beside.
    for found in (nested(ours, theirs) | more, nested(said, theirs) | more | about):
        (image,) = load(other, found)
        assert image.platform == "linux/s390x"
        image.remove()
    last, lots = archives.image(TOP, architecture="riscv64")
    platforms[last] = {"os": "linux", "architecture": "riscv64"}
    with pytest.raises(
        NotFound, match=r"^archive in memory: index .*not for linux/.* \(there is linux/riscv64, linux/s390x\)"
    ):
        load(other, nested(theirs, last) | more | lots)
    # Side by side at the top, under one name.
    annotations = {"io.containerd.image.name": "quay.io/x:1"}
    entries = [
        archives.described(one, archives.MANIFEST, platform=platforms[one], annotations=annotations)
        for one in (ours, theirs)
    ]
    assert [image.digest for image in load(other, archives.layout(entries, files, more))] == [archives.digest(ours)]


def test_a_directory_with_a_layout_is_read(engine: Engine, other: Engine, tmp_path: Path) -> None:
    """A store is one, too."""
    first, second = two(engine)
    loaded = Image.load(engine.paths.root, engine=other)
    assert [(one.id, one.digest, one.tags) for one in loaded] == [
        (one.id, one.digest, one.tags) for one in sorted((first, second), key=lambda image: image.id)
    ]
    blob = Path(engine.store.blobs.path(stored(first)[1]))
    data = blob.read_bytes()
    for one in loaded:
        one.remove()
    for change in (lambda: blob.write_bytes(data[:-1] + b"x"), lambda: None, lambda: os.mkfifo(blob)):
        change()
        with pytest.raises(InvalidArgument, match=f"^archive {engine.paths.root}: .*{stored(first)[1][7:]}"):
            Image.load(engine.paths.root, engine=other)
        assert contents(other) == EMPTY
        blob.unlink(missing_ok=True)
    with pytest.raises(InvalidArgument, match="it lacks oci-layout or index.json"):
        Image.load(tmp_path, engine=other)


# -- what is wrong, and what lies ------------------------------------------------------------------------------------


def without(files: Files, *contents: bytes) -> Files:
    return {name: content for name, content in files.items() if content not in contents}


def replaced(files: Files, old: bytes, new: bytes) -> Files:
    return {name: new if content == old else content for name, content in files.items()}


def one_image() -> tuple[Files, bytes]:
    manifest, files = archives.image(BASE, TOP)
    return archives.layout([archives.described(manifest, archives.MANIFEST)], files), manifest


def announced(size: int) -> Files:
    """A layout whose index says that its manifest has that size."""
    files, manifest = one_image()
    entry = archives.described(manifest, archives.MANIFEST) | {"size": size}
    return files | {"index.json": archives.index(entry)}


def said(**members: object) -> Files:
    """A docker-archive whose manifest.json says something else."""
    files = archives.docker(BASE, TOP)
    (item,) = json.loads(files["manifest.json"])  # type: ignore[arg-type]  # bytes
    return files | {"manifest.json": archives.text([item | members])}


DOCKER, OCI = archives.docker(BASE, TOP), one_image()[0]
LARGE = bytes(5 << 20)
DEEP = b"[" * 100_000 + b"]" * 100_000
WRONG: dict[str, tuple[Files | bytes, str]] = {
    "nothing": (b"", "empty, not a tar archive"),
    "noise": (bytes(range(256)) * 8, "not a tar archive, or a damaged one"),
    "text": (b"an image\n" * 200, "not a tar archive, or a damaged one"),
    "no gzip": (b"\x1f\x8b" + bytes(1000), "damaged gzip stream"),
    "no bzip2": (b"BZh9" + bytes(1000), "damaged bzip2 stream"),
    "files": ({"etc/passwd": b"root"}, "no archive of images: neither manifest.json nor"),
    "no image": ({"manifest.json": b"[]"}, "no image in its manifest.json"),
    "no image in an index": (OCI | {"index.json": archives.index()}, "no image in its index"),
    "another layout": (OCI | {"oci-layout": b'{"imageLayoutVersion":"2.0.0"}'}, "an image layout of version '2.0.0'"),
    "no JSON": (DOCKER | {"manifest.json": b"[{"}, "manifest.json: not JSON"),
    "other JSON": (DOCKER | {"manifest.json": b'{"a":1}'}, "manifest.json: expected a list"),
    "deep JSON": (DOCKER | {"manifest.json": DEEP}, "manifest.json: nested too deeply"),
    "a deep index": (OCI | {"index.json": DEEP}, "index.json: nested too deeply"),
    "much JSON": (DOCKER | {"manifest.json": LARGE}, "manifest.json: 5242880 bytes are too many"),
    "a large config": (said(Config="large") | {"large": b"{" + LARGE}, "config large is not in it"),
    "a layer for a config": (said(Config=f"{archives.hexed(BASE)}.tar"), "not JSON|expected an object"),
    "a config for a layer": (said(Layers=["x.json", "x.json"]) | {"x.json": b"{}"}, "x.json: the archive is cut off"),
    "no config": (without(DOCKER, archives.config(BASE, TOP)), r"config .*\.json is not in it"),
    "no layer": (without(DOCKER, TOP), r"layer .*\.tar is not in it"),
    "another layer": (replaced(DOCKER, TOP, OTHER), "its content is .*, not the .* of its image"),
    "another config": (replaced(DOCKER, archives.config(BASE, TOP), archives.config(TOP, BASE)), "damaged: the digest"),
    "too few layers": (said(Layers=[f"{archives.hexed(BASE)}.tar"]), "2 layers, and 1 in manifest.json"),
    "a wrong tag": (said(RepoTags=["Upper:1"]), "did you mean upper"),
    "a name outside": (DOCKER | {"../x": b""}, "'../x': leads out of the archive"),
    "a name far outside": (DOCKER | {"/a/../../x": b""}, "leads out of the archive"),
    "a link outside": (DOCKER | {"a/x": Link("../../etc/passwd")}, "leads out of the archive"),
    "a layer outside": (said(Layers=["../../etc/passwd"] * 2), "leads out of the archive"),
    "links in a ring": (said(Layers=["a", "b"]) | {"a": Link("b"), "b": Link("a")}, "layer a is not in it"),
    "a long name": (DOCKER | {"n" * 600: b""}, "the name is too long"),
    "a damaged blob": (replaced(OCI, TOP, OTHER), "blobs/sha256/.*: damaged: the digest of its content is"),
    "no blob": (without(OCI, TOP), "blob sha256:.* is not in it"),
    "no manifest": (without(OCI, one_image()[1]), "blob sha256:.* is not in it"),
    "another size": (announced(1), "bytes, announced as 1"),
    "a large manifest": (announced(5 << 20), "5242880 bytes are too many"),
    "another digest": (OCI | {"index.json": b'{"schemaVersion":2,"manifests":[{"mediaType":"%s","digest":"md5:0",'
                              b'"size":1}]}' % archives.MANIFEST.encode()}, "expected sha256:"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_archive_is_refused_and_nothing_is_left(other: Engine, tmp_path: Path, what: str) -> None:
    files, message = WRONG[what]
    path = tmp_path / "wrong.tar"
    path.write_bytes(files if isinstance(files, bytes) else archives.tar(files))
    with pytest.raises(InvalidArgument, match=f"(?s)^archive {path}: .*({message})"):
        Image.load(path, engine=other)
    assert contents(other) == EMPTY and len(other.images) == 0


@pytest.mark.parametrize("lie", ["another layer", "layers exchanged"])
def test_a_layer_that_its_config_does_not_say_is_refused(engine: Engine, other: Engine, lie: str) -> None:
    """In a layout, where digests fit and only the diff_ids lie; also when that layer is here already."""
    true, files = archives.image(BASE, TOP)
    (image,) = load(engine, archives.layout([archives.described(true, archives.MANIFEST)], files))
    blobs = {TOP: (OTHER, "")} if lie == "another layer" else {TOP: (BASE, ""), BASE: (TOP, "")}
    manifest, files = archives.image(BASE, TOP, blobs=blobs, author="a liar")
    lying = archives.layout([archives.described(manifest, archives.MANIFEST)], files)
    for place in (engine, other):
        before = contents(place)
        with pytest.raises(InvalidArgument, match="^archive in memory: layer .*, which the image's config does not"):
            load(place, lying)
        assert contents(place) == before
    assert list(engine.images) == [image]


def test_what_unpacks_without_end_is_refused(other: Engine) -> None:
    compressor = zstandard.ZstdCompressor().compressobj()
    header = tar.header(tar.Entry("x", size=3 << 30))
    bomb = compressor.compress(header) + b"".join(compressor.compress(b"x" * (1 << 20)) for _ in range(3 << 10))
    with pytest.raises(InvalidArgument, match="^archive in memory: .*: a decompression bomb"):
        Image.load(bomb + compressor.flush(), engine=other)
    assert contents(other) == EMPTY


def test_of_several_images_all_are_loaded_or_none(other: Engine) -> None:
    first, files = archives.image(BASE)
    second, more = archives.image(TOP, OTHER, blobs={OTHER: (BASE, "")})
    entries = [archives.described(manifest, archives.MANIFEST) for manifest in (first, second)]
    with pytest.raises(InvalidArgument, match="which the image's config does not say"):
        load(other, archives.layout(entries, files, more))
    assert contents(other) == EMPTY


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_cut_off_archive_is_refused(
    engine: Engine, other: Engine, format: Literal["docker", "oci"], compression: Literal["none", "gzip", "zstd"]
) -> None:
    two(engine)
    out = io.BytesIO()
    engine.images.save(out, format=format, compression=compression)
    data = out.getvalue()
    # The last kilobyte of a plain one is its end marker, which nobody insists on.
    end = len(data) - (1024 if compression == "none" else 30)
    for size in range(0, end, max(1, end // 40)):
        with pytest.raises(InvalidArgument, match="^archive in memory: "):
            Image.load(data[:size], engine=other)
        assert contents(other) == EMPTY
    assert len(Image.load(data, engine=other)) == 2


@pytest.mark.parametrize("format", FORMATS)
def test_a_changed_byte_is_refused_or_changes_nothing(
    engine: Engine, other: Engine, format: Literal["docker", "oci"]
) -> None:
    first, second = two(engine)
    out = io.BytesIO()
    engine.images.save(out, format=format)
    for position in range(0, len(out.getvalue()), 97):
        data = bytearray(out.getvalue())
        data[position] ^= 0x55
        try:
            loaded = Image.load(bytes(data), engine=other)
        except (InvalidArgument, Unsupported) as error:
            assert str(error).startswith("archive in memory: ")
            assert contents(other) == EMPTY
        else:
            assert {image.id for image in loaded} <= {first.id, second.id}, position
            for image in loaded:
                image.remove(force=True)


def test_a_killed_load_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    data = archives.tar(archives.docker(BASE, archives.tar({"large": os.urandom(3 << 20)})))
    code = "import sys, containerkit as ck; ck.Image.load(sys.stdin.buffer, engine=ck.Engine(sys.argv[1], sys.argv[2]))"
    command = [sys.executable, "-c", code, str(engine.paths.root), str(engine.paths.run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdin is not None
        process.stdin.write(data[: 2 << 20])  # more than a pipe holds: it has begun
        process.stdin.flush()
        process.send_signal(signal.SIGKILL)
    with engine.store.ingest():
        pass  # whoever comes next sweeps
    assert contents(engine) == EMPTY and len(engine.images) == 0


def test_a_large_image_takes_little_memory(other: Engine, tmp_path: Path) -> None:
    """200 MB saved and loaded in both formats, in a process of its own whose memory is looked at."""
    with open(tmp_path / "large.tar", "wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("large")
        member.size = 200 << 20
        with open("/dev/zero", "rb") as zero:
            archive.addfile(member, zero)
    code = """
import sys, containerkit as ck
from pathlib import Path
here = Path(sys.argv[1])
ck.Image.import_(here / "large.tar", tag="large", engine=ck.Engine(here / "a", here / "a-run")).save(here / "one")
(image,) = ck.Image.load(here / "one", engine=ck.Engine(here / "b", here / "b-run"))
image.save(here / "two", format="oci", compression="gzip")
ck.Image.load(here / "two", engine=ck.Engine(here / "c", here / "c-run"))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    command, root = [sys.executable, "-c", code, str(tmp_path)], Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    assert int(done.stdout) < 100_000, "kilobytes"


# -- what cannot be saved --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_of_a_failed_save_nothing_is_left(engine: Engine, tmp_path: Path, format: Literal["docker", "oci"]) -> None:
    first, _ = two(engine)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/image.tar").write_text("before")
    for blob in stored(first):
        path = Path(engine.store.blobs.path(blob))
        whole = path.read_bytes()
        for damaged in (whole[:-8] + b"\1" * 8, whole[:-1], whole[: len(whole) // 2], b""):
            path.write_bytes(damaged)
            with pytest.raises(StorageError, match=f"^blob {blob}: damaged on disk"):
                first.save(tmp_path / "out/image.tar", format=format)
            assert [p.name for p in (tmp_path / "out").iterdir()] == ["image.tar"]
            assert (tmp_path / "out/image.tar").read_text() == "before"
        path.write_bytes(whole)
    first.save(tmp_path / "out/image.tar", format=format)
    assert len(Image.load(tmp_path / "out/image.tar", engine=engine)) == 1


def test_a_link_leads_to_the_file_and_a_device_stays_one(image: Image, other: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    (tmp_path / "link").symlink_to("file")
    image.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and len(Image.load(tmp_path / "file", engine=other)) == 1
    os.mknod(tmp_path / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    image.save(tmp_path / "null")
    assert (tmp_path / "null").is_char_device()


def test_what_cannot_be_saved_says_why(engine: Engine, image: Image, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match='^format \'tar\': expected "docker" or "oci"$'):
        image.save(tmp_path / "x", format="tar")  # type: ignore[arg-type]  # that is the test
    with pytest.raises(InvalidArgument, match="^compression 'xz': expected"):
        image.save(tmp_path / "x", compression="xz")  # type: ignore[arg-type]  # that is the test
    with pytest.raises(NotFound, match="no such file or directory"):
        image.save(tmp_path / "absent/x")
    with pytest.raises(ContainerkitError, match="is a directory"):
        image.save(tmp_path / "root")
    with pytest.raises(NotFound, match="^image other:1: not found locally$"):
        engine.images.save(tmp_path / "x", image, "other:1")
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(StorageError, match="no space left"):
        image.save(full)
    image.remove()
    with pytest.raises(InvalidArgument, match="^save: no image to save$"):
        engine.images.save(tmp_path / "x")
    assert not list(tmp_path.glob("x*"))
    with pytest.raises(NotFound, match=f"^archive {tmp_path}/absent: no such file"):
        Image.load(tmp_path / "absent", engine=engine)


def test_a_compression_that_is_not_written_is_not_promised(engine: Engine, image: Image, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"save to .*app.tar.xz: .xz: archives are plain, gzip or zstd"):
        image.save(tmp_path / "app.tar.xz")
    assert list(tmp_path.glob("app*")) == []
