"""A stack of layers as one tree of copies, where overlayfs is not to be had."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from containerkit.layers.copy import Copier
from containerkit.layers.diff import is_opaque

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

    def lay(self, source: int, target: int) -> None:
        self.copy_content(source, target)
        self._dress(target, source, os.fstat(source))

    def _copy(self, source: int, name: str, target: int, new_name: str, path: str, depth: int) -> None:
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
        is_whiteout = stat.S_ISCHR(found.st_mode) and found.st_rdev == 0
        there = _lstat(target, new_name)
        if there is not None and (is_whiteout or stat.S_ISDIR(there.st_mode) != stat.S_ISDIR(found.st_mode)):
            _remove(target, new_name)
        if not is_whiteout:
            super()._copy(source, name, target, new_name, path, depth)

    def _copy_directory(self, source: int, name: str, target: int, new_name: str, path: str, depth: int) -> None:
        inner = os.open(name, _DIRECTORY, dir_fd=source)
        try:
            if is_opaque(f"/proc/self/fd/{inner}/.") and _lstat(target, new_name) is not None:
                _remove(target, new_name)
            super()._copy_directory(source, name, target, new_name, path, depth)
            outer = os.open(new_name, _DIRECTORY, dir_fd=target)
            try:
                self._dress(outer, inner, os.fstat(inner))
            finally:
                os.close(outer)
        finally:
            os.close(inner)


def _lstat(directory: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


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
