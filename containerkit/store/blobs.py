"""Bytes named by their digest: ``blobs/sha256/<hex>``.

A name appears only when the bytes behind it have been hashed and are on the disk, and never changes them. Blobs come in
through :mod:`containerkit.store.ingest`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from containerkit.errors import NotFound, StorageError
from containerkit.oci import digest as digests
from containerkit.oci.manifest import MAX_BYTES


class Blobs:
    """The blobs below ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._prefix = f"{directory}/"

    def path(self, digest: str) -> str:
        """Where the blob is, or would be.

        Raises:
            InvalidArgument: not a digest.
        """
        return self._prefix + digests.hex_of(digest)

    def exists(self, digest: str) -> bool:
        """Whether the blob is there."""
        return os.path.exists(self.path(digest))

    def size(self, digest: str) -> int:
        """Its bytes.

        Raises:
            NotFound: no such blob.
        """
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError as error:
            raise _absent(digest) from error

    def open(self, digest: str) -> BinaryIO:
        """The blob as a file. Whoever reads it all should hash it: disks rot.

        Raises:
            NotFound: no such blob.
        """
        try:
            return open(self.path(digest), "rb", buffering=0)
        except FileNotFoundError as error:
            raise _absent(digest) from error

    def read(self, digest: str) -> bytes:
        """The bytes of a small blob (a manifest, a config), verified.

        Raises:
            NotFound: no such blob.
            StorageError: its bytes are not what its name says, or it is far too large for what it should be.
        """
        with self.open(digest) as file:
            check_small(digest, os.fstat(file.fileno()).st_size)
            data = file.read()
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
            raise damaged(digest)
        return data

    def delete(self, digest: str) -> int:
        """Remove the blob's name; the bytes that are free now. Idempotent. Only ``Images`` knows when it may go."""
        path = self.path(digest)
        try:
            found = os.stat(path)
            os.unlink(path)
        except FileNotFoundError:
            return 0
        # Somebody at work may have it by another name.
        return found.st_blocks * 512 if found.st_nlink == 1 else 0

    def names(self) -> list[str]:
        """The digest of every blob."""
        return [f"sha256:{name}" for name in os.listdir(self.directory)]


def _absent(digest: str) -> NotFound:
    return NotFound(f"blob {digest}: not in the store (pull its image again, or make it anew)")


def check_small(digest: str, size: int) -> None:
    """Refuse to read a blob into memory that is larger than a manifest or a config can be.

    Raises:
        StorageError: it is.
    """
    if size > MAX_BYTES:
        raise StorageError(f"blob {digest}: {size} bytes are too many for a manifest or a config")


def damaged(digest: str) -> StorageError:
    """The error for a blob whose bytes are not those its name stands for."""
    return StorageError(
        f"blob {digest}: damaged on disk (ck.doctor(verify=True) says of what image, and how to mend it)"
    )
