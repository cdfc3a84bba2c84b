"""Blobs on their way in: in a private directory until an image that uses them is written down."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from containerkit.errors import StorageError
from containerkit.layers.installer import FilesAlone, Installer
from containerkit.layers.pack import Archive, Packed
from containerkit.oci import digest as digests
from containerkit.oci.manifest import Descriptor, layer_media_type
from containerkit.store.blobs import Blobs, check_small
from containerkit.store.marks import NO_ROOT
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


class Written(NamedTuple):
    """A layer that was just made: what its blob is, and the directory with ``blob``, ``fs``, ``size`` and ``blobs``."""

    descriptor: Descriptor
    packed: Packed
    space: str


def write_layer(space: str, write: Callable[[Archive], None]) -> Written:
    """Make a layer of what ``write`` adds, packed and unpacked, in the new directory ``space``.

    For whoever has the rights to make its files.
    """
    os.makedirs(f"{space}/fs")
    os.chmod(f"{space}/fs", 0o755)  # whatever the umask is
    with open(f"{space}/blob", "wb") as file:
        writer = BlobWriter(file)
        with Installer(writer, f"{space}/fs", "layer") as installer:
            write(installer)
        file.flush()
        os.fsync(file.fileno())
    for name, text in (("size", str(installer.size)), ("blobs", f"{writer.digest}\n")):
        Path(space, name).write_text(text)
    if not installer.names_root:
        Path(space, NO_ROOT).touch()
    packed = installer.result
    return Written(Descriptor(layer_media_type(packed.compression), writer.digest, writer.size), packed, space)


def write_files(root: str, write: Callable[[Archive], None]) -> None:
    """Make the files of what ``write`` adds, in the new directory ``root``; they are no layer."""
    os.mkdir(root)
    os.chmod(root, 0o755)  # whatever the umask is
    with FilesAlone(root, "files") as files:
        write(files)


class Ingest(Workspace):
    """Blobs that nobody else sees yet; also reads those that are in the store.

    ``Images.add`` makes them visible. At the end of the ``with``, those that no image took are gone.
    """

    def __init__(self, paths: Paths, blobs: Blobs) -> None:
        super().__init__(paths.tmp)
        self._tmp = paths.tmp
        self._blobs = blobs

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

    def share(self, digest: str, path: str) -> None:
        """Have a blob that lies elsewhere below the root, verified and on the disk: it may lose its name there."""
        _link(path, self._path(digest))

    def hold(self, digest: str) -> bool:
        """Keep a blob of the store, whoever removes it meanwhile; False when it is not there."""
        try:
            _link(self._blobs.path(digest), self._held(digest))
        except FileNotFoundError:
            return False
        return True

    def _held(self, digest: str) -> str:
        return f"{self._path(digest)}.held"

    def staged(self, digest: str) -> str | None:
        """The path of a blob that waits here, or None."""
        path = self._path(digest)
        return path if os.path.exists(path) else None

    def exists(self, digest: str) -> bool:
        """Whether the blob is here or in the store."""
        return any(map(os.path.exists, (self._path(digest), self._held(digest), self._blobs.path(digest))))

    def open(self, digest: str) -> BinaryIO:
        """As :meth:`Blobs.open`, the blobs that wait here, or are held, first."""
        for path in (self._path(digest), self._held(digest)):
            if os.path.exists(path):
                return open(path, "rb", buffering=0)
        return self._blobs.open(digest)

    def read(self, digest: str) -> bytes:
        """As :meth:`Blobs.read`, the blobs that wait here first."""
        path = self.staged(digest)
        if path is None:
            return self._blobs.read(digest)
        with open(path, "rb") as file:
            check_small(digest, os.fstat(file.fileno()).st_size)
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
            return
        try:
            _link(self._held(digest), self._blobs.path(digest))  # when somebody has taken its name
        except FileNotFoundError:
            self._blobs.size(digest)


def _link(path: str, name: str) -> None:
    try:
        os.link(path, name)
    except FileExistsError:
        pass
