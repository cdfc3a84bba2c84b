"""An image's layers compressed otherwise, for those who pull with old tools: docker reads zstd since version 23."""

from __future__ import annotations

from dataclasses import replace

from containerkit.errors import InvalidArgument
from containerkit.layers import compression
from containerkit.oci import codec
from containerkit.oci import manifest as oci
from containerkit.oci.manifest import Descriptor
from containerkit.registry.deadline import Deadline
from containerkit.store.images import ImageRecord
from containerkit.store.ingest import Ingest


def recompressed(record: ImageRecord, wanted: str, ingest: Ingest, deadline: Deadline) -> ImageRecord:
    """The image with every layer compressed as ``wanted``, in blobs that wait in ``ingest``; its id stays.

    Raises:
        InvalidArgument: not ``"gzip"`` or ``"zstd"``.
    """
    if wanted not in ("gzip", "zstd"):
        raise InvalidArgument(f'compression {wanted!r}: expected "gzip" or "zstd"')
    layers = tuple([_layer(layer, wanted, ingest, deadline) for layer in record.layers])
    if layers == record.layers:
        return record
    found = oci.read_manifest(ingest.read(record.manifest.digest), f"manifest {record.manifest.digest}")
    config = replace(found.config, media_type=oci.OCI_CONFIG)
    manifest = ingest.put(codec.dumps(oci.manifest(config, layers)).encode(), oci.OCI_MANIFEST)
    return replace(record, manifest=manifest, layers=layers)


def _layer(layer: Descriptor, wanted: str, ingest: Ingest, deadline: Deadline) -> Descriptor:
    subject = f"layer {layer.digest}"
    current = oci.layer_compression(layer, subject)
    media_type = oci.layer_media_type(current if current == wanted else wanted)
    if current == wanted:
        return replace(layer, media_type=media_type)
    with (
        ingest.open(layer.digest) as blob,
        compression.reader(blob, current, subject) as plain,
        ingest.writer() as writer,
        compression.writer(writer, wanted) as packed,
    ):
        while data := plain.read(compression.CHUNK):
            deadline.check()
            packed.write(data)
    return Descriptor(media_type, writer.digest, writer.size)
