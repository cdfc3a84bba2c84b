"""WORKDIR: a directory that is not there becomes a layer, with the directories that lead to it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from containerkit.errors import InvalidArgument
from containerkit.layers import tar
from containerkit.layers.pack import Archive
from containerkit.layers.stack import Stack
from containerkit.layers.write import Files


def is_there(layers: list[Path], path: str) -> bool:
    """Whether a directory is there.

    Args:
        layers: uppermost first.

    Raises:
        InvalidArgument: something else is in the way.
    """
    with Stack(layers) as stack:
        way, _ = stack.tree().follow(path)
        for above, directory in pairwise(way):
            if not directory.layers and above.layers and above.child(directory.path.rpartition("/")[2]) is not None:
                raise InvalidArgument(f"{path}: /{directory.path} is there, and no directory")
        return bool(way[-1].layers) or len(way) == 1


def add(archive: Archive, layers: Sequence[Path], path: str, owner: tuple[int, int], moment: int) -> None:
    """Append the directories that lead to ``path``, as they are; those that are not there are made, for all to enter.

    Args:
        layers: uppermost first.
        owner: whose they are then.
        moment: when these were made, in epoch nanoseconds.
    """
    files = Files(archive)
    with Stack(layers) as stack:
        for directory in stack.tree().follow(path)[0][1:]:
            if directory.layers:
                with directory.handle_itself() as descriptor:
                    files.add_directory(descriptor, directory.path)
            else:
                archive.add(tar.Entry(directory.path, tar.DIRECTORY, 0o755, *owner, mtime=moment))
