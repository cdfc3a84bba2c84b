"""docker-archives: ``manifest.json``, and beside it configs and layers under names that it tells.

Written: ``<hex of the id>.json`` and ``<hex of the diff_id>.tar``. Source: the description of docker's image format
(moby, image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset Format"), and what its ``save`` writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace

from containerkit.archives import names
from containerkit.archives.contents import Contents
from containerkit.archives.values import Found, Wanted, merged
from containerkit.archives.writing import Writer
from containerkit.errors import InvalidArgument
from containerkit.oci import codec
from containerkit.oci import digest as digests
from containerkit.oci import manifest as oci
from containerkit.oci.codec import named
from containerkit.oci.image_config import ImageConfig
from containerkit.oci.reference import Reference
from containerkit.store.ingest import Ingest
from containerkit.values import frozen


@frozen
class _Item:
    """One image in ``manifest.json``."""

    config: str = field(metadata={"json": "Config"})
    tags: tuple[str, ...] | None = named("RepoTags")
    layers: tuple[str, ...] = named("Layers", ())


def write(writer: Writer, wanted: Sequence[Wanted]) -> None:
    """Write images with their layers uncompressed, each layer once.

    Raises:
        StorageError: a blob is damaged.
    """
    items = [_item(image) for image in wanted]
    writer.put("manifest.json", codec.dumps(items).encode())
    for id in dict.fromkeys(image.record.id for image in wanted):
        writer.put(_config(id), writer.blobs.read(id))
    layers = {
        diff_id: layer.digest
        for image in wanted
        for diff_id, layer in zip(image.record.config.rootfs.diff_ids, image.record.layers, strict=True)
    }
    for diff_id, digest in layers.items():
        writer.layer(_layer(diff_id), digest, diff_id)


def _item(image: Wanted) -> _Item:
    tags = tuple(Reference.parse(tag).full for tag in image.tags)
    return _Item(_config(image.record.id), tags, tuple(map(_layer, image.record.config.rootfs.diff_ids)))


def _config(id: str) -> str:
    return f"{digests.hex_of(id)}.json"


def _layer(diff_id: str) -> str:
    return f"{digests.hex_of(diff_id)}.tar"


def images(contents: Contents, ingest: Ingest) -> list[Found]:
    """The images of a docker-archive that has been read, in its order; manifests are made for them.

    Raises:
        InvalidArgument: a file is missing, or not what something else says of it.
    """
    found = merged(_image(contents, item, ingest) for item in _items(contents))
    if not found:
        raise InvalidArgument(f"{contents.subject}: no image in its manifest.json")
    return found


def with_tags(contents: Contents, images: Sequence[Found]) -> list[Found]:
    """Images that were found otherwise, with the tags that ``manifest.json``, when it is there, has for them too."""
    tags = {contents.config(item.config).digest: _tags(item) for item in _items(contents)}
    return merged(replace(image, tags=(*image.tags, *tags.get(image.id, ()))) for image in images)


def _items(contents: Contents) -> tuple[_Item, ...]:
    data = contents.document("manifest.json") or b"[]"
    return codec.loads(tuple[_Item, ...], data, f"{contents.subject}: manifest.json")


def _tags(item: _Item) -> tuple[str, ...]:
    return tuple(tag for text in item.tags or () if (tag := names.clean(text)) is not None)


def _image(contents: Contents, item: _Item, ingest: Ingest) -> Found:
    blob = contents.config(item.config)
    where = f"{contents.subject}: {item.config}"
    diff_ids = codec.loads(ImageConfig, ingest.read(blob.digest), where).rootfs.diff_ids
    if len(diff_ids) != len(item.layers):
        raise InvalidArgument(f"{where}: {len(diff_ids)} layers, and {len(item.layers)} in manifest.json")
    layers = []
    for name, diff_id in zip(item.layers, diff_ids, strict=True):
        layer = contents.layer(name)
        if layer.diff_id != diff_id:
            raise InvalidArgument(
                f"{contents.subject}: {name}: its content is {layer.diff_id}, not the {diff_id} of its image"
            )
        layers.append(layer.blob)
    manifest = oci.manifest(replace(blob, media_type=oci.OCI_CONFIG), tuple(layers))
    return Found(blob.digest, ingest.put(codec.dumps(manifest).encode(), oci.OCI_MANIFEST), _tags(item))
