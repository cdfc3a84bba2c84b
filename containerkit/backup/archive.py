"""A backup's file, open: its manifest, and the contents in it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Set
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import BinaryIO

from containerkit.backup import foreign, headers, manifest, trailer
from containerkit.backup.destinations import name_of, path_of
from containerkit.backup.items import FILE, SOCKET, Item
from containerkit.backup.manifest import MAX_LINE, Manifest
from containerkit.backup.members import Members, Piece
from containerkit.backup.sources import Part, Source, opened
from containerkit.backup.write import COMMENT
from containerkit.errors import InvalidArgument
from containerkit.layers import compression
from containerkit.layers.ahead import Ahead
from containerkit.layers.compression import Readable
from containerkit.layers.tar import Entry, shown

#: A manifest's bytes, uncompressed.
_LONGEST = 8 << 30


def open(source: Source, *, passphrase: str | None = None, strip: int | None = None) -> Archive:
    """Open a backup, or an archive that ``tar`` wrote; the result is a context manager.

    Args:
        source: a path, a URL (fsspec), or an open binary file; one that cannot be sought in is copied to a temporary.
        passphrase: of an encrypted one.
        strip: how many directories the names of another's archive lose at the front; None: one, if all of it is below
            that one.

    Raises:
        NotFound: there is no such file.
        InvalidArgument: no backup and no archive; damaged or cut off; the passphrase is missing or wrong.
        Unsupported: a later format; a library for a URL or a passphrase is not installed.
    """
    with ExitStack() as stack:
        file = opened(source, passphrase, stack)
        archive = Archive(file, source, strip)
        archive.closing = stack.pop_all()
        return archive


class Archive:
    """An open backup.

    ``manifest`` is what it says; ``is_foreign`` that it is another's archive, whose manifest was made by reading it.
    """

    def __init__(self, file: BinaryIO, source: Source, strip: int | None) -> None:
        self.closing = ExitStack()
        self._file, self._source = file, source
        self.subject = f"backup {name_of(source)}"
        self.size = file.seek(0, os.SEEK_END)
        file.seek(max(0, self.size - trailer.LONGEST))
        end = trailer.find(file.read(), self.size)
        self.is_foreign = end is None
        self._members: list[Item | None] = []
        if end is None:
            self._end = self.size
            self._compression, self.manifest = self._scan(strip)
        else:
            self._end, self._compression = end.offset, end.compression
            self.manifest = self._read_manifest(end)

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go."""
        self.closing.close()

    @property
    def place(self) -> str | None:
        """Its path or URL; None of an open file."""
        return os.fspath(self._source) if isinstance(self._source, (str, os.PathLike)) else None

    def beside(self, name: str) -> str | None:
        """The place of another file in the same directory; None where that is not known."""
        if self.place is None:
            return None
        path = path_of(self.place)
        if path is not None:
            return os.path.join(os.path.dirname(path), name)
        return f"{self.place.rpartition('/')[0]}/{name}"

    def contents(self, wanted: Set[str]) -> Iterator[tuple[Item, Iterator[Piece]]]:
        """Files and their contents, in the order of the archive; a content is read before the next step.

        Args:
            wanted: paths. Others are passed over.

        Raises:
            InvalidArgument: it is damaged, or not what its manifest says.
        """
        with self._stream(self._end, self._compression, is_bounded=self.is_foreign) as stream:
            reader = Members(stream, self.subject)
            for item in self._matched(reader):
                if item is not None and item.kind == FILE and item.path in wanted:
                    yield item, reader.pieces()

    def _matched(self, reader: Members) -> Iterator[Item | None]:
        """The item of each entry."""
        if self.is_foreign:
            for _, member in zip(reader, self._members, strict=True):
                yield member
            return
        expected = (item for item in self.manifest.items if item.kind != SOCKET and not item.elsewhere)
        for entry in reader:
            item = next(expected, None)
            if item is None or not _is_same(entry, item) or reader.regions != item.extents:
                raise self._refuse(f"entry {shown(entry.name)} is not what its manifest says")
            yield item
        if (missing := next(expected, None)) is not None:
            raise self._refuse(f"{shown(missing.path)} is missing")

    def _refuse(self, reason: str) -> InvalidArgument:
        return InvalidArgument(f"{self.subject}: damaged: {reason}")

    @contextmanager
    def _stream(self, end: int, kind: str, start: int = 0, *, is_bounded: bool = True) -> Iterator[Readable]:
        """The unpacked bytes of a part of the file."""
        part = Part(self._file, start, end)
        with (
            compression.reader(part, kind, self.subject, is_bounded=is_bounded) as unpacked,
            Ahead(unpacked) as stream,
        ):
            yield stream

    def _scan(self, strip: int | None) -> tuple[str, Manifest]:
        kind = compression.detect(compression.Peeked(Part(self._file, 0, self.size)).head)
        with self._stream(self._end, kind) as stream:
            reader = Members(stream, self.subject)
            said, self._members = foreign.scan(reader, self.subject, strip)
        if reader.comment.startswith(COMMENT.rpartition(" ")[0]):
            raise InvalidArgument(f"{self.subject}: is cut off: its end is missing")
        return kind, said

    def _read_manifest(self, end: trailer.Trailer) -> Manifest:
        if end.size > _LONGEST:
            raise self._refuse(f"a manifest of {end.size} bytes")
        digest = hashlib.sha256()
        where = self.size - trailer.size_of(end.compression)
        with self._stream(where, end.compression, end.offset) as stream:
            said = manifest.loads(_lines(stream, end.size, digest), self.subject)
        if digest.digest() != end.digest:
            raise self._refuse("its manifest does not have its digest")
        return said


def _lines(stream: Readable, size: int, digest: hashlib._Hash) -> Iterator[bytes]:
    """Lines of a manifest, of so many bytes in all."""
    rest = b""
    while size > 0 and (data := stream.read(min(size, 1 << 20))):
        size -= len(data)
        digest.update(data)
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
        if len(rest) > MAX_LINE:
            break  # refused as a line
    if rest or size:
        yield rest  # its end is missing
    stream.read(1)  # the end's mark is read, too


def _is_same(entry: Entry, item: Item) -> bool:
    """Whether an entry says what the manifest says."""
    said = headers.entry_of(item)
    return (
        entry.name.rstrip("/") == said.name.rstrip("/")
        and (entry.kind, entry.mode, entry.uid, entry.gid) == (said.kind, said.mode, said.uid, said.gid)
        and (entry.size, entry.mtime, entry.link) == (said.size, said.mtime, said.link)
        and (entry.major, entry.minor) == (said.major, said.minor)
        and entry.xattrs == said.xattrs
    )
