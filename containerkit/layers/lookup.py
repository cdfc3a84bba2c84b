"""Reading one file out of a stack of directories, without mounting them."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from errno import ELOOP
from pathlib import Path

from containerkit.layers.stack import Stack
from containerkit.linux import mounts

_LIMIT = 1 << 20


def read_text(directories: Sequence[str | Path], path: str) -> str:
    """The text of ``path`` in the uppermost directory that has it; empty when none has, or it is no regular file.

    Args:
        directories: uppermost first.
        path: relative; symbolic links are resolved in the tree that all come to.
    """
    try:
        return _find(directories, path, mounts.RESOLVE_IN_ROOT | mounts.RESOLVE_NO_SYMLINKS)
    except _LinkError:
        return _find(directories, _resolved(directories, path), mounts.RESOLVE_IN_ROOT)


class _LinkError(Exception):
    """There is a link on the way: where it leads is not for its own directory to say."""


def _find(directories: Sequence[str | Path], path: str, resolve: int) -> str:
    for directory in directories:
        try:
            root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            # Found, not opened: it may be a device, which something happens to when it is opened.
            handle = mounts.openat2(root, path, os.O_PATH, resolve=resolve)
        except OSError as error:
            if error.errno == ELOOP and resolve & mounts.RESOLVE_NO_SYMLINKS:
                raise _LinkError from error
            continue
        finally:
            os.close(root)
        try:
            return _read(handle)
        finally:
            os.close(handle)
    return ""


def _resolved(directories: Sequence[str | Path], path: str) -> str:
    try:
        with Stack(directories) as stack:
            return stack.tree().resolve(path)
    except OSError:
        return path  # something is absent, or not this user's to read: what else there is counts


def _read(handle: int) -> str:
    # A character device may be a whiteout: deleted above what lies below.
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        return ""
    descriptor = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _LIMIT).decode(errors="replace")
    finally:
        os.close(descriptor)
