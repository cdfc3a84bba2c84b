"""How far a save or a load is: an item for each file of an archive that is large enough to wait for."""

from __future__ import annotations

import re

from containerkit.layers.compression import Readable
from containerkit.progress import Progress

#: Smaller files are done before anybody has read their name.
_SHOWN = 1 << 20
_HEX = re.compile(r"[0-9a-f]{12}")


def told(content: Readable, name: str, size: int, state: str, progress: Progress) -> Readable:
    """The content of a file, telling how much of it has been read.

    Args:
        state: what is done with it, in a word.
    """
    return content if size < _SHOWN else _Told(content, name, size, state, progress)


class _Told:
    def __init__(self, content: Readable, name: str, size: int, state: str, progress: Progress) -> None:
        self._content, self._progress = content, progress
        found = _HEX.search(name)
        self._key = found[0] if found else name[-24:]
        self._done = 0
        progress.item(self._key, state, 0, size)

    def read(self, size: int = -1, /) -> bytes:
        data = self._content.read(size)
        self._done += len(data)
        self._progress.advance(self._key, self._done)
        return data
