"""A file becomes images."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from containerkit.archives import docker, layout
from containerkit.archives.contents import Contents
from containerkit.archives.directory import Directory
from containerkit.archives.values import Found
from containerkit.errors import ContainerkitError, InvalidArgument, NotFound, Unsupported, from_os_error
from containerkit.layers import compression
from containerkit.layers.compression import Peeked, Readable
from containerkit.oci.reference import Reference
from containerkit.progress import Progress
from containerkit.store.ingest import Ingest
from containerkit.store.store import Store

Source = str | os.PathLike[str] | bytes | BinaryIO


def load(store: Store, source: Source, progress: Progress) -> list[tuple[str, str]]:
    """The images of an archive, in its order: the id of each, and one of the tags it got, or an empty string.

    Args:
        source: a path (of a layout's directory, too), the archive's bytes, or a stream that is read to its end.

    Raises:
        NotFound: no such file.
        InvalidArgument: not an archive of images, a damaged one, or one that lies. Nothing is left of it then.
        StorageError: the disk is full or cannot be written.
    """
    subject = f"archive {_name(source)}"
    progress.begin(f"loading {os.path.basename(str(_name(source)))}")
    try:
        with _errors(subject), store.ingest() as ingest:
            found = _find(source, ingest, subject, progress)
            progress.item("layers", "unpacking")
            records = store.images.add_all([(one.manifest, one.tags) for one in found], ingest, action="load")
    except BaseException:
        progress.end(f"{subject}: not loaded")
        raise
    progress.end(f"{subject}: {', '.join(next(iter(record.tags), record.id) for record in records)} loaded")
    loaded = []
    for one, record in zip(found, records, strict=True):
        # A later image of the archive may have taken a tag away.
        tags = [tag for tag in one.tags if Reference.parse(tag).familiar in record.tags]
        loaded.append((record.id, Reference.parse(tags[0]).familiar if tags else ""))
    return loaded


def _name(source: Source) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "in memory" if isinstance(source, bytes) else "from a stream"


def _find(source: Source, ingest: Ingest, subject: str, progress: Progress) -> list[Found]:
    if isinstance(source, (str, os.PathLike)) and os.path.isdir(source):
        directory = Directory(os.fspath(source), ingest, subject, progress)
        if directory.document("oci-layout") is None or directory.document("index.json") is None:
            raise InvalidArgument(f"{subject}: a directory, but no image layout: it lacks oci-layout or index.json")
        return layout.images(directory)
    contents = Contents(ingest, subject, progress)
    with _opened(source) as stream:
        head = Peeked(stream)
        with compression.reader(head, compression.detect(head.head), subject) as plain:
            contents.take(plain)
    if contents.document("oci-layout") is not None and contents.document("index.json") is not None:
        return docker.with_tags(contents, layout.images(contents))
    if contents.document("manifest.json") is not None:
        return docker.images(contents, ingest)
    raise InvalidArgument(
        f"{subject}: no archive of images: neither manifest.json nor oci-layout and index.json are in it"
        " (Image.import_ makes an image of a file system's archive)"
    )


@contextmanager
def _opened(source: Source) -> Iterator[Readable]:
    with ExitStack() as stack:
        if isinstance(source, (str, os.PathLike)):
            yield stack.enter_context(open(source, "rb", buffering=0))
        else:
            yield io.BytesIO(source) if isinstance(source, bytes) else source


@contextmanager
def _errors(subject: str) -> Iterator[None]:
    """What goes wrong with the archive names it first."""
    try:
        yield
    except (InvalidArgument, NotFound, Unsupported) as error:
        if error.message.startswith(f"{subject}: "):
            raise
        raise type(error)(f"{subject}: {error.message}") from error
    except ContainerkitError:
        raise
    except OSError as error:
        raise from_os_error(error, subject) from error
