"""Hostile images: a registry that lies in its manifests, its configs, its sizes and digests, and in what it sends."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

import containerkit as ck
from containerkit import Engine, Image
from containerkit.errors import InvalidArgument, NotFound, RegistryError, Unsupported
from containerkit.store import images
from tests.registry_stub import ARCHITECTURE, CONFIG, INDEX, LAYER, MANIFEST, Json, Layer, Stub, digest, layer, text
from tests.security.conftest import left_in
from tests.tars import tar

#: Two layers of a right image, of which one is too large for a single read.
SMALL, LARGE = layer(tar(small=b"hello")), layer(tar(large=os.urandom(200_000)))
NOWHERE = "sha256:" + "0" * 64
RIGHT = {"architecture": ARCHITECTURE, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(SMALL.plain)]}}
FOR_US = {"platform": {"architecture": ARCHITECTURE, "os": "linux"}}

Attack = Callable[[Stub], object]


def pull(engine: Engine, stub: Stub) -> Image:
    return Image.pull(stub.name("app"), engine=engine, progress=False)


def not_pulled(engine: Engine, stub: Stub, words: str, kind: type[ck.ContainerkitError] = InvalidArgument) -> None:
    """Pull the image, which cannot be: the error names it, and nothing is left but downloads that were right."""
    with pytest.raises(kind, match=words) as raised:
        pull(engine, stub)
    said = str(raised.value)
    assert stub.authority in said and "app" in said and len(said) < 1000 and said.isprintable()
    assert left_in(engine) == [] and len(engine.images) == 0
    assert kind is RegistryError or not any(engine.paths.downloads.iterdir())


# -- manifests -------------------------------------------------------------------------------------------------------


def manifest(**members: Any) -> Attack:
    return lambda stub: stub.image("app", [SMALL, LARGE], manifest=members)


def layers(**first: Any) -> Attack:
    """The first of two layers is described otherwise."""
    return manifest(layers=[SMALL.described(**first), LARGE.described()])


def raw(data: bytes, media_type: str = MANIFEST) -> Attack:
    return lambda stub: stub.put("app", data, media_type)


def nested(depth: int) -> bytes:
    return b'{"mediaType":"%s","config":' % MANIFEST.encode() + b'{"a":' * depth + b"1" + b"}" * depth + b"}"


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (manifest(layers=[SMALL.described()] * 10_000), "10000 layers, more than 500"),
        (raw(b"[" * 200_000), "not JSON: maximum recursion depth"),
        (raw(nested(100_000)), "not JSON: maximum recursion depth"),
        (raw(b"<html>", "text/html"), "not JSON"),
        (raw(b"{}", "text/plain"), r"neither an image manifest nor an index \(text/plain\)"),
        (manifest(schemaVersion=7), "not an image manifest of schema 2"),
        (manifest(layers={"a": 1}), "layers: expected a list"),
        (layers(size=-1), f"blob {digest(SMALL.stored)}: of -1 bytes"),
        (layers(size="5"), r"layers\[0\].size: expected a whole number, found \"5\""),
        (layers(size=True), r"layers\[0\].size: expected a whole number, found true"),
        (manifest(config={"mediaType": CONFIG, "digest": NOWHERE, "size": -5}), f"blob {NOWHERE}: of -5 bytes"),
        (layers(digest="sha256:../../../../etc/passwd"), "digest 'sha256:../../../../etc/passwd': expected sha256:"),
        (layers(digest="sha512:" + "0" * 128), "expected sha256: and 64 lower-case hex digits"),
        (manifest(config={"mediaType": CONFIG, "digest": "sha256:x/../y", "size": 5}), "digest 'sha256:x/../y'"),
        (manifest(layers=[SMALL.described(), SMALL.described(size=5)]), "of .* and of 5 bytes"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(engine: Engine, stub: Stub, attack: Attack, words: str) -> None:
    attack(stub)
    not_pulled(engine, stub, words)
    assert len([one for one in stub.asked if "/blobs/" in one.path]) == 0, "a blob was asked for"


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (layers(urls=["http://169.254.169.254/"]), "foreign"),
        (layers(mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), "foreign"),
        (layers(mediaType="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"), "foreign"),
        (layers(mediaType=f"{LAYER}+gzip+encrypted"), "of the unknown type"),
        (manifest(config={"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": NOWHERE, "size": 5}),
         "not an image but an artifact of type application/vnd.cncf.helm.config.v1"),
        (manifest(artifactType="application/x", config={"mediaType": "text/plain", "digest": NOWHERE, "size": 2}),
         "not an image but an artifact of type application/x"),
        (raw(b'{"schemaVersion":1,"fsLayers":[]}', "application/vnd.docker.distribution.manifest.v1+json"), "schema 1"),
    ],
)  # fmt: skip
def test_what_is_no_image_of_ours_is_unsupported(engine: Engine, stub: Stub, attack: Attack, words: str) -> None:
    attack(stub)
    not_pulled(engine, stub, words, Unsupported)
    assert {one.path.split("/")[-2] for one in stub.asked} <= {"manifests", "v2"}


def test_a_manifest_without_end_is_not_read(engine: Engine, stub: Stub) -> None:
    stub.put("app", b" " * (5 << 20))
    not_pulled(engine, stub, "an answer of more than 4194304 bytes", RegistryError)


# -- indexes ---------------------------------------------------------------------------------------------------------


def index(*entries: Json) -> Attack:
    return lambda stub: stub.put("app", text({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}), INDEX)


def entry(**members: Any) -> Json:
    return {"mediaType": MANIFEST, "digest": NOWHERE, "size": 5, **FOR_US, **members}


def test_an_index_names_digests_and_no_tags(engine: Engine, stub: Stub) -> None:
    stub.image("app:other", [SMALL])
    index(entry(digest="other"))(stub)
    not_pulled(engine, stub, "digest 'other': expected sha256:")
    index(entry(size=-1))(stub)
    not_pulled(engine, stub, "of -1 bytes")


def test_an_index_whose_manifest_is_another_is_refused(engine: Engine, stub: Stub) -> None:
    other = stub.image("app:other", [SMALL])
    stub.manifests["app", NOWHERE] = (MANIFEST, other.manifest)
    index(entry())(stub)
    not_pulled(engine, stub, f"its manifest is {other.digest}, and was to be {NOWHERE}", RegistryError)


def test_an_index_within_an_index_leads_nowhere(engine: Engine, stub: Stub) -> None:
    inner = text({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry()]})
    stub.put("app:inner", inner, INDEX)
    index(entry(digest=digest(inner), mediaType=INDEX))(stub)
    not_pulled(engine, stub, "its index has another index for")
    index(entry())(stub)
    not_pulled(engine, stub, f"app:{NOWHERE}: not found", NotFound)


def test_an_index_without_end_is_refused(engine: Engine, stub: Stub) -> None:
    index(*[entry()] * 10_001)(stub)
    not_pulled(engine, stub, "10001 manifests, more than 10000")


# -- configs ---------------------------------------------------------------------------------------------------------


def rootfs(*diff_ids: str) -> Json:
    return {**RIGHT, "rootfs": {"type": "layers", "diff_ids": diff_ids}}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (rootfs(), "of 0 layers, and the manifest has 1"),
        (rootfs(*[digest(SMALL.plain)] * 3), "of 3 layers, and the manifest has 1"),
        (rootfs("sha256:../../etc"), "digest 'sha256:../../etc': expected sha256:"),
        (rootfs(NOWHERE), f"its content is {digest(SMALL.plain)}, which the image's config does not say"),
        ({"architecture": ARCHITECTURE, "os": "linux"}, "rootfs is missing"),
        (b"[]", r"expected an object, found \[\]"),
        (b"\xff\xfe", "not JSON"),
        (b'{"config":' * 100_000, "nested too deeply"),
        (text(RIGHT)[:-1] + b',"x":' + b"1" * 5000 + b"}", "not JSON: exceeds the limit|not JSON: Exceeds the limit"),
        ({**RIGHT, "config": {"Env": 5}}, "config.Env: expected a list, found 5"),
        ({**RIGHT, "config": {"Cmd": ["\udcff"]}}, "not JSON: .*surrogates not allowed"),
        ({**RIGHT, "created": "yesterday"}, "time 'yesterday': expected one like"),
        ({**RIGHT, "created": "9999-99-99T99:99:99Z"}, "time 9999-99-99T99:99:99Z"),
        ({**RIGHT, "history": [{}] * 100_001}, "history: 100001 items, more than 100000"),
    ],
)
def test_a_config_that_cannot_be_is_refused(engine: Engine, stub: Stub, config: Any, words: str) -> None:
    stub.image("app", [SMALL], config=config)
    not_pulled(engine, stub, words)


def test_a_config_without_end_is_not_read(engine: Engine, stub: Stub) -> None:
    stub.image("app", [SMALL], config=text(RIGHT) + b" " * (5 << 20))
    not_pulled(engine, stub, "more than 4194304", RegistryError)


@pytest.mark.parametrize("change", [lambda data: data[:-1] + b" ", lambda data: data[:-1], lambda data: data + b" "])
def test_a_config_that_is_another_is_refused(engine: Engine, stub: Stub, change: Callable[[bytes], bytes]) -> None:
    made = stub.image("app", [SMALL])
    stub.blobs[made.id] = change(made.config)
    not_pulled(engine, stub, f"received .* bytes with digest|an answer of more than {len(made.config)}", RegistryError)


def test_a_config_says_nothing_that_a_start_does_not_look_at(engine: Engine, stub: Stub, busybox_tar: Path) -> None:
    """Each is a container that ends, or an error of ours: nothing else comes out of it."""
    base = layer(busybox_tar.read_bytes())
    oddities: list[Json] = [
        {"Env": ["A=\0"]}, {"Env": ["=x", "noequals"]}, {"Cmd": ["a\0b"]}, {"Cmd": ["x" * 200_000]},
        {"Entrypoint": [""]}, {"User": "x\0"}, {"User": "-1"}, {"User": "../../etc/passwd"}, {"User": "4294967295"},
        {"WorkingDir": "../../x"}, {"WorkingDir": "a\0"}, {"WorkingDir": "/proc/self/fd/5"}, {"StopSignal": "9999"},
        {"Volumes": {"../../x": {}, "/": {}}}, {"ExposedPorts": {"99999/x": {}}}, {"Labels": {"\x1b[2J": "\n"}},
        {"Healthcheck": {"Test": ["CMD-SHELL"], "Interval": -5}}, {"Healthcheck": {"Test": ["x", "y"], "Retries": -1}},
    ]  # fmt: skip
    for odd in oddities:
        stub.image("app", [base], container={"Cmd": ["true"], **odd})
        image = pull(engine, stub)
        assert image.inspect() and image.history() == [] and "<script" not in engine.images._repr_html_()
        try:
            assert image.call(timeout=20).exit_code == 0
        except ck.ContainerkitError as error:
            assert len(str(error)) < 1000 or "\0" not in str(error)
        assert len(engine.containers) == 0
        image.remove()


# -- blobs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "received .* bytes with digest"),
        (lambda data: data[:-10], "ended after"),
        (lambda data: b"", "ended after 0 bytes"),
        (lambda data: data + b"x", "more than the .* bytes that were announced"),
        (lambda data: data * 50, "more than the .* bytes that were announced"),
    ],
)
def test_a_layer_that_is_another_is_refused_at_once(
    engine: Engine, stub: Stub, change: Callable[[bytes], bytes], words: str
) -> None:
    stub.image("app", [SMALL, LARGE])
    stub.blobs[digest(LARGE.stored)] = change(LARGE.stored)
    not_pulled(engine, stub, words, RegistryError)
    assert len(stub.starts(LARGE)) == 1, "what is a lie is not asked for again"
    # It is nothing that the right one would stumble over.
    stub.blobs[digest(LARGE.stored)] = LARGE.stored
    assert pull(engine, stub).call is not None and left_in(engine, tmp_only=True) == []


@pytest.mark.parametrize("size", [100, len(LARGE.stored) + 1, 1 << 62])
def test_a_size_that_is_a_lie_is_told(engine: Engine, stub: Stub, size: int) -> None:
    said = [SMALL.described(), LARGE.described(size=size)]
    stub.image("app", [SMALL, LARGE], manifest={"layers": said})
    not_pulled(engine, stub, "that were announced|ended after", RegistryError)
    # Also when the blob is here already, by another image.
    right = stub.image("right", [SMALL, LARGE])
    Image.pull(right.name, engine=engine, progress=False)
    with pytest.raises(InvalidArgument, match=f"blob {digest(LARGE.stored)}: {len(LARGE.stored)} bytes, not {size}"):
        pull(engine, stub)
    assert [image.tags for image in engine.images] == [(f"{right.name}:latest",)]


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (LARGE.stored[:-20], "damaged gzip stream: compressed file ended"),
        (zstandard.compress(LARGE.plain)[:-20], "damaged zstd stream: compressed file ended"),
        (zstandard.compress(LARGE.plain[:4096]) + b"(\xb5/\xfd", "damaged zstd stream|cut off"),
        (LARGE.plain[:5000], "the archive is cut off"),
        (LARGE.stored + b"junk", "damaged gzip stream"),
        (b"", "empty, not a tar archive"),
        (gzip.compress(b""), "empty, not a tar archive"),
        (b"{}", "the archive is cut off"),
        (b"hello world" * 100, "not a tar archive"),
    ],
)
def test_a_layer_that_is_cut_off_or_no_archive_is_refused(
    engine: Engine, stub: Stub, stored: bytes, words: str
) -> None:
    """With the right digest: it was made so."""
    stub.image("app", [SMALL, Layer(stored, LARGE.plain, LAYER + "+gzip")])
    not_pulled(engine, stub, words)


def test_a_layer_that_is_here_already_is_not_taken_on_trust(engine: Engine, stub: Stub) -> None:
    """The config says a layer that is unpacked here, and its blob is something else: a trap for whoever pushes it."""
    right = stub.image("right", [SMALL])
    Image.pull(right.name, engine=engine, progress=False)
    stub.image("app", [Layer(LARGE.stored, SMALL.plain, LARGE.media_type)])
    with pytest.raises(InvalidArgument, match="which the image's config does not say"):
        pull(engine, stub)
    assert not engine.store.blobs.exists(digest(LARGE.stored)) and len(engine.images) == 1
    # The same content packed otherwise is right.
    other = layer(SMALL.plain, compressed=False)
    image = stub.image("app", [other], container={"Labels": {"a": "b"}})
    assert pull(engine, stub).id == image.id and engine.store.blobs.exists(digest(other.stored))


def test_one_layer_several_times_is_fetched_once(engine: Engine, stub: Stub, busybox_tar: Path) -> None:
    base = layer(busybox_tar.read_bytes())
    stub.image("app", [SMALL, base, SMALL, SMALL], container={"Cmd": ["cat", "/small"]})
    assert pull(engine, stub).call().stdout == "hello" and stub.starts(SMALL) == [0]
    assert len(list(engine.paths.layers.glob("[0-9a-f]*"))) == 4


def test_a_small_layer_many_times_is_no_large_image(
    engine: Engine, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each alone is harmless; all together they are a bomb."""
    monkeypatch.setattr(images, "HARMLESS_IMAGE", 3_000_000)
    monkeypatch.setattr("containerkit.registry.pull.HARMLESS_IMAGE", 3_000_000)
    one = layer(tar(x=b"0" * 1_000_000))
    stub.image("app", [one] * 10)
    not_pulled(engine, stub, "a decompression bomb")
    stub.image("app", [layer(tar(x=b"%d" % place * 1_000_000)) for place in range(10)])
    not_pulled(engine, stub, "a decompression bomb")


#: Pulls with little memory; whoever unpacks beside it has as little.
PULL = """
import resource, sys
import containerkit as ck
resource.setrlimit(resource.RLIMIT_DATA, (350 << 20, 350 << 20))
engine = ck.Engine(sys.argv[1], sys.argv[2])
try:
    ck.Image.pull(sys.argv[3], engine=engine, progress=False)
except ck.ContainerkitError as error:
    print(type(error).__name__, error)
engine.close()
"""


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_bomb_ends_while_it_is_pulled(engine: Engine, stub: Stub, kind: str) -> None:
    content = b"0" * (16 << 20)
    if kind == "gzip":
        stored = gzip.compress(content, 9, mtime=0) * 100
    else:
        stored = zstandard.ZstdCompressor(level=19).compress(content) * 100
    stub.image("app", [SMALL, Layer(_header(200 << 30, kind) + stored, b"", f"{LAYER}+{kind}")])
    words = [sys.executable, "-c", PULL, str(engine.paths.root), str(engine.paths.run), stub.name("app")]
    said = subprocess.check_output(words, text=True, cwd=Path(__file__).parents[2])
    assert said.startswith("InvalidArgument image ") and "a decompression bomb" in said, said
    assert left_in(engine) == [] and len(engine.images) == 0


def _header(size: int, kind: str) -> bytes:
    from tests.tars import block, number

    data = block(size=number(size))
    return gzip.compress(data, mtime=0) if kind == "gzip" else zstandard.compress(data)
