"""Reading a log that still grows, without polling: inotify for its directory, pidfds for the end."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from typing import Protocol

from containerkit.linux import inotify
from containerkit.results import Chunk
from containerkit.supervise.output.logfiles import LogFiles, Reader

#: Milliseconds until a writer that is about to end is asked for again.
_SOON = 5


class Waits(Protocol):
    """Who says when to look again."""

    def wait(self) -> bool:
        """Wait for more. False when there will be none."""

    def close(self) -> None:
        """Nobody looks any more."""


class Follower:
    """Waits until the log at ``path`` has grown or its writer has ended.

    ``ends`` gives descriptors, one of which is readable when the writer may have ended, or None when it has; none when
    it is about to end. The follower closes them.
    """

    def __init__(self, path: str, ends: Callable[[], tuple[int, ...] | None]) -> None:
        # The directory and not the file: when the log is rotated, what grows is another file.
        self._watch = inotify.watch(os.path.dirname(path), inotify.IN_MODIFY | inotify.IN_CREATE)
        self._ask = ends
        self._ends = ends()

    def wait(self) -> bool:
        if self._ends is None:
            return False
        poll = select.poll()
        for descriptor in (self._watch, *self._ends):
            poll.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(None if self._ends else _SOON)}
        inotify.drain(self._watch)
        if not self._ends or not ready.isdisjoint(self._ends):
            self._let_go()
            # When it has ended, what it wrote last is there by now: one more look, then the end.
            self._ends = self._ask()
        return True

    def close(self) -> None:
        os.close(self._watch)
        self._let_go()

    def _let_go(self) -> None:
        for descriptor in self._ends or ():
            os.close(descriptor)
        self._ends = None


def chunks(path: str, block: int = 0, follower: Waits | None = None) -> Iterator[Chunk]:
    """The log's records from that block on; with a follower, on through every rotation until its writer has ended."""
    reader: Reader | None = None
    opened = -1
    try:
        with LogFiles(path) as files:
            for reader in files.readers(block):
                yield from reader
            if follower is None:
                return
            if reader is not None:
                reader.descriptor = opened = os.dup(reader.descriptor)
        while follower.wait():
            if reader is not None:
                yield from reader
            while (newer := _newer(path, reader)) is not None:
                if reader is not None:
                    # Nothing is added to a file once there is a newer one: now it is read to its end.
                    yield from reader
                    os.close(opened)
                reader, opened = Reader(newer), newer
                yield from reader
    finally:
        if opened >= 0:
            os.close(opened)
        if follower is not None:
            follower.close()


def _newer(path: str, reader: Reader | None) -> int | None:
    """The file after the one that was read, or the oldest when that is gone; None when it is the newest."""
    mine = 0 if reader is None else os.fstat(reader.descriptor).st_ino
    with LogFiles(path) as files:
        inodes = [os.fstat(descriptor).st_ino for descriptor in files.descriptors]
        following = inodes.index(mine) + 1 if mine in inodes else 0
        return os.dup(files.descriptors[following]) if following < len(inodes) else None
