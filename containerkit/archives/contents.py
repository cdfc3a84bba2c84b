"""What an archive holds: read once, from its first byte to its last, each file to where it will be needed.

What is a layer and what is a config is written in ``manifest.json``, which may come last. So files tell by their first
bytes: archives are layers, what else is small may be a config. None is ever held in memory but the documents.

An archive is a stranger's. Names are keys here and never paths; links lead from name to name; the sizes of documents
and configs, and the number and length of names, have bounds.
"""

from __future__ import annotations

import posixpath
import re

from containerkit.archives import values
from containerkit.archives.telling import told
from containerkit.errors import InvalidArgument
from containerkit.layers import compression, pack, tar
from containerkit.layers.compression import CHUNK, Peeked, Readable
from containerkit.oci import manifest as oci
from containerkit.oci.manifest import MAX_BYTES, Descriptor
from containerkit.progress import Progress
from containerkit.store.ingest import Ingest
from containerkit.values import frozen

DOCUMENTS = ("oci-layout", "index.json", "manifest.json")
#: What docker wrote for each layer before 1.10, and still does beside the rest: nobody needs them.
_LEGACY = ("VERSION", "json", "repositories")
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")
_CONFIG = re.compile(r"(?:sha256:)?([0-9a-f]{64})(?:\.json)?")
_LIMITS = tar.Limits(entries=100_000)
_MAX_NAME = 512
#: Docker makes chains of one.
_MAX_LINKS = 8


@frozen
class Piece:
    """A file that waits in the ingest; ``diff_id`` when it is known to be a layer."""

    blob: Descriptor
    diff_id: str = ""


class Contents:
    """The files of one archive. :meth:`take` first, then the rest.

    Args:
        subject: names the archive in errors.
    """

    def __init__(self, ingest: Ingest, subject: str, progress: Progress) -> None:
        self.subject = subject
        self._ingest, self._progress = ingest, progress
        self._documents: dict[str, bytes] = {}
        self._pieces: dict[str, Piece] = {}
        self._links: dict[str, str] = {}

    def take(self, stream: Readable) -> None:
        """Read the archive, uncompressed, to its end.

        Raises:
            InvalidArgument: not an archive, cut off, damaged, or one that lies about a blob.
            OSError: the disk is full, and the like.
        """
        reader = tar.Reader(stream, self.subject, _LIMITS)
        for entry in reader:
            name = self._clean(entry.name)
            # The last file of a name is the one that counts.
            if entry.kind in (tar.FILE, tar.HARDLINK, tar.SYMLINK):
                self._pieces.pop(name, None)
            if entry.kind == tar.FILE:
                self._file(name, entry.size, reader)
            elif entry.kind == tar.HARDLINK:
                self._links[name] = self._clean(entry.link)
            elif entry.kind == tar.SYMLINK:
                self._links[name] = self._clean(posixpath.join(posixpath.dirname(name), entry.link))

    def _clean(self, name: str) -> str:
        if len(name) > _MAX_NAME:
            raise InvalidArgument(f"{self.subject}: entry {name[:80]!r}…: the name is too long")
        path = posixpath.normpath(name.lstrip("/"))
        if path.split("/")[0] == "..":
            raise InvalidArgument(f"{self.subject}: entry {name!r}: leads out of the archive")
        return path

    def _file(self, name: str, size: int, reader: tar.Reader) -> None:
        content = told(reader, name, size, "loading", self._progress)
        if name in DOCUMENTS:
            values.check_small(self.subject, name, size)
            self._documents[name] = b"".join(iter(reader.read, b""))
        elif blob := _BLOB.fullmatch(name):
            self._pieces[name] = self._blob(name, f"sha256:{blob[1]}", content)
        elif posixpath.basename(name) not in _LEGACY:
            head = Peeked(content)
            if compression.detect(head.head) != "none" or tar.begins_archive(head.head):
                self._pieces[name] = self._layer(name, head)
            elif size <= MAX_BYTES:
                self._pieces[name] = Piece(self._ingest.put(b"".join(iter(lambda: head.read(CHUNK), b"")), ""))

    def _blob(self, name: str, digest: str, content: Readable) -> Piece:
        with self._ingest.writer() as writer:
            while data := content.read(CHUNK):
                writer.write(data)
            values.check_digest(self.subject, name, digest, writer.digest)
        return Piece(Descriptor("", digest, writer.size))

    def _layer(self, name: str, content: Readable) -> Piece:
        with self._ingest.writer() as writer:
            packed = pack.repack(content, writer, f"{self.subject}: {name}")
        media_type = oci.layer_media_type(packed.compression)
        return Piece(Descriptor(media_type, writer.digest, writer.size), packed.diff_id)

    def document(self, name: str) -> bytes | None:
        """The bytes of one of :data:`DOCUMENTS`; None when it is not there."""
        return self._documents.get(name)

    # -- a docker-archive's ------------------------------------------------------------------------------------------

    def config(self, name: str) -> Descriptor:
        """The config of that name: small, and what its name says if that is a digest.

        Raises:
            InvalidArgument: it is not.
        """
        blob = self._resolve(name, "config").blob
        values.check_small(self.subject, name, blob.size)
        if found := _CONFIG.fullmatch(name):
            values.check_digest(self.subject, name, f"sha256:{found[1]}", blob.digest)
        return blob

    def layer(self, name: str) -> Piece:
        """The layer of that name, with its diff_id.

        Raises:
            InvalidArgument: it is not there, or no layer.
        """
        piece = self._resolve(name, "layer")
        if not piece.diff_id:
            with self._ingest.open(piece.blob.digest) as file:
                piece = self._pieces[name] = self._layer(name, file)
        return piece

    def _resolve(self, name: str, kind: str) -> Piece:
        path = self._clean(name)
        for _ in range(_MAX_LINKS):
            if path in self._pieces:
                return self._pieces[path]
            path = self._links.get(path, path)
        raise InvalidArgument(f"{self.subject}: {kind} {name[:200]} is not in it")

    # -- a layout's --------------------------------------------------------------------------------------------------

    def has(self, digest: str) -> bool:
        """Whether the blob is there."""
        return values.blob_name(digest) in self._pieces

    def fetch(self, descriptor: Descriptor) -> None:
        """See that the blob is there, and as large as the descriptor says.

        Raises:
            InvalidArgument: it is not.
        """
        piece = self._pieces.get(values.blob_name(descriptor.digest))
        values.check_size(self.subject, descriptor, None if piece is None else piece.blob.size)

    def read(self, descriptor: Descriptor) -> bytes:
        """The bytes of a small blob. Errors as for :meth:`fetch`."""
        values.check_small(self.subject, f"blob {descriptor.digest}", descriptor.size)
        self.fetch(descriptor)
        return self._ingest.read(descriptor.digest)
