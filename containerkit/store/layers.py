"""Layers on disk: each unpacked once, into ``layers/<hex of its chain id>/fs``.

Two processes that need the same layer at once do its work once: they queue at a lock on that layer alone (an
open-file-description lock, fcntl_locking(2), on one byte of one file, as in :mod:`containerkit.store.leases`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from containerkit.errors import InvalidArgument, StorageError, from_os_error
from containerkit.layers import compression, tar
from containerkit.layers.apply import apply
from containerkit.linux.files import syncfs
from containerkit.oci import digest as digests
from containerkit.oci.manifest import Descriptor
from containerkit.store import rights
from containerkit.store.blobs import damaged
from containerkit.store.downloads import Growing
from containerkit.store.paths import Paths
from containerkit.store.workspace import Workspace

_FLOCK = struct.Struct("hhqqi4x")
#: What a layer may unpack to: so many bytes always, and so many times its own size. Trees of files are packed to a
#: tenth at best; a stream of zeros to a thousandth by gzip, and to nearly nothing by zstd.
_HARMLESS, _RATIO = 1 << 30, 200


class Source(Protocol):
    """Where blobs are read from: the store, or an ingest."""

    def open(self, digest: str) -> BinaryIO: ...


class Layers:
    """The unpacked layers of one store.

    Args:
        blobs: where they are unpacked from when a call names nothing else.
    """

    def __init__(self, paths: Paths, blobs: Source) -> None:
        self._paths = paths
        self._blobs = blobs
        self._prefix = f"{paths.layers}/"

    def path(self, chain_id: str) -> Path:
        """The directory of that layer, there or not."""
        return Path(f"{self._prefix}{digests.hex_of(chain_id)}/fs")

    def ensure(
        self, chain_ids: tuple[str, ...], descriptors: tuple[Descriptor, ...], source: Source | None = None
    ) -> tuple[Path, ...]:
        """The directories of a stack of layers, the lowest first; those that are missing are unpacked. Idempotent.

        Raises:
            StorageError: a blob is damaged, or the disk is full; nothing half-done is visible.
            InvalidArgument: a blob is not a layer, or not the one that its chain id says.
            NotFound: a blob is missing.
        """
        for chain_id, parent, descriptor in zip(chain_ids, (None, *chain_ids), descriptors, strict=False):
            self.unpack(chain_id, parent, descriptor, source)
        return tuple([self.path(chain_id) for chain_id in chain_ids])

    def unpack(self, chain_id: str, parent: str | None, descriptor: Descriptor, source: Source | None = None) -> None:
        """As :meth:`ensure`, of one layer; ``parent`` is the chain id of the layer below, None for the lowest."""
        if not os.path.exists(self.path(chain_id)):
            with (source or self._blobs).open(descriptor.digest) as blob:
                self._unpack_once(chain_id, parent, descriptor, blob.name)

    def unpack_growing(self, chain_id: str, parent: str | None, descriptor: Descriptor, path: str) -> None:
        """As :meth:`unpack`, of a layer whose blob is just being written to the file at ``path``.

        Raises:
            StorageError: the download was broken off, or brought something else.
        """
        if not os.path.exists(self.path(chain_id)):
            self._unpack_once(chain_id, parent, descriptor, path, is_growing=True)

    def size(self, chain_id: str) -> int:
        """The bytes of a layer's files, as they were counted when it was unpacked.

        Raises:
            NotFound: it is not unpacked.
        """
        try:
            return int(self.path(chain_id).with_name("size").read_text())
        except OSError as error:
            raise from_os_error(error, f"layer {chain_id}") from error

    def remove(self, chain_id: str) -> None:
        """Remove an unpacked layer. Idempotent."""
        with Workspace(self._paths.tmp) as trash:
            self.discard(chain_id, trash.path)

    def discard(self, chain_id: str, trash: Path) -> None:
        """Move an unpacked layer to the directory ``trash``, where it is nobody's any more. Idempotent."""
        try:
            os.rename(self.path(chain_id).parent, trash / digests.hex_of(chain_id))
        except FileNotFoundError:
            pass

    def names(self) -> list[str]:
        """The chain id of every unpacked layer."""
        return [f"sha256:{name}" for name in os.listdir(self._paths.layers) if len(name) == 64]

    def _unpack_once(
        self, chain_id: str, parent: str | None, descriptor: Descriptor, path: str, *, is_growing: bool = False
    ) -> None:
        try:
            with self._locked(chain_id), Workspace(self._paths.tmp) as space:
                directory = self.path(chain_id)
                if directory.exists():
                    return  # another process was faster
                # Apart when others are at work meanwhile: the downloads.
                call = rights.apart if is_growing else rights.call
                size = call(unpack, space.path / "fs", path, chain_id, parent, descriptor, is_growing)
                (space.path / "size").write_text(str(size))
                self._publish(space.path, directory.parent)
        except OSError as error:
            raise from_os_error(error, f"layer {chain_id}") from error

    def _publish(self, work: Path, place: Path) -> None:
        # The directory itself stays for its owner to remove: the lock is on it.
        whole = work / "whole"
        whole.mkdir()
        for name in ("fs", "size"):
            os.rename(work / name, whole / name)
        # What has a name must survive a power cut: a layer is never looked into again once it is there.
        syncfs(whole)
        os.rename(whole, place)

    @contextmanager
    def _locked(self, chain_id: str) -> Iterator[None]:
        lock = os.open(self._paths.layers / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            byte = int(digests.hex_of(chain_id)[:14], 16)
            fcntl.fcntl(lock, fcntl.F_OFD_SETLKW, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
            yield
        finally:
            os.close(lock)


def unpack(
    root: Path, blob: str, chain_id: str, parent: str | None, descriptor: Descriptor, is_growing: bool = False
) -> int:
    """Make the files of the layer in the file ``blob`` below ``root``, which is made; the bytes of their contents.

    Args:
        is_growing: the file is a download that still goes on.

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
                plain = _Bounded(stream, raw, subject)
                size = apply(tar.Reader(plain, subject), root, subject)
        except InvalidArgument as error:
            raise _blame(raw, descriptor, error) from error
        while head.read(compression.CHUNK):
            pass
    if raw.digest != descriptor.digest:
        raise damaged(descriptor.digest)
    if digests.chain(parent, plain.digest) != chain_id:
        raise InvalidArgument(f"{subject}: its content is {plain.digest}, which the image's config does not say")
    return size


def _blame(raw: Hashed, descriptor: Descriptor, error: InvalidArgument) -> InvalidArgument | StorageError:
    """Whether the archive is wrong, or the disk has changed it."""
    while raw.read(compression.CHUNK):
        pass
    return damaged(descriptor.digest) if raw.digest != descriptor.digest else error


class Hashed:
    """A stream that is hashed as it is read; :attr:`digest` is that of what has been read."""

    def __init__(self, stream: compression.Readable) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()


class _Bounded(Hashed):
    """What a layer's stream unpacks to, as long as that is in proportion to what was read of it."""

    def __init__(self, stream: compression.Readable, packed: Hashed, subject: str) -> None:
        super().__init__(stream)
        self._packed, self._subject = packed, subject

    def read(self, size: int = -1, /) -> bytes:
        data = super().read(size)
        if self.size > max(_HARMLESS, _RATIO * self._packed.size):
            raise InvalidArgument(
                f"{self._subject}: {self.size} bytes and more out of {self._packed.size}: a decompression bomb"
            )
        return data
