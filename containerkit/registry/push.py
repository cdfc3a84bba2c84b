"""An image to afar: its blobs first, side by side, then the manifest that makes it an image there."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import BinaryIO

from containerkit.errors import ContainerkitError, InvalidArgument, RegistryError, Timeout
from containerkit.oci import digest as digests
from containerkit.oci.manifest import Descriptor
from containerkit.oci.reference import Reference
from containerkit.progress import Progress
from containerkit.registry.deadline import side_by_side
from containerkit.registry.recompress import recompressed
from containerkit.registry.repository import Repository
from containerkit.registry.sessions import Session
from containerkit.store.blobs import damaged
from containerkit.store.images import ImageRecord
from containerkit.store.ingest import Ingest
from containerkit.store.store import Store
from containerkit.values import frozen
from containerkit.views import text

_UPLOADS = 4
#: From so many sister repositories a blob is asked to be mounted, at most.
_SOURCES = 3
_CHUNK = 1 << 20


def push(
    store: Store, record: ImageRecord, reference: Reference, session: Session, progress: Progress,
    compression: str | None = None,
) -> str:  # fmt: skip
    """Push the image under the tag of ``reference``; returns the digest that it has there.

    Args:
        compression: of the layers there: ``"gzip"``, ``"zstd"``; None: as they are.

    Raises:
        InvalidArgument: a reference with a digest: that is for the content to say.
        RegistryError: the registry cannot be reached, or refuses.
        StorageError: a blob of the image is damaged.
        Timeout: the session's deadline has come.
    """
    if reference.digest:
        raise InvalidArgument(f"image {reference}: push: to a tag, not to a digest")
    progress.begin(f"pushing {reference}")
    try:
        # What is called off is this push, and not the call that it is a part of.
        session = replace(session, deadline=session.deadline.part())
        with store.ingest() as ingest:
            if compression is not None:
                record = recompressed(record, compression, ingest, session.deadline)
            sent = _push(store, ingest, record, reference, session, progress)
    except BaseException as error:
        progress.end(f"{reference}: not pushed")
        if isinstance(error, Timeout):
            raise Timeout(f"image {reference}: push: {error.message}") from error
        raise
    store.images.know(record.id, f"{reference.name}@{record.manifest.digest}", "push")
    progress.end(f"{reference}: {text.size(sent)} uploaded, {record.manifest.digest}")
    return record.manifest.digest


def _push(
    store: Store, source: Ingest, record: ImageRecord, reference: Reference, session: Session, progress: Progress
) -> int:
    host = session.hosts(reference.domain)[-1]
    data = source.read(record.manifest.digest)
    config = Descriptor("", record.id, store.blobs.size(record.id))
    blobs = {blob.digest: blob for blob in (*record.layers, config)}
    sources = {digest: store.images.repositories_with(digest, reference)[:_SOURCES] for digest in blobs}
    known = sorted({source for found in sources.values() for source in found})
    repository = session.repository(host, reference.path, pushes=True, sources=known)
    jobs = [_Blob(source, repository, blob, sources[blob.digest], progress) for blob in blobs.values()]
    sent = side_by_side(jobs, _UPLOADS, session.deadline)
    repository.put_manifest(reference.tag, record.manifest.media_type, data)
    return sum(sent)


@frozen
class _Blob:
    """One blob's way there: called in a thread of its own; the bytes that were sent."""

    source: Ingest
    repository: Repository
    blob: Descriptor
    sources: list[str]
    progress: Progress

    def __call__(self) -> int:
        digest = self.blob.digest
        self._tell("looking", 0)
        if self.repository.has_blob(digest):
            self._tell("already there", self.blob.size)
            return 0
        for source in self.sources:
            if self.repository.mount(digest, source):
                self._tell(f"mounted from {source}", self.blob.size)
                return 0
        self._tell("uploading", 0)
        try:
            self.repository.upload(self.blob, self._open, lambda sent: self.progress.advance(self._key, sent))
        except RegistryError as error:
            if not self._is_whole():
                raise damaged(digest) from error
            raise
        self._tell("done", self.blob.size)
        return self.blob.size

    @property
    def _key(self) -> str:
        return digests.hex_of(self.blob.digest)[:12]

    def _tell(self, state: str, done: int) -> None:
        self.progress.item(self._key, state, done, self.blob.size)

    def _open(self) -> BinaryIO:
        return self.source.open(self.blob.digest)

    def _is_whole(self) -> bool:
        hasher = hashlib.sha256()
        try:
            with self._open() as file:
                while data := file.read(_CHUNK):
                    hasher.update(data)
        except (ContainerkitError, OSError):
            return False
        return "sha256:" + hasher.hexdigest() == self.blob.digest
