"""The files of an archive, out of a store's blobs.

Nothing of the moment goes in, no time, owner or name of this machine: the same images give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from containerkit.archives.telling import told
from containerkit.errors import InvalidArgument
from containerkit.layers import compression
from containerkit.layers.compression import CHUNK, Peeked, Readable, Writable
from containerkit.layers.pack import PlainArchive
from containerkit.layers.tar import Entry
from containerkit.progress import Progress
from containerkit.store.blobs import Blobs, damaged
from containerkit.store.unpacking import Hashed


class Writer:
    """An archive that is written to ``sink``; :meth:`end` ends it."""

    def __init__(self, sink: Writable, blobs: Blobs, progress: Progress) -> None:
        self.blobs = blobs
        self._progress = progress
        self._archive = PlainArchive(sink)

    def put(self, name: str, data: bytes) -> None:
        """A file of these bytes."""
        self._archive.add(Entry(name, size=len(data)), data)

    def blob(self, name: str, digest: str, size: int) -> None:
        """A blob as it is stored.

        Raises:
            StorageError: it is damaged.
            NotFound: it is not in the store any more.
        """
        if self.blobs.size(digest) != size:
            raise damaged(digest)
        with self.blobs.open(digest) as file:
            content = Hashed(file)
            self._add(name, size, content)
        if content.digest != digest:
            raise damaged(digest)

    def layer(self, name: str, digest: str, diff_id: str) -> None:
        """A layer's tar, uncompressed. Errors as for :meth:`blob`."""
        # A header says how much follows: the blob is inflated twice rather than kept inflated.
        with self._inflated(digest) as stream:
            size = sum(map(len, iter(lambda: stream.read(CHUNK), b"")))
        with self._inflated(digest) as stream:
            content = Hashed(stream)
            self._add(name, size, content)
        if content.digest != diff_id:
            raise damaged(digest)

    def _add(self, name: str, size: int, content: Readable) -> None:
        self._archive.add(Entry(name, size=size), told(content, name, size, "saving", self._progress))

    @contextmanager
    def _inflated(self, digest: str) -> Iterator[Readable]:
        try:
            with self.blobs.open(digest) as file:
                head = Peeked(file)
                with compression.reader(head, compression.detect(head.head), f"blob {digest}") as stream:
                    yield stream
        except InvalidArgument as error:
            raise damaged(digest) from error

    def end(self) -> None:
        """Write what ends an archive."""
        self._archive.end()
