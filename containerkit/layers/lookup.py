"""Reading one file out of a stack of directories, without mounting them."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from containerkit.linux import mounts

_LIMIT = 1 << 20


def read_text(directories: Sequence[str | Path], path: str) -> str:
    """The text of ``path`` in the uppermost directory that has it; empty when none has, or it is no regular file.

    Args:
        directories: uppermost first.
        path: relative; symbolic links are resolved inside the directory they are found in.
    """
    for directory in directories:
        try:
            root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            # Not blocking: a fifo of that name must not hold up the caller.
            descriptor = mounts.openat2(root, path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            continue
        finally:
            os.close(root)
        try:
            found = os.fstat(descriptor)
            if stat.S_ISCHR(found.st_mode):
                return ""  # a whiteout: deleted above what lies below
            return os.read(descriptor, _LIMIT).decode(errors="replace") if stat.S_ISREG(found.st_mode) else ""
        finally:
            os.close(descriptor)
    return ""
