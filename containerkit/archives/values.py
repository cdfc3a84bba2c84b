"""What both formats share: what is saved, where files are looked for, and what is found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from containerkit.errors import InvalidArgument
from containerkit.oci import digest as digests
from containerkit.oci.manifest import MAX_BYTES, Descriptor
from containerkit.store.images import ImageRecord
from containerkit.values import frozen


@frozen
class Wanted:
    """An image that is saved, and the tags it is saved with."""

    record: ImageRecord
    tags: tuple[str, ...]


@frozen
class Found:
    """An image in an archive: its id, its manifest, which waits in the ingest with all its blobs, and its tags."""

    id: str
    manifest: Descriptor
    tags: tuple[str, ...]


class Source(Protocol):
    """Where a layout's files are: in an archive that has been read, or in a directory."""

    subject: str

    def document(self, name: str) -> bytes | None:
        """The bytes of one of the layout's own files; None when it is not there."""

    def has(self, digest: str) -> bool:
        """Whether the blob is there."""

    def fetch(self, descriptor: Descriptor) -> None:
        """See that the blob waits in the ingest.

        Raises:
            InvalidArgument: it is not there, or not what its name or the descriptor says.
        """

    def read(self, descriptor: Descriptor) -> bytes:
        """The bytes of a small blob: a manifest, an index, a config. Errors as for :meth:`fetch`."""


def merged(images: Iterable[Found]) -> list[Found]:
    """Each image once, in the order of their first appearance, with all its tags and its first manifest."""
    known: dict[str, Found] = {}
    for one in images:
        first = known.get(one.id, one)
        known[one.id] = Found(one.id, first.manifest, tuple(dict.fromkeys((*first.tags, *one.tags))))
    return list(known.values())


def blob_name(digest: str) -> str:
    """The name of a blob in a layout.

    Raises:
        InvalidArgument: not a digest.
    """
    return f"blobs/sha256/{digests.hex_of(digest)}"


def check_size(subject: str, descriptor: Descriptor, size: int | None) -> None:
    """Refuse a blob that is not there (None), or not as large as its descriptor says."""
    if size is None:
        raise InvalidArgument(f"{subject}: blob {descriptor.digest} is not in it")
    if size != descriptor.size:
        raise InvalidArgument(f"{subject}: blob {descriptor.digest}: {size} bytes, announced as {descriptor.size}")


def check_small(subject: str, name: str, size: int) -> None:
    """Refuse to read a file into memory that is larger than a document, a manifest or a config can be."""
    if size > MAX_BYTES:
        raise InvalidArgument(f"{subject}: {name}: {size} bytes are too many (at most {MAX_BYTES})")


def check_digest(subject: str, name: str, expected: str, digest: str) -> None:
    """Refuse a file whose content has another digest than its name says."""
    if digest != expected:
        raise InvalidArgument(f"{subject}: {name}: damaged: the digest of its content is {digest}")
