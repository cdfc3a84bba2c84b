"""Where a backup is read from: a file here, a URL, or an open file; always as one that can be sought in."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from typing import BinaryIO, cast

from containerkit.backup import age
from containerkit.backup.destinations import filesystem, name_of, path_of
from containerkit.errors import InvalidArgument, NotFound
from containerkit.layers.compression import Readable

Source = str | os.PathLike[str] | Readable


def opened(place: Source, passphrase: str | None, stack: ExitStack) -> BinaryIO:
    """The plain file at a place: decrypted, and to be sought in.

    Args:
        stack: closes what was opened.

    Raises:
        NotFound: there is none.
        InvalidArgument: a passphrase is missing or wrong; none of the places that there can be.
        Unsupported: a library for a URL or a passphrase is not installed.
    """
    subject = f"backup {name_of(place)}"
    try:
        file = raw(place, stack)
    except FileNotFoundError as error:
        raise NotFound(f"{subject}: not found") from error
    except IsADirectoryError as error:
        raise InvalidArgument(f"{subject}: is a directory") from error
    file.seek(0)
    if file.read(len(age.MAGIC)) != age.MAGIC:
        return file
    if passphrase is None:
        raise InvalidArgument(f"{subject}: is encrypted: it takes its passphrase")
    return cast(BinaryIO, age.Opened(file, passphrase, subject))


def raw(place: Source, stack: ExitStack) -> BinaryIO:
    """The file at a place as it is, encrypted or not."""
    if isinstance(place, (str, os.PathLike)):
        path = path_of(place)
        if path is not None:
            return stack.enter_context(open(path, "rb"))
        files, inner = filesystem(os.fspath(place))
        return cast(BinaryIO, stack.enter_context(files.open(inner, "rb")))
    if not callable(getattr(place, "read", None)):
        raise InvalidArgument(f"backup: source {place!r}: expected a path, a URL or an open binary file")
    if getattr(place, "seekable", bool)():
        return cast(BinaryIO, place)
    # A pipe: the manifest is at the end, and is needed first.
    copy = stack.enter_context(tempfile.TemporaryFile())
    shutil.copyfileobj(place, copy, 1 << 20)
    return cast(BinaryIO, copy)


class Part:
    """The bytes of a file from ``start`` to before ``end``."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file, self._left = file, end - start
        file.seek(start)

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data
