"""OCI layouts: written, and their indexes read down to this machine's images.

Source: opencontainers/image-spec 1.1, image-layout.md and image-index.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import field

from containerkit.archives import names
from containerkit.archives.values import Found, Source, Wanted, blob_name, merged
from containerkit.archives.writing import Writer
from containerkit.errors import InvalidArgument, NotFound
from containerkit.oci import codec, platforms
from containerkit.oci import manifest as oci
from containerkit.oci.manifest import Descriptor, Manifest
from containerkit.values import frozen

#: Indexes in indexes: nobody writes more than two.
_MAX_DEPTH = 4


@frozen
class _Version:
    """The file ``oci-layout``."""

    version: str = field(metadata={"json": "imageLayoutVersion"})


def write(writer: Writer, wanted: Sequence[Wanted]) -> None:
    """Write images with their blobs as they are stored.

    Raises:
        StorageError: a blob is damaged.
    """
    entries = []
    for image in wanted:
        manifest = image.record.manifest
        for tag in image.tags or (None,):
            annotations = {} if tag is None else names.annotate(tag)
            entries.append(Descriptor(manifest.media_type, manifest.digest, manifest.size, annotations))
    writer.put("oci-layout", oci.LAYOUT.encode())
    writer.put("index.json", codec.dumps(oci.index(tuple(entries))).encode())
    blobs = [blob for image in wanted for blob in _blobs(writer, image.record.manifest)]
    for digest, size in dict(blobs).items():
        writer.blob(blob_name(digest), digest, size)


def _blobs(writer: Writer, descriptor: Descriptor) -> list[tuple[str, int]]:
    """Digest and size of everything that an image consists of."""
    manifest = oci.read_manifest(writer.blobs.read(descriptor.digest), f"manifest {descriptor.digest}")
    return [(blob.digest, blob.size) for blob in (descriptor, manifest.config, *manifest.layers)]


def images(source: Source) -> list[Found]:
    """The images of a layout, in its order.

    Raises:
        InvalidArgument: there is none, or something is not what it says, or not there.
        NotFound: there is none for this machine.
    """
    version = codec.loads(_Version, source.document("oci-layout") or b"", f"{source.subject}: oci-layout").version
    if version != "1.0.0":
        raise InvalidArgument(f"{source.subject}: an image layout of version {version[:20]!r} (known: 1.0.0)")
    index = oci.read_index(source.document("index.json") or b"", f"{source.subject}: index.json")
    found = merged(_images(source, index.manifests))
    if not found:
        raise InvalidArgument(f"{source.subject}: no image in its index")
    return found


def _images(source: Source, entries: Sequence[Descriptor]) -> Iterator[Found]:
    for entry in _fitting(entries):
        manifest = _descend(source, entry, 0)
        if manifest is not None and (id := _fetch(source, manifest)) is not None:
            tag = names.tag_of(entry.annotations)
            plain = Descriptor(manifest.media_type, manifest.digest, manifest.size)
            yield Found(id, plain, () if tag is None else (tag,))


def _fitting(entries: Sequence[Descriptor]) -> list[Descriptor]:
    """Of entries of one name for several platforms this machine's; all others."""
    rivals: dict[str, list[Descriptor]] = {}
    for entry in entries:
        if entry.platform is not None and (name := names.tag_of(entry.annotations)):
            rivals.setdefault(name, []).append(entry)
    left_out = set()
    for name, same in rivals.items():
        with suppress(NotFound):  # then all of them: somebody wanted them
            chosen = platforms.choose(same, platforms.this_machine(), name)
            left_out |= {id(entry) for entry in same if entry is not chosen}
    return [entry for entry in entries if id(entry) not in left_out and not _is_attestation(entry)]


def _is_attestation(entry: Descriptor) -> bool:
    """What is said of an image (how it was built) takes the shape of one, for no platform that there is."""
    return entry.platform is not None and entry.platform.architecture == "unknown"


def _descend(source: Source, entry: Descriptor, depth: int) -> Descriptor | None:
    """The manifest that an entry leads to; None when it is something else."""
    if entry.media_type not in oci.INDEXES:
        return entry if entry.media_type in oci.MANIFESTS else None
    where = f"{source.subject}: index {entry.digest}"
    if depth == _MAX_DEPTH:
        raise InvalidArgument(f"{where}: nested too deeply")
    manifests = oci.read_index(source.read(entry), where).manifests
    # A copy of one platform's image keeps the index of all.
    there = [one for one in manifests if source.has(one.digest) and not _is_attestation(one)]
    chosen = there[0] if len(there) == 1 else platforms.choose(there, platforms.this_machine(), where)
    return _descend(source, chosen, depth + 1)


def _fetch(source: Source, descriptor: Descriptor) -> str | None:
    """Have the blobs of a manifest in the ingest; the image's id, or None when it is of no image."""
    data, where = source.read(descriptor), f"{source.subject}: manifest {descriptor.digest}"
    if codec.loads(Manifest, data, where).config.media_type not in oci.CONFIGS:
        return None  # a chart, a signature
    manifest = oci.read_manifest(data, where)
    source.read(manifest.config)
    for layer in manifest.layers:
        source.fetch(layer)
    return manifest.config.digest
