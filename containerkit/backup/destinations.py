"""Where a backup is written: a file here, a URL, or an open file. Under its final name it is whole, or not there."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from containerkit.errors import InvalidArgument, Unsupported
from containerkit.layers.compression import Whole, Writable
from containerkit.linux.parts import replacing

_URL = re.compile(r"[a-z][a-z0-9+.:-]*://", re.IGNORECASE)
#: What fsspec calls a file of this machine.
_LOCAL = ("file://", "local://")


Destination = str | os.PathLike[str] | Writable


def path_of(place: object) -> str | None:
    """The path of a file of this machine; None for a URL elsewhere or an open file."""
    if not isinstance(place, (str, os.PathLike)):
        return None
    path = os.fspath(place)
    for scheme in _LOCAL:
        if path.startswith(scheme):
            return path[len(scheme) :]
    return None if _URL.match(path) else path


def name_of(place: object) -> str:
    """What a destination or a source is called in errors."""
    if isinstance(place, (str, os.PathLike)):
        return os.fspath(place)
    return str(getattr(place, "name", "stream"))


def filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    Raises:
        Unsupported: a library is not installed.
        InvalidArgument: no such protocol.
    """
    try:
        core = importlib.import_module("fsspec.core")
    except ImportError as error:
        raise Unsupported(f"backup {url}: needs fsspec: pip install 'containerkit[backup]'") from error
    try:
        found, path = core.url_to_fs(url, skip_instance_cache=True)
        return found, path
    except ImportError as error:
        raise Unsupported(f"backup {url}: {error}") from error
    except ValueError as error:
        raise InvalidArgument(f"backup {url}: {error}") from error


@contextmanager
def writing(place: Destination) -> Iterator[Writable]:
    """What is written in the block is at its destination after it; nothing is when the block raises.

    What went into an open file stays there.

    Raises:
        Unsupported: a URL whose library is not installed.
        OSError: it cannot be written.
    """
    if not isinstance(place, (str, os.PathLike)):
        if not callable(getattr(place, "write", None)):
            raise InvalidArgument(f"backup: destination {place!r}: expected a path, a URL or an open binary file")
        yield Whole(place)
        return
    path = path_of(place)
    if path is not None and os.path.isdir(path):
        raise InvalidArgument(f"backup {path}: is a directory")
    with _at_url(os.fspath(place)) if path is None else replacing(path) as file:
        yield file


@contextmanager
def _at_url(url: str) -> Iterator[IO[bytes]]:
    files, path = filesystem(url)
    # A transaction belongs to the object, and this one is nobody else's: the file appears at its end, or not at all.
    with files.transaction, files.open(path, "wb") as file:
        try:
            if not hasattr(file, "commit"):
                raise Unsupported(f"backup {url}: its file system cannot write a file whole or not at all")
            yield file
        except BaseException:
            with suppress(Exception):
                file.closed = True  # closing would send what is there
            raise
