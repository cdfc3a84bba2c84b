"""Platforms as people write them, the manifest that suits one, and whether what we write meets the specification."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerkit import dockerfile
from containerkit.errors import ContainerkitError, InvalidArgument, NotFound, Unsupported
from containerkit.oci import codec, platforms
from containerkit.oci import digest as digests
from containerkit.oci import manifest as oci
from containerkit.oci.image_config import ContainerConfig, HealthConfig, History, ImageConfig, RootFS, format_time
from containerkit.oci.manifest import Descriptor, Platform

SCHEMAS = Path(__file__).parents[2].parent / "shared" / "reference" / "image-spec"
HEX = "0123456789abcdef" * 4


def described(*texts: str) -> list[Descriptor]:
    """An index's manifests for these platforms; ``-`` for one that does not say."""
    found = []
    for number, text in enumerate(texts):
        system, architecture, variant = (*text.split("/"), "", "")[:3]
        its = None if text == "-" else Platform(architecture, system, variant)
        found.append(Descriptor(oci.OCI_MANIFEST, f"sha256:{number:064x}", 7, platform=its))
    return found


def chosen(wanted: str, *texts: str) -> str:
    found = platforms.choose(described(*texts), platforms.parse(wanted), "image x")
    return texts[int(found.digest[7:], 16)]


# -- what people write -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("linux/amd64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("linux/arm/v7", "linux/arm/v7"),
        ("LINUX/AMD64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("linux/aarch64/v8", "linux/arm64/v8"),
        ("armhf", "linux/arm/v7"),
        ("armel", "linux/arm/v6"),
        ("linux/armhf/v6", "linux/arm/v6"),
        ("i386", "linux/386"),
        ("linux/i686", "linux/386"),
        ("s390x", "linux/s390x"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_platforms_are_read(text: str, written: str) -> None:
    assert platforms.text(platforms.parse(text)) == written
    assert platforms.parse(written) == platforms.parse(text)


@pytest.mark.parametrize(
    "text", ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux//v7", "amd64,arm64", "linux/amd 64"]
)
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^platform .*: write os/architecture\[/variant\]"):
        platforms.parse(text)


@pytest.mark.parametrize(
    ("machine", "written"),
    [("x86_64", "linux/amd64"), ("aarch64", "linux/arm64/v8"), ("armv7l", "linux/arm/v7"), ("riscv64", "linux/riscv64"),
     ("newchip", "linux/newchip")],
)  # fmt: skip
def test_this_machine_is_known(monkeypatch: pytest.MonkeyPatch, machine: str, written: str) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    assert platforms.text(platforms.this_machine()) == written


# -- which one -------------------------------------------------------------------------------------------------------

EVERYTHING = (
    "linux/386",
    "linux/amd64",
    "linux/arm/v5",
    "linux/arm/v7",
    "linux/arm/v6",
    "linux/arm64/v8",
    "windows/amd64",
)


@pytest.mark.parametrize(
    ("wanted", "there", "found"),
    [
        ("amd64", EVERYTHING, "linux/amd64"),
        ("windows/amd64", EVERYTHING, "windows/amd64"),
        ("386", EVERYTHING, "linux/386"),
        # Variants: its own, else the newest of the older ones.
        ("linux/arm/v7", EVERYTHING, "linux/arm/v7"),
        ("linux/arm/v6", EVERYTHING, "linux/arm/v6"),
        ("linux/arm/v8", EVERYTHING, "linux/arm/v7"),
        ("linux/arm", EVERYTHING, "linux/arm/v7"),
        ("linux/arm/v7", ("linux/arm/v5", "linux/arm/v6"), "linux/arm/v6"),
        ("linux/arm/v6", ("linux/arm",), "linux/arm"),  # whoever does not say may mean it
        ("linux/arm/v7", ("linux/arm/v6", "linux/arm"), "linux/arm"),
        ("arm64", EVERYTHING, "linux/arm64/v8"),
        ("linux/arm64/v8", ("linux/arm64",), "linux/arm64"),
        ("linux/arm64/v9", ("linux/arm64/v8",), "linux/arm64/v8"),
        ("amd64", ("linux/amd64/v3", "linux/amd64"), "linux/amd64"),
        ("linux/amd64/v3", ("linux/amd64", "linux/amd64/v2", "linux/amd64/v4"), "linux/amd64/v2"),
        ("linux/amd64/v2", ("linux/amd64",), "linux/amd64"),
        ("amd64", ("linux/amd64/v2",), "linux/amd64/v2"),  # better than nothing
        ("linux/mips/odd", ("linux/mips/odd",), "linux/mips/odd"),
        # Of several the first; attestations are none; an index of one that does not say has no choice.
        ("amd64", ("linux/amd64", "linux/amd64"), "linux/amd64"),
        ("amd64", ("unknown/unknown", "-", "linux/amd64"), "linux/amd64"),
        ("amd64", ("-",), "-"),
    ],
)
def test_the_manifest_that_suits_best_is_chosen(wanted: str, there: tuple[str, ...], found: str) -> None:
    assert chosen(wanted, *there) == found


def test_of_several_that_suit_the_first_is_chosen() -> None:
    assert platforms.choose(described("linux/amd64", "linux/amd64"), platforms.parse("amd64"), "x").digest[-1] == "0"


@pytest.mark.parametrize(
    ("wanted", "there", "words"),
    [
        ("s390x", EVERYTHING, "not for linux/s390x \\(there is linux/386, linux/amd64, linux/arm/v5, "),
        ("linux/arm/v6", ("linux/arm/v7",), "not for linux/arm/v6 \\(there is linux/arm/v7\\)"),
        ("arm64", ("linux/arm/v8",), "not for linux/arm64 \\(there is linux/arm/v8\\)"),
        ("linux/amd64/v2", ("linux/amd64/v3",), "not for linux/amd64/v2"),
        ("linux/arm64/v8", ("linux/arm64/v9",), "not for"),
        ("amd64", (), "there is nothing for any platform"),
        ("amd64", ("-", "-"), "there is nothing for any platform"),
        ("amd64", ("unknown/unknown", "unknown/unknown"), "there is nothing for any platform"),
        ("amd64", ("windows/amd64",), "there is windows/amd64"),
    ],
)
def test_nothing_suitable_names_what_is_there(wanted: str, there: tuple[str, ...], words: str) -> None:
    with pytest.raises(
        NotFound, match=f"^image x: not for .*{words}" if words.startswith("there") else f"^image x: {words}"
    ):
        chosen(wanted, *there)


def test_what_is_there_is_named_briefly() -> None:
    with pytest.raises(NotFound) as raised:
        chosen("amd64", *(f"linux/odd{number:04d}{'x' * 500}" for number in range(300)), "linux/\x1b[2J")
    assert len(str(raised.value)) < 1500 and "and 281 more)" in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("found", "wanted", "is_one"),
    [
        ("linux/amd64", "amd64", True),
        ("linux/amd64", "arm64", False),
        ("windows/amd64", "amd64", False),
        ("linux/arm/v6", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("linux/arm/v7", "linux/arm", True),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm", "linux/arm/v6", True),  # configs often do not say
    ],
)
def test_an_image_that_is_here_suits_as_one_from_afar_does(found: str, wanted: str, is_one: bool) -> None:
    assert platforms.matches(platforms.parse(found), platforms.parse(wanted)) == is_one


# -- manifests of strangers ------------------------------------------------------------------------------------------

LAYER = Descriptor(oci.OCI_LAYER + "+gzip", f"sha256:{HEX}", 7)
CONFIG = Descriptor(oci.OCI_CONFIG, f"sha256:{HEX}", 7)


def data(**changed: Any) -> bytes:
    return json.dumps({**codec.encode(oci.manifest(CONFIG, (LAYER,))), **changed}).encode()


def blob(media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": "sha256:0", "size": 1, **more}


FOREIGN = (oci.DOCKER_LAYER.replace("diff", "foreign.diff"), oci.OCI_LAYER.replace("layer", "layer.nondistributable"))


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"schemaVersion": 1}, InvalidArgument, "not an image manifest of schema 2"),
        ({"mediaType": oci.OCI_INDEX}, InvalidArgument, "not an image manifest of schema 2"),
        ({"mediaType": "\x1b]0;" + "x" * 100_000}, InvalidArgument, "not an image manifest of schema 2"),
        ({"config": blob("a/" + "b" * 9000)}, Unsupported, "an artifact of type a/b"),
        ({"artifactType": "a/b", "config": blob("x/y")}, Unsupported, "an artifact of type a/b"),
        ({"layers": [blob("x" * 9000, digest="y" * 9000)]}, Unsupported, "of the unknown type xxx"),
        ({"layers": [blob(oci.OCI_LAYER + "+gzip+encrypted")]}, Unsupported, "of the unknown type"),
        ({"layers": [blob(oci.OCI_LAYER, urls=["https://elsewhere"])]}, Unsupported, "foreign"),
        *(({"layers": [blob(kind + end)]}, Unsupported, "foreign") for kind in FOREIGN for end in ("", ".gzip")),
        ({"layers": [blob(oci.OCI_LAYER)] * 501}, InvalidArgument, "501 layers, more than 500"),
        ({"layers": 7}, InvalidArgument, "layers: expected a list"),
        ({"x": "y" * (4 << 20)}, InvalidArgument, "bytes, more than"),
    ],
)
def test_a_manifest_that_is_no_image_s_is_refused_briefly(changed: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=f"^registry r: (.*: )?.*{words}") as raised:
        oci.read_manifest(data(**changed), "registry r")
    assert len(str(raised.value)) < 400 and str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("media_type", "compression"),
    [(oci.OCI_LAYER, "none"), (oci.OCI_LAYER + "+gzip", "gzip"), (oci.OCI_LAYER + "+zstd", "zstd"),
     (oci.DOCKER_LAYER, "none"), (oci.DOCKER_LAYER + ".gzip", "gzip"), (oci.DOCKER_LAYER + ".zstd", "zstd")],
)  # fmt: skip
def test_layers_of_both_families_are_known(media_type: str, compression: str) -> None:
    assert oci.layer_compression(replace(LAYER, media_type=media_type), "x") == compression
    assert oci.layer_compression(replace(LAYER, media_type=oci.layer_media_type(compression)), "x") == compression


def test_a_manifest_says_itself_what_it_is_or_its_registry_does() -> None:
    assert oci.media_type_of(data(), "text/plain", "x") == oci.OCI_MANIFEST
    silent = data(mediaType="")
    assert oci.media_type_of(silent, f"{oci.DOCKER_MANIFEST}; charset=utf-8", "x") == oci.DOCKER_MANIFEST
    with pytest.raises(InvalidArgument, match=r"^x: neither an image manifest nor an index \(text/html\)$"):
        oci.media_type_of(silent, "text/html", "x")
    with pytest.raises(InvalidArgument, match=r"^x: neither an image manifest nor an index \(no media type\)$"):
        oci.media_type_of(b"[]", "", "x")
    with pytest.raises(Unsupported, match="^x: a manifest of schema 1"):
        oci.media_type_of(b'{"schemaVersion": 1}', "application/json", "x")
    for text in (b"", b"{", b"[" * 100_000, b"\xff"):
        with pytest.raises(InvalidArgument, match="^x: not JSON"):
            oci.media_type_of(text, oci.OCI_MANIFEST, "x")


MEMBERS = ["schemaVersion", "config", "layers", "manifests", "mediaType", "digest", "size", "platform", "os", "urls"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=5),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_a_manifest_or_refused(document: Any) -> None:
    text = json.dumps(document).encode()
    for read in (oci.read_manifest, oci.read_index, lambda text, where: oci.media_type_of(text, "", where)):
        try:
            read(text, "x")
        except ContainerkitError as error:
            assert str(error).startswith("x: ")


# -- what we write ---------------------------------------------------------------------------------------------------


def validate(name: str, document: Any) -> None:
    if not SCHEMAS.is_dir():
        pytest.skip(f"the specification's schemas are not at {SCHEMAS}")
    import jsonschema
    from referencing import Registry
    from referencing.jsonschema import DRAFT4

    documents = {path.name: _without_ids(json.loads(path.read_text())) for path in SCHEMAS.glob("*.json")}
    registry: Registry[Any] = Registry().with_resources(
        (known, DRAFT4.create_resource(text)) for known, text in documents.items()
    )
    jsonschema.Draft4Validator(documents[name], registry=registry).validate(document)


def _without_ids(schema: Any) -> Any:
    """A schema whose references are to files beside it, and not to where its parts say that they are at home."""
    if isinstance(schema, list):
        return [_without_ids(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _without_ids(one) for key, one in schema.items() if not (key == "id" and isinstance(one, str))}


def written(value: Any) -> Any:
    return json.loads(codec.dumps(value))


def test_our_manifests_meet_the_specification_s_schema() -> None:
    plain = oci.manifest(CONFIG, (LAYER, replace(LAYER, annotations={"org.opencontainers.image.title": "x"})))
    validate("image-manifest-schema.json", written(plain))
    assert oci.read_manifest(codec.dumps(plain).encode(), "x") == plain
    rich = replace(plain, annotations={"a": "b"}, config=replace(CONFIG, platform=Platform("arm", "linux", "v7")))
    validate("image-manifest-schema.json", written(rich))
    assert oci.read_manifest(codec.dumps(rich).encode(), "x") == rich


def test_our_indexes_and_layouts_meet_the_specification_s_schemas() -> None:
    entries = described("linux/amd64", "linux/arm/v7", "-")
    named = replace(entries[0], annotations={oci.REF_NAME: "docker.io/library/x:1"}, media_type=oci.DOCKER_MANIFEST)
    windows = Platform("amd64", "windows", os_version="10.0.1", os_features=("win32k",))
    index = oci.index((named, *entries[1:], replace(entries[2], platform=windows)))
    assert written(index)["manifests"][3]["platform"] == {
        "architecture": "amd64", "os": "windows", "os.version": "10.0.1", "os.features": ["win32k"],
    }  # fmt: skip
    validate("image-index-schema.json", written(index))
    assert oci.read_index(codec.dumps(index).encode(), "x") == index
    validate("image-index-schema.json", written(oci.index(())))
    validate("image-layout-schema.json", json.loads(oci.LAYOUT))


def test_our_configs_meet_the_specification_s_schema() -> None:
    least = ImageConfig("amd64", "linux", RootFS("layers", (digests.of(b"x"),)), created=format_time(1))
    validate("config-schema.json", written(least))
    config = dockerfile.apply_changes(
        ContainerConfig(healthcheck=HealthConfig(("CMD", "x"), 1, 2, 3, 4, 5)),
        ['CMD ["sh"]', "ENTRYPOINT x", "ENV A=1", "USER web", "WORKDIR /srv", "LABEL a=b", "EXPOSE 80", "VOLUME /d"],
    )
    steps = (History(format_time(1), "RUN x", "ada", "why", True), History())
    full = replace(least, config=config, author="ada", variant="v8", os_version="1", history=steps)
    validate("config-schema.json", written(full))
    assert codec.loads(ImageConfig, codec.dumps(full), "x") == full
