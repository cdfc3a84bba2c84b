"""Descriptors, manifests, indexes, and the two files that make a directory an image layout.

Source: opencontainers/image-spec 1.1: descriptor.md, manifest.md, image-index.md, image-layout.md. Docker's schema 2
has the same shape under other media types; both are read, the OCI ones are written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field, replace

from containerkit.errors import InvalidArgument, Unsupported
from containerkit.oci import codec
from containerkit.oci import digest as digests
from containerkit.values import frozen
from containerkit.views.text import plain

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

MANIFESTS, INDEXES, CONFIGS = (OCI_MANIFEST, DOCKER_MANIFEST), (OCI_INDEX, DOCKER_INDEX), (OCI_CONFIG, DOCKER_CONFIG)

#: Bounds on what a stranger's manifest may ask for: bytes of its text, and numbers of what is in it. Overlayfs stacks
#: 500 layers (OVL_MAX_STACK).
MAX_BYTES, MAX_LAYERS, MAX_MANIFESTS = 4 << 20, 500, 10_000

#: How a layer of that media type suffix is compressed, as :mod:`containerkit.layers.compression` names it.
_SUFFIXES = {"": "none", "+gzip": "gzip", "+zstd": "zstd"}
_DOCKER_SUFFIXES = {"": "none", ".gzip": "gzip", ".zstd": "zstd"}

#: The file ``oci-layout``.
LAYOUT = '{"imageLayoutVersion":"1.0.0"}'
#: The annotation of an index entry that names it (image-spec, annotations.md).
REF_NAME = "org.opencontainers.image.ref.name"
#: containerd's annotation for the same: always a whole reference.
IMAGE_NAME = "io.containerd.image.name"


@frozen
class Platform:
    architecture: str
    os: str
    variant: str = ""
    os_version: str = codec.named("os.version", "")
    os_features: tuple[str, ...] = codec.named("os.features", ())


@frozen
class Descriptor:
    """What a blob is, its digest, and its size in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    artifact_type: str = ""


@frozen
class Manifest:
    """One image: its config and its layers, the lowest first. An artifact that is none has an ``artifact_type``."""

    schema_version: int
    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""


@frozen
class Index:
    """Several manifests: one per platform, or everything in a layout."""

    schema_version: int
    manifests: tuple[Descriptor, ...]
    media_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


def manifest(
    config: Descriptor, layers: tuple[Descriptor, ...], annotations: Mapping[str, str] | None = None
) -> Manifest:
    """A manifest as this package writes it."""
    return Manifest(2, config, layers, OCI_MANIFEST, annotations or {})


def index(manifests: tuple[Descriptor, ...]) -> Index:
    """An index as this package writes it."""
    return Index(2, manifests, OCI_INDEX)


def read_manifest(data: bytes, where: str) -> Manifest:
    """The manifest in ``data``; ``where`` names it in errors.

    Raises:
        InvalidArgument: not a manifest, one of a schema this package does not know, or one with too many layers.
        Unsupported: not an image's, or one with layers that cannot be had.
    """
    _check_size(data, where)
    found = codec.loads(Manifest, data, where)
    if found.schema_version != 2 or (found.media_type or OCI_MANIFEST) not in MANIFESTS:
        raise InvalidArgument(f"{where}: not an image manifest of schema 2 ({_kind(found.media_type)})")
    if found.config.media_type not in CONFIGS:
        what = plain(found.artifact_type or found.config.media_type)
        raise Unsupported(f"{where}: not an image but an artifact of type {what}")
    if len(found.layers) > MAX_LAYERS:
        raise InvalidArgument(f"{where}: {len(found.layers)} layers, more than {MAX_LAYERS}")
    check_descriptor(found.config, where)
    sizes = {layer.digest: layer.size for layer in found.layers}
    for layer in found.layers:
        layer_compression(layer, where)
        check_descriptor(layer, where)
        if layer.size != sizes[layer.digest]:
            raise InvalidArgument(f"{where}: layer {layer.digest}: of {layer.size} and of {sizes[layer.digest]} bytes")
    return found


def oci_layer(layer: Descriptor) -> Descriptor:
    """The layer as a manifest of this package names it; its bytes are the same."""
    return replace(layer, media_type=layer_media_type(layer_compression(layer, "manifest")))


def read_index(data: bytes, where: str) -> Index:
    """The index in ``data``; ``where`` names it in errors.

    Raises:
        InvalidArgument: not an index.
    """
    _check_size(data, where)
    found = codec.loads(Index, data, where)
    if found.schema_version != 2 or (found.media_type or OCI_INDEX) not in INDEXES:
        raise InvalidArgument(f"{where}: not an image index ({_kind(found.media_type)})")
    if len(found.manifests) > MAX_MANIFESTS:
        raise InvalidArgument(f"{where}: {len(found.manifests)} manifests, more than {MAX_MANIFESTS}")
    return found


def check_descriptor(descriptor: Descriptor, where: str) -> None:
    """
    Raises:
        InvalidArgument: its digest or its size cannot be.
    """
    try:
        digests.hex_of(descriptor.digest)
    except InvalidArgument as error:
        raise InvalidArgument(f"{where}: {error.message}") from None
    if descriptor.size < 0:
        raise InvalidArgument(f"{where}: blob {descriptor.digest}: of {descriptor.size} bytes")


def _kind(media_type: str) -> str:
    return plain(media_type) or "no media type"


def _check_size(data: bytes, where: str) -> None:
    if len(data) > MAX_BYTES:
        raise InvalidArgument(f"{where}: {len(data)} bytes, more than {MAX_BYTES}")


def media_type_of(data: bytes, told: str, where: str) -> str:
    """Of a manifest or index: what it says of itself, else what was ``told`` of it.

    Raises:
        InvalidArgument: not JSON, or neither of them.
    """
    _check_size(data, where)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{where}: not JSON: {error}") from error
    inside = found.get("mediaType") if isinstance(found, dict) else None
    media_type = inside if isinstance(inside, str) and inside else told.partition(";")[0].strip()
    if isinstance(found, dict) and found.get("schemaVersion") == 1:
        raise Unsupported(f"{where}: a manifest of schema 1, which registries have given up (push it anew)")
    if media_type not in (*MANIFESTS, *INDEXES):
        raise InvalidArgument(f"{where}: neither an image manifest nor an index ({_kind(media_type)})")
    return media_type


def layer_compression(layer: Descriptor, where: str) -> str:
    """How the layer is compressed, as :mod:`containerkit.layers.compression` names it.

    Raises:
        Unsupported: its files are elsewhere (foreign layers, of Windows), encrypted, or no file system's.
    """
    kind, shown = layer.media_type, f"layer {plain(layer.digest)}"
    if layer.urls or "nondistributable" in kind or kind.endswith((".foreign.diff.tar", ".foreign.diff.tar.gzip")):
        raise Unsupported(f"{where}: {shown}: foreign: its files are not the registry's to give ({plain(kind)})")
    for base, suffixes in ((OCI_LAYER, _SUFFIXES), (DOCKER_LAYER, _DOCKER_SUFFIXES)):
        if kind.startswith(base) and kind[len(base) :] in suffixes:
            return suffixes[kind[len(base) :]]
    raise Unsupported(f"{where}: {shown}: of the unknown type {plain(kind)}")


def layer_media_type(compression: str) -> str:
    """The media type of a layer whose tar is compressed with ``"none"``, ``"gzip"`` or ``"zstd"``."""
    suffix = next(suffix for suffix, name in _SUFFIXES.items() if name == compression)
    return OCI_LAYER + suffix
