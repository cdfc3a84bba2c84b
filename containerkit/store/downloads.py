"""Blobs on their way from afar: ``downloads/<hex>``, a file that stays when its download is broken off.

Whoever downloads a blob holds a lock (flock(2)) on its file; another process that wants the same one waits, and finds
it done. A process that is killed leaves the bytes it had, and the next one goes on from there: what is there is hashed
again, so nothing depends on who wrote it. Nothing else reads these files but whoever unpacks a layer while it arrives
(:class:`Growing`), and that checks what it has read.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from pathlib import Path
from types import TracebackType

from containerkit.errors import StorageError
from containerkit.linux import inotify, process
from containerkit.oci import digest as digests
from containerkit.oci.manifest import Descriptor

_CHUNK = 1 << 20
#: Seconds that a download nobody goes on with is kept.
_KEPT = 7 * 24 * 3600.0
#: Seconds between two looks at whether the writer of a growing file is alive.
_PATIENCE = 1.0


class Download:
    """One blob's file, held by this process; :attr:`size` bytes are there. A context manager: at its end it is let go.

    Args:
        directory: where downloads are.
        wanted: the blob.
    """

    def __init__(self, directory: Path, wanted: Descriptor) -> None:
        self.wanted = wanted
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
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            mine = os.fstat(self._descriptor)
            try:
                found = os.stat(self.path)
            except FileNotFoundError:
                found = None
            if found is not None and (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino):
                return True
        except BaseException:
            os.close(self._descriptor)
            raise
        os.close(self._descriptor)
        return False

    def _count(self) -> None:
        while data := os.read(self._descriptor, _CHUNK):
            self._hash.update(data)
            self.size += len(data)
        if self.size > self.wanted.size:
            self.restart()

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
        found = "sha256:" + self._hash.hexdigest()
        if (self.size, found) != (self.wanted.size, self.wanted.digest):
            size = self.size
            self.restart()
            raise StorageError(f"blob {self.wanted.digest}: received {size} bytes with digest {found}")
        os.fsync(self._descriptor)

    def discard(self) -> None:
        """Take the file away: nobody needs it any more. Idempotent."""
        try:
            if os.stat(self.path).st_ino == os.fstat(self._descriptor).st_ino:
                os.unlink(self.path)
        except FileNotFoundError:
            pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.size:
            self.discard()
        os.close(self._descriptor)


def sweep(directory: Path, kept: float = _KEPT) -> int:
    """Remove downloads that nobody goes on with, older than ``kept`` seconds; the bytes that are free now."""
    freed = 0
    for name in os.listdir(directory):
        path = directory / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(descriptor)
            if time.time() - found.st_mtime >= kept:
                os.unlink(path)
                freed += found.st_blocks * 512
        except (BlockingIOError, FileNotFoundError):
            continue  # somebody is at it, or has just ended
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
            self._watch = inotify.watch(path, inotify.IN_MODIFY)
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
            if data := os.read(self._descriptor, wanted):
                self._left -= len(data)
                return data
            if not process.readable(self._watch, _PATIENCE) and not self._has_writer():
                raise StorageError("its download was broken off")
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
