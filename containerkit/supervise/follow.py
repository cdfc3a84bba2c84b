"""Reading a log, also one that still grows, without polling: inotify for the file, a pidfd for the end."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator

from containerkit.linux import inotify
from containerkit.results import Chunk
from containerkit.supervise import log


class Follower:
    """Waits until the file at ``path`` has grown or its writer is gone.

    ``ended`` gives a descriptor that is readable once the writer is gone, or None when it is; the follower closes it.
    """

    def __init__(self, path: str, ended: Callable[[], int | None]) -> None:
        self._watch = inotify.watch(path)
        self._end = ended()

    def wait(self) -> bool:
        """Wait for more. False when there will be none."""
        if self._end is None:
            return False
        poll = select.poll()
        poll.register(self._watch, select.POLLIN)
        poll.register(self._end, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll()}
        inotify.drain(self._watch)
        if self._end in ready:
            # What it wrote last is there by now: one more look, then the end.
            os.close(self._end)
            self._end = None
        return True

    def close(self) -> None:
        os.close(self._watch)
        if self._end is not None:
            os.close(self._end)


def read_chunks(descriptor: int, offset: int = 0) -> Iterator[Chunk]:
    """The records from ``offset`` on, as far as they are written. The descriptor's own position is left alone."""
    while True:
        header = os.pread(descriptor, log.HEADER.size, offset)
        if len(header) < log.HEADER.size:
            return
        when, length, stream = log.HEADER.unpack(header)
        data = os.pread(descriptor, length, offset + log.HEADER.size)
        if len(data) < length:
            return
        yield Chunk(when, stream, data)
        offset += log.HEADER.size + length


def chunks(path: str, follower: Follower | None = None) -> Iterator[Chunk]:
    """The log's records; with a follower, on until its writer has ended."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    offset = 0
    try:
        while True:
            for chunk in read_chunks(descriptor, offset):
                offset += log.HEADER.size + len(chunk.data)
                yield chunk
            if follower is None or not follower.wait():
                return
    finally:
        os.close(descriptor)
        if follower is not None:
            follower.close()
