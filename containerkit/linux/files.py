"""Files: syncfs(2)."""

from __future__ import annotations

import ctypes
import os

from containerkit.linux.libc import check

# Not libc.libc, which keeps the GIL: this call may take seconds, and the caller has other threads.
_libc = ctypes.CDLL(None, use_errno=True)


def syncfs(path: str | os.PathLike[str]) -> None:
    """syncfs(2): what was written to the file system that holds ``path`` is on its disk.

    Raises:
        OSError: writing failed, then or since the last call (Linux 5.8).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        check(_libc.syncfs(descriptor), os.fspath(path))
    finally:
        os.close(descriptor)
