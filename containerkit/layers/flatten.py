"""A stack of layers as one tree of copies, where overlayfs is not to be had."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from containerkit.layers.copy import Copier
from containerkit.layers.whiteouts import is_opaque, is_whiteout
from containerkit.linux.files import lstat_at

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def flatten(layers: Sequence[str | Path], tree: str | Path) -> None:
    """Copy what the layers come to into the empty directory ``tree``.

    Args:
        layers: the lowest first.

    Raises:
        OSError: the disk is full, and the like.
    """
    target = os.open(tree, _DIRECTORY)
    try:
        for layer in layers:
            source = os.open(layer, _DIRECTORY)
            try:
                _Layer().lay(source, target)
            finally:
                os.close(source)
    finally:
        os.close(target)


class _Layer(Copier):
    """One layer over what is there: whiteouts delete, and what is of another kind makes room."""

    dresses_all = True

    def lay(self, source: int, target: int) -> None:
        self.copy_content(source, target)
        self.dress(target, source, os.fstat(source))

    def _copy(self, source: int, name: str, target: int, new_name: str, path: str, depth: int) -> None:
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
        deletes = is_whiteout(found, in_layer=True)
        if (there := lstat_at(target, new_name)) is not None:
            is_other = stat.S_ISDIR(there.st_mode) != stat.S_ISDIR(found.st_mode)
            if deletes or is_other or is_opaque(f"/proc/self/fd/{source}/{name}"):
                _remove(target, new_name)
        if not deletes:
            super()._copy(source, name, target, new_name, path, depth)


def _remove(directory: int, name: str) -> None:
    """Remove what a lower layer has there."""
    try:
        os.unlink(name, dir_fd=directory)
        return
    except IsADirectoryError:
        pass
    inner = os.open(name, _DIRECTORY, dir_fd=directory)
    try:
        for child in os.listdir(inner):
            _remove(inner, child)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=directory)
