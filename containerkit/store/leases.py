"""Who is alive: one lock per container, held by the process that looks after it.

A *lease* is an open-file-description lock (fcntl_locking(2)) on one byte of one file; which byte, the container's id
says. It is taken by the process that starts the container and handed to the monitor with its descriptor, so that
there is no moment without an owner; the kernel drops it when the last copy of the descriptor is closed, kill -9 and
power cuts included. A row that says ``running`` while nobody holds its lease is therefore a lie, and one system call
finds out.
"""

from __future__ import annotations

import fcntl
import os
import struct
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_FLOCK = struct.Struct("hhqqi4x")


def _request(kind: int, id: str) -> bytes:
    # 56 bits of the id: a lock needs no file below it, so offsets may lie anywhere.
    return _FLOCK.pack(kind, os.SEEK_SET, int(id[:14], 16), 1, 0)


#: All of this process, for :func:`_let_go`.
_LIVING: weakref.WeakSet[Leases] = weakref.WeakSet()


def _let_go() -> None:
    """In a forked child of a user's process: a copy of a lease would make the child an owner of the container."""
    if not _LIVING:
        return
    paths = {str(leases.path) for leases in _LIVING}
    for number in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{number}") in paths:
                os.close(int(number))
        except OSError:
            continue  # the descriptor that the directory was read through
    for leases in _LIVING:
        leases._probe = -1


os.register_at_fork(after_in_child=_let_go)


class Leases:
    """The leases of one store; ``path`` is the file, made when absent."""

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self._probe = -1
        _LIVING.add(self)

    def take(self, id: str) -> int | None:
        """Hold the lease of container ``id``: a descriptor that is the lease; None when someone has it."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _request(fcntl.F_WRLCK, id))
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def is_held(self, id: str) -> bool:
        """Whether anyone, this process included, holds the lease of container ``id``."""
        if self._probe < 0:
            self._probe = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        answer = fcntl.fcntl(self._probe, fcntl.F_OFD_GETLK, _request(fcntl.F_WRLCK, id))
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)

    def close(self) -> None:
        """Close the descriptor that questions are asked through."""
        if self._probe >= 0:
            os.close(self._probe)
            self._probe = -1
