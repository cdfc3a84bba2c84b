"""What archives call their images, and which of them is for which machine."""

from __future__ import annotations

from typing import Any

import pytest

from containerkit.archives import names
from containerkit.builder import inline
from containerkit.errors import InvalidArgument, NotFound
from containerkit.oci import platforms
from containerkit.oci.manifest import IMAGE_NAME, OCI_MANIFEST, REF_NAME, Descriptor, Platform


@pytest.mark.parametrize(
    ("annotations", "tag"),
    [
        # containerd and docker: the name in one, the tag in the other.
        ({IMAGE_NAME: "docker.io/library/busybox:1", REF_NAME: "1"}, "docker.io/library/busybox:1"),
        ({IMAGE_NAME: "quay.io/a/b:1@sha256:" + "0" * 64}, "quay.io/a/b:1"),
        ({IMAGE_NAME: "quay.io/a/b@sha256:" + "0" * 64}, None),
        # podman and skopeo: what was typed.
        ({REF_NAME: "localhost/box:2"}, "localhost/box:2"),
        ({REF_NAME: "box:2"}, "docker.io/library/box:2"),
        ({REF_NAME: "quay.io/a/b"}, "quay.io/a/b:latest"),
        # A tag, or a name: nobody can say.
        ({REF_NAME: "latest"}, None),
        ({REF_NAME: "Not: a reference"}, None),
        ({}, None),
    ],
)
def test_an_entry_is_called_as_its_writer_meant(annotations: dict[str, str], tag: str | None) -> None:
    assert names.tag_of(annotations) == tag


def test_a_wrong_name_is_refused_where_it_must_be_one() -> None:
    with pytest.raises(InvalidArgument, match="did you mean busybox"):
        names.tag_of({IMAGE_NAME: "Busybox"})


def test_what_is_written_is_read_again() -> None:
    for reference in ("busybox", "registry:5000/a/b:1.2"):
        assert names.tag_of(names.annotate(reference)) == names.clean(reference)


def entry(platform: Platform | None) -> Descriptor:
    return Descriptor(OCI_MANIFEST, "sha256:" + "0" * 64, 1, platform=platform)


AMD64, ARM64 = Platform("amd64", "linux"), Platform("arm64", "linux", "v8")


@pytest.mark.parametrize(
    ("there", "wanted", "chosen"),
    [
        ([ARM64, AMD64], "linux/amd64", 1),
        ([ARM64, AMD64], "linux/arm64", 0),
        ([AMD64, Platform("arm64", "linux")], "linux/arm64/v8", 1),
        # A newer variant's instructions are missing on an older machine; an older one's are not on a newer.
        ([Platform("arm", "linux", "v6"), Platform("arm", "linux", "v7")], "linux/arm/v7", 1),
        ([Platform("arm", "linux", "v7"), Platform("arm", "linux", "v5")], "linux/arm/v6", 1),
        ([Platform("arm", "linux", "v7")], "linux/arm/v6", None),
        ([Platform("amd64", "linux", "v3"), AMD64], "linux/amd64", 1),
        ([Platform("amd64", "windows"), ARM64], "linux/amd64", None),
        ([Platform("unknown", "unknown"), AMD64], "linux/amd64", 1),
        ([AMD64, AMD64], "linux/amd64", 0),
        ([None], "linux/amd64", 0),
        ([], "linux/amd64", None),
    ],
)
def test_the_manifest_for_a_machine(there: list[Platform | None], wanted: str, chosen: int | None) -> None:
    entries = [entry(platform) for platform in there]
    if chosen is None:
        with pytest.raises(NotFound, match=f"^image x: not for {wanted} "):
            platforms.choose(entries, platforms.parse(wanted), "image x")
    else:
        assert platforms.choose(entries, platforms.parse(wanted), "image x") is entries[chosen]


@pytest.mark.parametrize("said", ["[" * 9999, "x", "{}", '[["' + "0" * 64 + '", 1, ' + "9" * 5000 + "]]"])
def test_a_build_cache_that_is_none_is_passed_over(said: str) -> None:
    record: Any = None
    assert list(inline.steps(record, {inline.ANNOTATION: said}, {})) == []
