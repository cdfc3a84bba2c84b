"""inotify(7): to wait for a change of a file or a directory without polling."""

from __future__ import annotations

import os

from containerkit.linux.libc import check, libc

IN_MODIFY, IN_ATTRIB, IN_CLOSE_WRITE, IN_CREATE = 0x2, 0x4, 0x8, 0x100


def watch(path: str, mask: int = IN_MODIFY) -> int:
    """A descriptor that becomes readable when ``path`` changes; the caller closes it."""
    descriptor = check(libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), path)
    try:
        check(libc.inotify_add_watch(descriptor, os.fsencode(path), mask), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def drain(descriptor: int) -> None:
    """Throw the pending events away."""
    try:
        while os.read(descriptor, 65536):
            pass
    except BlockingIOError:
        pass
