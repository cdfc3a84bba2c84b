"""Directories that an archive does not name: what they are, the layers below say.

An archive with a lone ``tmp/x`` means the ``/tmp`` that is there when it is unpacked onto the layers below; one with a
lone ``lib/x`` means a file in ``/usr/lib`` where these have a link ``lib`` -> ``usr/lib``. Here every layer is a
directory of its own, and the uppermost one of a name is what overlayfs shows. So what is only implied is made as the
layers below have it (overlayfs itself does the same, "copy up"), and where they have a link, it is made where that
leads: inside the root, whatever the link says.

Where they have something else, a file, the directory takes its place, as with containerd (core/archive, mkparent).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from containerkit.layers.stack import Directory, Stack
from containerkit.layers.tar import DIRECTORY, Entry
from containerkit.layers.whiteouts import is_opaque
from containerkit.layers.write import entry_of
from containerkit.linux.files import lstat_at
from containerkit.linux.mounts import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, openat2

_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_PLAINLY = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS


class NotYetThere(Exception):
    """The layers below are not unpacked yet, and without them nobody can say where a file belongs."""


class Below:
    """What the layer that is just being unpacked, and those below it, come to so far.

    Args:
        root: a descriptor of the layer's own directory.
        lower: the layers below, uppermost first; None when they are not there yet.
    """

    def __init__(self, root: int, lower: Sequence[str | Path] | None) -> None:
        self._root, self._own, self._lower = root, f"/proc/self/fd/{root}/.", lower
        self._is_lowest = lower is not None and not lower
        self._stack: Stack | None = None

    def close(self) -> None:
        """Let descriptors go."""
        if self._stack is not None:
            self._stack.__exit__(None, None, None)
            self._stack = None

    def lead(self, path: str) -> tuple[str, list[Entry]]:
        """Where the directory ``path`` really is, and what the layer still lacks on the way there, outermost first.

        Raises:
            NotYetThere: the layers below would have to say it.
            NotADirectoryError: the layer's own link leads nowhere: it is not ours to say where it should.
            OSError: ELOOP: too many links.
        """
        missing = self._missing(path) if self._is_lowest else None
        if missing is not None:
            return path, missing
        way, links = self._tree().follow(path, is_strict=True)
        if 0 in links and not way[-1].layers:
            raise NotADirectoryError
        return way[-1].path, [entry(step) for step in way if 0 not in step.layers]

    def _missing(self, path: str) -> list[Entry] | None:
        """What the lowest layer lacks on the way to a directory, outermost first; None when that is not so simple."""
        parts = path.split("/")
        for number in range(len(parts) - 1, -1, -1):
            try:
                above = openat2(self._root, "/".join(parts[:number]) or ".", _DIRECTORY, resolve=_PLAINLY)
            except FileNotFoundError:
                continue
            except OSError:
                return None  # a link, or no directory
            try:
                if lstat_at(above, parts[number]) is not None:
                    return None
            finally:
                os.close(above)
            return [Entry("/".join(parts[: end + 1]), DIRECTORY, 0o755) for end in range(number, len(parts))]
        return None

    def _tree(self) -> Directory:
        if self._lower is None:
            raise NotYetThere
        if self._stack is None:
            self._stack = Stack([self._own, *self._lower]).__enter__()
        # At a root nothing else heeds the mark (Layers.showing).
        return self._stack.tree([self._own] if is_opaque(self._own) else None)


def entry(directory: Directory) -> Entry:
    """What an archive would say of it; of one that is nowhere, always the same: equal archives are equal trees."""
    if not directory.layers:
        return Entry(directory.path, DIRECTORY, 0o755)
    with directory.handle_itself() as descriptor:
        return entry_of(directory.path, DIRECTORY, f"/proc/self/fd/{descriptor}/.", os.fstat(descriptor))
