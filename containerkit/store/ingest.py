"""Blobs on their way in: in a private directory until an image that uses them is written down."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from containerkit.errors import NotFound, StorageError
from containerkit.oci import digest as digests
from containerkit.oci.manifest import Descriptor
from containerkit.store.blobs import Blobs
from containerkit.store.paths import Paths
from containerkit.store.workspace import Workspace, sweep


class BlobWriter:
    """A blob being written; :attr:`digest` and :attr:`size` are what was written so far."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()


class Ingest(Workspace):
    """Blobs that nobody else sees yet; also reads those that are in the store.

    ``Images.add`` makes them visible. At the end of the ``with``, those that no image took are gone.
    """

    def __init__(self, paths: Paths, blobs: Blobs) -> None:
        super().__init__(paths.tmp)
        self._tmp = paths.tmp
        self._blobs = blobs
        self._adopted: dict[str, str] = {}

    def __enter__(self) -> Ingest:
        sweep(self._tmp)
        super().__enter__()
        return self

    @contextmanager
    def writer(self, expected: Descriptor | None = None) -> Iterator[BlobWriter]:
        """Write one blob. It exists from the end of the ``with``, on the disk; not when the block raises.

        Args:
            expected: what digest and size it must have.

        Raises:
            StorageError: at the end: it is something else; or the disk is full.
        """
        partial = self.path / f"partial-{secrets.token_hex(4)}"
        with open(partial, "wb") as file:
            writer = BlobWriter(file)
            yield writer
            file.flush()
            if expected is not None and (writer.digest, writer.size) != (expected.digest, expected.size):
                raise StorageError(
                    f"blob {expected.digest}: received {writer.size} bytes with digest {writer.digest} "
                    f"where {expected.size} were announced"
                )
            os.fsync(file.fileno())
        os.rename(partial, self._path(writer.digest))

    def put(self, data: bytes, media_type: str) -> Descriptor:
        """Write ``data`` as a blob and describe it. Idempotent."""
        with self.writer() as writer:
            writer.write(data)
        return Descriptor(media_type, writer.digest, writer.size)

    def _path(self, digest: str) -> str:
        return f"{self.path}/{digests.hex_of(digest)}"

    def adopt(self, digest: str, path: str) -> None:
        """A blob that waits elsewhere, verified and on the disk: it stays there until it is published."""
        self._adopted[digest] = path

    def staged(self, digest: str) -> str | None:
        """The path of a blob that waits here, or None."""
        path = self._adopted.get(digest) or self._path(digest)
        return path if os.path.exists(path) else None

    def open(self, digest: str) -> BinaryIO:
        """As :meth:`Blobs.open`, the blobs that wait here first."""
        path = self.staged(digest)
        return self._blobs.open(digest) if path is None else open(path, "rb", buffering=0)

    def read(self, digest: str) -> bytes:
        """As :meth:`Blobs.read`, the blobs that wait here first."""
        path = self.staged(digest)
        if path is None:
            return self._blobs.read(digest)
        with open(path, "rb") as file:
            return file.read()

    def publish(self, digest: str) -> None:
        """Give a blob its name. Called inside the transaction that writes the rows that use it. Idempotent.

        A blob of that name is replaced: the bytes here have just been hashed, those there may have rotted.

        Raises:
            NotFound: it is neither here nor in the store.
        """
        path = self.staged(digest)
        if path is not None:
            os.rename(path, self._blobs.path(digest))
        elif not self._blobs.exists(digest):
            raise NotFound(f"blob {digest}: not in the store")
