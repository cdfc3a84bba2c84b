"""A blob becomes the files of a layer: inflated, hashed twice, as it is stored and as it is, and checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from containerkit.errors import ContainerkitError, InvalidArgument, Unsupported
from containerkit.layers import compression, tar
from containerkit.layers.ahead import Ahead
from containerkit.layers.apply import Applied, apply
from containerkit.layers.below import NotYetThere
from containerkit.layers.whiteouts import is_opaque
from containerkit.oci import digest as digests
from containerkit.oci.manifest import Descriptor
from containerkit.store.blobs import damaged
from containerkit.store.downloads import Growing
from containerkit.store.flushing import Flushing
from containerkit.store.marks import NO_ROOT, OPAQUE


def unpack(
    root: Path, blob: str, chain_id: str, parent: str | None, descriptor: Descriptor, lower: Sequence[Path] | None,
    is_growing: bool = False,
) -> Applied | None:  # fmt: skip
    """Make the files of the layer in the file ``blob`` below ``root``, which is made.

    Args:
        lower: the layers below, uppermost first; None when they are not there yet.
        is_growing: the file is a download that still goes on.

    Returns:
        None when it depends on layers that are not there yet: then nothing of it is of use.

    Raises:
        StorageError: the blob is damaged.
        InvalidArgument: it is not a layer, or not the one that its chain id says.
    """
    subject = f"layer {descriptor.digest}"
    root.mkdir()
    root.chmod(0o755)  # whatever the umask is
    opened = Growing(blob, descriptor.size) if is_growing else open(blob, "rb", buffering=0)
    with closing(opened) as file:
        raw = Hashed(file)
        head = compression.Peeked(raw)
        try:
            with compression.reader(head, compression.detect(head.head), subject) as stream:
                plain = Hashed(stream)
                with Flushing(plain, root) as flushing, Ahead(flushing) as ahead:
                    applied = apply(tar.Reader(ahead, subject), root, subject, lower)
        except NotYetThere:
            return None
        except (InvalidArgument, Unsupported) as error:
            raise _blame(raw, descriptor, error) from error
        while head.read(compression.CHUNK):
            pass
    if is_opaque(os.fspath(root)):
        root.with_name(OPAQUE).touch()
    if not applied.names_root:
        root.with_name(NO_ROOT).touch()
    if raw.digest != descriptor.digest:
        raise damaged(descriptor.digest)
    if digests.chain(parent, plain.digest) != chain_id:
        raise _another(subject, plain.digest)
    return applied


def check(blob: BinaryIO, diff_id: str, descriptor: Descriptor) -> None:
    """See that a blob has the content of that digest.

    Raises:
        InvalidArgument: it has not.
    """
    subject = f"layer {descriptor.digest}"
    head = compression.Peeked(blob)
    with compression.reader(head, compression.detect(head.head), subject) as stream:
        plain = Hashed(stream)
        while plain.read(compression.CHUNK):
            pass
    if plain.digest != diff_id:
        raise _another(subject, plain.digest)


def _another(subject: str, found: str) -> InvalidArgument:
    return InvalidArgument(f"{subject}: its content is {found}, which the image's config does not say")


def _blame(raw: Hashed, descriptor: Descriptor, error: ContainerkitError) -> ContainerkitError:
    """Whether the archive is wrong, or the disk has changed it."""
    while raw.read(compression.CHUNK):
        pass
    return damaged(descriptor.digest) if raw.digest != descriptor.digest else error


class Hashed(compression.Counted):
    """A stream that is hashed as it is read; :attr:`digest` is that of what has been read."""

    def __init__(self, stream: compression.Readable) -> None:
        super().__init__(stream)
        self._hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = super().read(size)
        self._hash.update(data)
        return data

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()
