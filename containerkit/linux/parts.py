"""Files on their way: under another name until they are whole and on the disk, nobody's once their writer is gone.

What a writer has left that was killed, the next writer of the same file removes.
"""

from __future__ import annotations

import fcntl
import glob
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from containerkit.linux.files import sync_directory

_RANDOM = 8
#: How the names end, for glob.
_PATTERN = f".{'[0-9a-f]' * _RANDOM}.part"


class Part:
    """A file on its way to ``path``: ``PATH.RANDOM.part``, locked (flock(2)) while its writer lives.

    :meth:`finish` gives it its name. To be closed, finished or not.
    """

    file: BinaryIO

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        while True:
            self._place = f"{self.path}.{os.urandom(_RANDOM // 2).hex()}.part"
            self.file = open(self._place, "xb")
            fcntl.flock(self.file, fcntl.LOCK_EX)
            if os.path.exists(self._place):
                return
            self.file.close()  # another's sweep took it before it was locked

    def finish(self, *, is_first: bool = False) -> None:
        """It is whole: on the disk, and under its name.

        Args:
            is_first: another that has the name already keeps it.
        """
        self.file.flush()
        os.fsync(self.file.fileno())
        if not is_first:
            os.replace(self._place, self.path)
            return
        with suppress(FileExistsError):
            os.link(self._place, self.path)

    def close(self) -> None:
        """Let it go; what was not finished is gone."""
        with suppress(FileNotFoundError):
            os.unlink(self._place)
        with suppress(OSError):  # a full disk: what its buffer still has
            self.file.close()


def sweep(part: str | os.PathLike[str]) -> None:
    """Remove what a writer has left; nothing, while that writer lives."""
    with suppress(OSError), open(part, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(part)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file, which takes the place of ``path`` at the end of the block; nothing is left of it when that raises.

    Only of a file: a device or a pipe is written to.
    """
    if _is_special(path):
        with open(path, "wb") as file:
            yield file
        return
    # Beside the file that a link leads to: a rename does not leave its file system.
    target = os.path.realpath(path)
    for left in glob.glob(glob.escape(target) + _PATTERN):
        sweep(left)
    part = Part(target)
    try:
        yield part.file
        part.finish()
        sync_directory(os.path.dirname(target))
    finally:
        part.close()


def _is_special(path: str | os.PathLike[str]) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False
