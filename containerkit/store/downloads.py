"""Blobs on their way from afar: ``downloads/<hex>``, a file that stays when its download is broken off.

Whoever downloads a blob holds a lock (flock(2)) on its file; another process that wants the same one waits, and finds
it done. A process that is killed leaves the bytes it had, and the next one goes on from there: what is there is hashed
again, so nothing depends on who wrote it. Nothing else reads these files but whoever unpacks a layer while it arrives
(:class:`Growing`), and that checks what it has read.

A file that is whole is never written again: whoever needs it gives it another name (link(2)) of their own, and this one
is only there for a pull that goes on after a kill. It goes when the image is there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

from containerkit.errors import InvalidArgument, StorageError
from containerkit.linux import inotify, process
from containerkit.oci import digest as digests
from containerkit.oci.manifest import Descriptor

_CHUNK = 1 << 20
#: Seconds that a download nobody goes on with is kept.
_KEPT = 7 * 24 * 3600.0
#: Seconds between two looks at whether whoever holds a download has let it go.
_LOOK = 0.1
#: Seconds between two looks at whether the writer of a growing file is alive.
_PATIENCE = 1.0


class Download:
    """One blob's file, held by this process; :attr:`size` bytes are there. A context manager: at its end it is let go.

    Args:
        directory: where downloads are.
        wanted: the blob.
        sleep: waits so many seconds, while somebody else holds it; what it raises ends the wait.
    """

    def __init__(self, directory: Path, wanted: Descriptor, sleep: Callable[[float], None] = time.sleep) -> None:
        self.wanted = wanted
        self._sleep = sleep
        self.path = str(directory / digests.hex_of(wanted.digest))
        self.size = 0
        self._hash = hashlib.sha256()
        self._descriptor = -1

    def __enter__(self) -> Download:
        while not self._take():
            pass
        try:
            self._count()
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def _take(self) -> bool:
        """Open and lock the file; False when the last holder has taken it away meanwhile."""
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not self._lock():
                self._sleep(_LOOK)
            if _is_at(self.path, self._descriptor):
                return True
        except BaseException:
            os.close(self._descriptor)
            raise
        os.close(self._descriptor)
        return False

    def _lock(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _count(self) -> None:
        while data := os.read(self._descriptor, _CHUNK):
            self._hash.update(data)
            self.size += len(data)
        if self._digest == self.wanted.digest and self.size != self.wanted.size:
            raise InvalidArgument(f"blob {self.wanted.digest}: has {self.size} bytes, not {self.wanted.size}")
        if self.size > self.wanted.size:
            self.restart()

    @property
    def _digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()

    def restart(self) -> None:
        """Throw away what is there."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._hash, self.size = hashlib.sha256(), 0

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            StorageError: more than were announced.
            OSError: the disk is full.
        """
        if self.size + len(data) > self.wanted.size:
            self.restart()
            raise StorageError(f"blob {self.wanted.digest}: more than the {self.wanted.size} bytes that were announced")
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self._hash.update(data)
        self.size += len(data)

    def finish(self) -> None:
        """Make sure that this is the blob, and on the disk.

        Raises:
            StorageError: it is something else; nothing is left of it then.
        """
        found = self._digest
        if (self.size, found) != (self.wanted.size, self.wanted.digest):
            size = self.size
            self.restart()
            raise StorageError(f"blob {self.wanted.digest}: received {size} bytes with digest {found}")
        os.fsync(self._descriptor)

    def discard(self) -> None:
        """Take the file away: nobody needs it any more. Idempotent."""
        if _is_at(self.path, self._descriptor):
            os.unlink(self.path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.size:
            self.discard()
        os.close(self._descriptor)


def _is_at(path: str | os.PathLike[str], descriptor: int) -> bool:
    """Whether that is still the file's name. It stays so for whoever holds the lock."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def sweep(directory: Path, kept: float = _KEPT) -> int:
    """Remove downloads that nobody goes on with, older than ``kept`` seconds; the bytes that are free now."""
    return _remove(directory, os.listdir(directory), kept)


def forget(directory: Path, names: Iterable[str]) -> None:
    """Remove the downloads of these digests, but those that others are at. Idempotent."""
    _remove(directory, [digests.hex_of(digest) for digest in names], 0)


def _remove(directory: Path, names: Iterable[str], kept: float) -> int:
    freed = 0
    for name in names:
        path = directory / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(descriptor)
            # One from the future is of now: the clock was set back.
            if max(time.time() - found.st_mtime, 0) >= kept and _is_at(path, descriptor):
                os.unlink(path)
                freed += found.st_blocks * 512 if found.st_nlink == 1 else 0
        except BlockingIOError:
            continue  # somebody is at it
        finally:
            os.close(descriptor)
    return freed


class Growing:
    """A download read while it is written, up to ``size`` bytes; without polling, but to see whether its writer lives.

    The file's name may change meanwhile: it is opened at once.
    """

    def __init__(self, path: str, size: int) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._left = size
        try:
            self._watch = inotify.watch(path, inotify.IN_MODIFY | inotify.IN_CLOSE_WRITE)
        except OSError:
            os.close(self._descriptor)
            raise

    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes, as soon as there are some; empty at the end.

        Raises:
            StorageError: the writer is gone, and the rest will not come.
        """
        wanted = min(size, self._left, _CHUNK) if size >= 0 else min(self._left, _CHUNK)
        while wanted:
            inotify.drain(self._watch)
            is_written = self._has_writer()  # asked first: what it wrote last is read then
            if data := os.read(self._descriptor, wanted):
                self._left -= len(data)
                return data
            if not is_written:
                raise StorageError("its download was broken off")
            process.readable(self._watch, _PATIENCE)
        return b""

    def _has_writer(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        os.close(self._descriptor)
        os.close(self._watch)
