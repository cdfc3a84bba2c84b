"""Images become one file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from containerkit.archives import docker, layout
from containerkit.archives.values import Wanted
from containerkit.archives.writing import Writer
from containerkit.errors import ContainerkitError, InvalidArgument, from_os_error
from containerkit.layers import compression as compressions
from containerkit.layers.compression import Whole, Writable
from containerkit.linux.parts import replacing
from containerkit.oci.reference import Reference
from containerkit.progress import Progress
from containerkit.store.store import Store

Target = str | os.PathLike[str] | BinaryIO

_FORMATS = {"docker": docker.write, "oci": layout.write}
_COMPRESSIONS = ("none", "gzip", "zstd")
_ENDINGS = {".gz": "gzip", ".tgz": "gzip", ".zst": "zstd", ".tzst": "zstd"}


def select(store: Store, names: Sequence[str]) -> list[Wanted]:
    """What is saved for references and ids, each image once: with a reference that tag, with an id all its tags.

    Args:
        names: empty for every image that has a tag.

    Raises:
        NotFound: no such image.
    """
    if not names:
        return [Wanted(record, record.tags) for record in store.images.list(dangling=False)]
    chosen: dict[str, Wanted] = {}
    for name in names:
        record = store.images.get(name)
        tag = _familiar(name)
        tags = (tag,) if tag in record.tags else record.tags
        before = chosen[record.id].tags if record.id in chosen else ()
        chosen[record.id] = Wanted(record, tuple(dict.fromkeys((*before, *tags))))
    return list(chosen.values())


def _familiar(name: str) -> str:
    try:
        return Reference.parse(name).familiar
    except InvalidArgument:
        return name  # an id


def save(
    store: Store, target: Target, wanted: Sequence[Wanted], format: str, compression: str | None, progress: Progress
) -> None:
    """Write an archive of these images.

    Args:
        target: a path, where the archive appears when it is whole; or a file open for writing bytes.
        format: ``"docker"`` or ``"oci"``.
        compression: ``"none"``, ``"gzip"``, ``"zstd"``; None for what the path's ending says.

    Raises:
        InvalidArgument: another format or compression; no image at all.
        StorageError: a blob is damaged, or the disk is full.
        NotFound: somebody removes an image meanwhile.
    """
    if format not in _FORMATS:
        raise InvalidArgument(f'format {format!r}: expected "docker" or "oci"')
    if compression is None:
        compression = _by_name(target)
    if compression not in _COMPRESSIONS:
        raise InvalidArgument(f'compression {compression!r}: expected "none", "gzip" or "zstd"')
    if not wanted:
        raise InvalidArgument("save: no image to save")
    name = os.fspath(target) if isinstance(target, (str, os.PathLike)) else getattr(target, "name", "a stream")
    progress.begin(f"saving to {os.path.basename(str(name))}")
    try:
        with _opened(target) as file, compressions.writer(file, compression) as sink:
            writer = Writer(sink, store.blobs, progress)
            _FORMATS[format](writer, wanted)
            writer.end()
    except BaseException as error:
        progress.end(f"{name}: not saved")
        if isinstance(error, OSError) and not isinstance(error, ContainerkitError):
            raise from_os_error(error, f"save to {name}") from error
        raise
    progress.end(f"{name}: {len(wanted)} {'image' if len(wanted) == 1 else 'images'} saved")


def _by_name(target: Target) -> str:
    if not isinstance(target, (str, os.PathLike)):
        return "none"
    ending = os.path.splitext(target)[1]
    if ending in (".xz", ".txz", ".bz2", ".tbz2", ".lz", ".lz4"):
        raise InvalidArgument(f"save to {os.fspath(target)}: {ending}: archives are plain, gzip or zstd")
    return _ENDINGS.get(ending, "none")


@contextmanager
def _opened(target: Target) -> Iterator[Writable]:
    if isinstance(target, (str, os.PathLike)):
        with replacing(target) as file:
            yield file
    else:
        yield Whole(target)
