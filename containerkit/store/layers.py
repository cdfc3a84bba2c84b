"""Layers on disk: each unpacked once, into ``layers/<hex of its chain id>/fs``.

In any order, side by side: but one with a file in a directory that it does not name depends on what the layers below
have there (layers/below.py). Until these are there it is not unpacked; whoever adds the image does it then, in order.

Two processes that need the same layer at once do its work once: they queue at a lock on that layer alone (an
open-file-description lock, fcntl_locking(2), on one byte of one file, as in :mod:`containerkit.store.leases`).
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from containerkit.errors import from_os_error
from containerkit.linux.files import syncfs
from containerkit.oci import digest as digests
from containerkit.oci.manifest import Descriptor
from containerkit.store import rights
from containerkit.store.marks import NO_ROOT, OPAQUE
from containerkit.store.owners import Exchange
from containerkit.store.paths import Paths
from containerkit.store.workspace import Workspace

_FLOCK = struct.Struct("hhqqi4x")
#: Where the bytes begin that say that a layer is needed; below, those that say that it is being unpacked.
_NEEDED = 1 << 60


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
        for number, (chain_id, descriptor) in enumerate(zip(chain_ids, descriptors, strict=False)):
            self.unpack(chain_id, chain_ids[:number], descriptor, source)
        return tuple([self.path(chain_id) for chain_id in chain_ids])

    def showing(self, chain_ids: tuple[str, ...], descriptors: tuple[Descriptor, ...]) -> tuple[Path, ...]:
        """As :meth:`ensure`, without those that a layer above hides as a whole: overlayfs heeds no mark at a root."""
        return showing(self.ensure(chain_ids, descriptors))

    def naming_root(self, chain_ids: Sequence[str]) -> Path | None:
        """Of a stack of layers that are there, the uppermost one that says what the root is like; None: none does."""
        paths = [self.path(chain_id) for chain_id in reversed(chain_ids)]
        return next((path for path in paths if not os.path.exists(path.with_name(NO_ROOT))), None)

    def exchanged(self, layers: Sequence[Path], exchange: Exchange | None) -> tuple[Path, ...]:
        """Of layers that are there, the copies with those owners; those that are missing are made. Idempotent.

        Raises:
            StorageError: the disk is full.
        """
        if exchange is None:
            return tuple(layers)
        return tuple([self._exchanged(layer, exchange) for layer in layers])

    def _exchanged(self, layer: Path, exchange: Exchange) -> Path:
        place = layer.with_name(exchange.name)
        if not place.exists():
            from containerkit.store import exchanging

            chain_id = f"sha256:{layer.parent.name}"
            try:
                with self._locked(chain_id), Workspace(self._paths.tmp) as space:
                    if not place.exists():  # another process was not faster
                        whole = space.path / "whole"
                        whole.mkdir()
                        rights.call(exchanging.copy, layer, whole / "fs", exchange)
                        syncfs(whole)
                        os.rename(whole, place)
                        layer.with_name("usage").unlink(missing_ok=True)
            except OSError as error:
                raise from_os_error(error, f"layer {chain_id}") from error
        return place / "fs"

    def unpack(self, chain_id: str, below: Sequence[str], descriptor: Descriptor, source: Source | None = None) -> int:
        """As :meth:`ensure`, of one layer, unless it depends on layers below that are not there yet.

        Args:
            below: the chain ids of the layers below, the lowest first.

        Returns:
            The bytes that were written for it.
        """
        if os.path.exists(self.path(chain_id)):
            return 0
        with (source or self._blobs).open(descriptor.digest) as blob:
            return self._unpack_once(chain_id, below, descriptor, blob.name)

    def unpack_growing(self, chain_id: str, below: Sequence[str], descriptor: Descriptor, path: str) -> int:
        """As :meth:`unpack`, of a layer whose blob is just being written to the file at ``path``.

        Raises:
            StorageError: the download was broken off, or brought something else.
        """
        if os.path.exists(self.path(chain_id)):
            return 0
        return self._unpack_once(chain_id, below, descriptor, path, is_growing=True)

    def _lower(self, below: Sequence[str]) -> tuple[Path, ...] | None:
        """The layers below one, uppermost first; None when one of them is not there."""
        paths = tuple([self.path(chain_id) for chain_id in below])
        return showing(paths)[::-1] if all(map(os.path.exists, paths)) else None

    def match(self, chain_id: str, diff_id: str, descriptor: Descriptor, source: Source) -> None:
        """See that a blob is the layer that is there already: unpacked from it, or from one with the same content.

        Raises:
            InvalidArgument: it is not.
            NotFound: there is no such blob.
        """
        known = self.path(chain_id).with_name("blobs")
        try:
            if descriptor.digest in known.read_text().split():
                return
        except FileNotFoundError:
            return  # it is not there
        from containerkit.store.unpacking import check

        with source.open(descriptor.digest) as file:
            check(file, diff_id, descriptor)
        with suppress(FileNotFoundError), open(known, "a") as file:
            file.write(f"{descriptor.digest}\n")

    def take(self, chain_id: str, space: Path) -> None:
        """A layer that was unpacked where it was made, with what belongs beside it, gets its place. Idempotent."""
        try:
            with self._locked(chain_id):
                directory = self.path(chain_id)
                if not directory.exists():
                    self._publish(space, directory.parent)
        except OSError as error:
            raise from_os_error(error, f"layer {chain_id}") from error

    @contextmanager
    def needed(self, chain_ids: Iterable[str]) -> Iterator[Callable[[Iterable[str]], None]]:
        """Layers that are no garbage until the end of the block, though no image has them yet; gives what adds more."""
        lock = self._open_lock()

        def add(chain_ids: Iterable[str]) -> None:
            for chain_id in chain_ids:
                fcntl.fcntl(lock, fcntl.F_OFD_SETLKW, _request(fcntl.F_RDLCK, chain_id, _NEEDED))

        try:
            add(chain_ids)
            yield add
        finally:
            os.close(lock)

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

    def discard(self, chain_id: str, trash: Path) -> bool:
        """Move an unpacked layer to the directory ``trash``, where it is nobody's any more. Idempotent.

        Returns:
            False when somebody has said that it is needed: then it stays.
        """
        lock = self._open_lock()
        try:
            fcntl.fcntl(lock, fcntl.F_OFD_SETLK, _request(fcntl.F_WRLCK, chain_id, _NEEDED))
            os.rename(self.path(chain_id).parent, trash / digests.hex_of(chain_id))
        except FileNotFoundError:
            pass
        except (BlockingIOError, PermissionError):
            return False
        finally:
            os.close(lock)
        return True

    def names(self) -> list[str]:
        """The chain id of every unpacked layer."""
        return [f"sha256:{name}" for name in os.listdir(self._paths.layers) if len(name) == 64]

    def _unpack_once(
        self, chain_id: str, below: Sequence[str], descriptor: Descriptor, path: str, *, is_growing: bool = False
    ) -> int:
        # Not at the top: most containers start from layers that are there.
        from containerkit.store.unpacking import unpack

        try:
            with self._locked(chain_id), Workspace(self._paths.tmp) as space:
                directory = self.path(chain_id)
                if directory.exists():
                    return 0  # another process was faster
                # Apart when others are at work meanwhile: the downloads.
                call = rights.apart if is_growing else rights.call
                parent, lower = below[-1] if below else None, self._lower(below)
                applied = call(unpack, space.path / "fs", path, chain_id, parent, descriptor, lower, is_growing)
                if applied is None:
                    return 0
                (space.path / "size").write_text(str(applied.size))
                (space.path / "blobs").write_text(f"{descriptor.digest}\n")
                self._publish(space.path, directory.parent)
                return applied.stored
        except OSError as error:
            raise from_os_error(error, f"layer {chain_id}") from error

    def _publish(self, work: Path, place: Path) -> None:
        # The directory itself stays for its owner to remove: the lock is on it.
        whole = work / "whole"
        whole.mkdir()
        for name in ("fs", "size", "blobs", OPAQUE, NO_ROOT):
            if os.path.exists(work / name):
                os.rename(work / name, whole / name)
        # What has a name must survive a power cut: a layer is never looked into again once it is there.
        syncfs(whole)
        os.rename(whole, place)

    @contextmanager
    def _locked(self, chain_id: str) -> Iterator[None]:
        lock = self._open_lock()
        try:
            fcntl.fcntl(lock, fcntl.F_OFD_SETLKW, _request(fcntl.F_WRLCK, chain_id))
            yield
        finally:
            os.close(lock)

    def _open_lock(self) -> int:
        return os.open(self._paths.layers / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _request(kind: int, chain_id: str, base: int = 0) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, base + int(digests.hex_of(chain_id)[:14], 16), 1, 0)


def showing(directories: tuple[Path, ...]) -> tuple[Path, ...]:
    """Of a stack of layers, the lowest first, those that no layer above hides as a whole."""
    hiding = [number for number, path in enumerate(directories) if os.path.exists(path.with_name(OPAQUE))]
    return directories[hiding[-1] :] if hiding else directories
