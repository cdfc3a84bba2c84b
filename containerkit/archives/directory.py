"""A layout on disk, of which only what is needed is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from containerkit.archives import values
from containerkit.archives.telling import told
from containerkit.errors import InvalidArgument
from containerkit.layers.compression import CHUNK
from containerkit.oci.manifest import Descriptor
from containerkit.progress import Progress
from containerkit.store.ingest import Ingest


class Directory:
    """The layout in a directory.

    Args:
        subject: names it in errors.
    """

    def __init__(self, path: str, ingest: Ingest, subject: str, progress: Progress) -> None:
        self.subject = subject
        self._path = path
        self._ingest, self._progress = ingest, progress

    def document(self, name: str) -> bytes | None:
        """The bytes of one of the layout's own files; None when it is not there."""
        try:
            with self._open(name) as file:
                values.check_small(self.subject, name, os.fstat(file.fileno()).st_size)
                return file.read()
        except FileNotFoundError:
            return None

    def has(self, digest: str) -> bool:
        """Whether the blob is there."""
        return os.path.exists(f"{self._path}/{values.blob_name(digest)}")

    def fetch(self, descriptor: Descriptor) -> None:
        """Copy the blob into the ingest; one that waits there already is not read again.

        Raises:
            InvalidArgument: it is not there, or not what its name or the descriptor says.
        """
        if (path := self._ingest.staged(descriptor.digest)) is not None:
            values.check_size(self.subject, descriptor, os.path.getsize(path))
            return
        name = values.blob_name(descriptor.digest)
        try:
            with self._open(name) as file, self._ingest.writer() as writer:
                values.check_size(self.subject, descriptor, os.fstat(file.fileno()).st_size)
                content = told(file, name, descriptor.size, "loading", self._progress)
                while data := content.read(CHUNK):
                    writer.write(data)
                values.check_digest(self.subject, name, descriptor.digest, writer.digest)
        except FileNotFoundError:
            values.check_size(self.subject, descriptor, None)

    def read(self, descriptor: Descriptor) -> bytes:
        """The bytes of a small blob. Errors as for :meth:`fetch`."""
        values.check_small(self.subject, f"blob {descriptor.digest}", descriptor.size)
        self.fetch(descriptor)
        return self._ingest.read(descriptor.digest)

    @contextmanager
    def _open(self, name: str) -> Iterator[BinaryIO]:
        # Not blocking: what bears the name may be a fifo.
        descriptor = os.open(f"{self._path}/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InvalidArgument(f"{self.subject}: {name}: not a regular file")
            yield file
