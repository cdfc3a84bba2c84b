"""Descriptors, manifests, indexes, and the two files that make a directory an image layout.

Source: opencontainers/image-spec 1.1: descriptor.md, manifest.md, image-index.md, image-layout.md. Docker's schema 2
has the same shape under other media types; both are read, the OCI ones are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from containerkit.errors import InvalidArgument
from containerkit.oci import codec

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

#: How a layer of that media type suffix is compressed, as :mod:`containerkit.layers.compression` names it.
_SUFFIXES = {"": "none", "+gzip": "gzip", "+zstd": "zstd"}

#: The file ``oci-layout``.
LAYOUT = '{"imageLayoutVersion":"1.0.0"}'
#: The annotation of an index entry that names it (image-spec, annotations.md).
REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class Platform:
    architecture: str
    os: str
    variant: str = ""


@dataclass(frozen=True)
class Descriptor:
    """What a blob is, its digest, and its size in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None


@dataclass(frozen=True)
class Manifest:
    """One image: its config and its layers, the lowest first."""

    schema_version: int
    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Index:
    """Several manifests: one per platform, or everything in a layout."""

    schema_version: int
    manifests: tuple[Descriptor, ...]
    media_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


def manifest(config: Descriptor, layers: tuple[Descriptor, ...]) -> Manifest:
    """A manifest as this package writes it."""
    return Manifest(2, config, layers, OCI_MANIFEST)


def index(manifests: tuple[Descriptor, ...]) -> Index:
    """An index as this package writes it."""
    return Index(2, manifests, OCI_INDEX)


def read_manifest(data: bytes, where: str) -> Manifest:
    """The manifest in ``data``; ``where`` names it in errors.

    Raises:
        InvalidArgument: not a manifest, or one of a schema this package does not know.
    """
    found = codec.loads(Manifest, data, where)
    if found.schema_version != 2 or (found.media_type or OCI_MANIFEST) not in (OCI_MANIFEST, DOCKER_MANIFEST):
        raise InvalidArgument(f"{where}: not an image manifest of schema 2 ({found.media_type or 'no media type'})")
    return found


def layer_media_type(compression: str) -> str:
    """The media type of a layer whose tar is compressed with ``"none"``, ``"gzip"`` or ``"zstd"``."""
    suffix = next(suffix for suffix, name in _SUFFIXES.items() if name == compression)
    return OCI_LAYER + suffix
