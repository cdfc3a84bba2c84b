"""An archive, or names and contents, as a tree of files: what they are called in memory, their contents on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO

from containerkit.builder.tree import File, Tree, follow, stamp_of
from containerkit.errors import InvalidArgument, InvalidState
from containerkit.layers import compression, tar
from containerkit.layers.bounds import MAX_DEPTH
from containerkit.layers.compression import Counted, Peeked, Readable, is_zeros
from containerkit.layers.pack import shorter
from containerkit.layers.tar import DIRECTORY, FILE, HARDLINK, SYMLINK, Entry, shown
from containerkit.layers.write import OWN_XATTRS


class Indexed(Tree):
    """The files of an archive. Their contents are parts of the file ``path``.

    Args:
        stamp: that file's, where it is not ours alone.
    """

    def __init__(self, path: str, subject: str, *, keeps_owners: bool, stamp: tuple[int, ...] | None = None) -> None:
        super().__init__(subject, keeps_owners=keeps_owners)
        self._path, self._stamp = path, stamp
        self._files = {"": File("", DIRECTORY, is_implied=True)}
        self._names: dict[str, dict[str, None]] = {"": {}}
        self._attributes: dict[str, dict[str, bytes]] = {}

    def get(self, path: str) -> File | None:
        return self._files.get(path)

    def list(self, path: str) -> list[File]:
        prefix = f"{path}/" if path else ""
        return [self._files[prefix + name] for name in sorted(self._names.get(path, ()), key=os.fsencode)]

    @contextmanager
    def content(self, file: File) -> Iterator[Readable]:
        with open(self._path, "rb", buffering=0) as whole:
            yield _Part(whole, file)
            if self._stamp is not None and stamp_of(os.fstat(whole.fileno())) != self._stamp:
                raise InvalidState(f"{self.subject}: changed while it was read (build again)")

    def attributes(self, file: File) -> dict[str, bytes]:
        return self._attributes.get(file.path, {}) if self.keeps_owners else {}

    def add(self, entry: Entry, place: int) -> None:
        """One more; the last one of a name is the one that counts.

        Args:
            place: where its content begins.

        Raises:
            InvalidArgument: it cannot be where it says.
        """
        path = self._path_of(entry.name, entry)
        if not path and entry.kind != DIRECTORY:
            raise self._refuse(entry, "is not a directory, and has the root's name")
        file = File(
            path, entry.kind, entry.mode, entry.uid, entry.gid, entry.size, entry.mtime, entry.link, entry.major,
            entry.minor, place=place,
        )  # fmt: skip
        if entry.kind == HARDLINK:
            file = self._other_name(file, entry)
        if kept := {key: value for key, value in entry.xattrs.items() if not key.startswith(OWN_XATTRS)}:
            self._attributes[path] = kept
        self._put(file)

    def _path_of(self, name: str, entry: Entry) -> str:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise self._refuse(entry, "leads out of its directory")
        if len(parts) > MAX_DEPTH:
            raise self._refuse(entry, f"more than {MAX_DEPTH} directories deep")
        if len(parts) < 2:
            return "/".join(parts)
        parent = "/".join(parts[:-1])
        if parent not in self._names:
            parent = self._imply(parent, entry)
        return f"{parent}/{parts[-1]}" if parent else parts[-1]

    def _imply(self, path: str, entry: Entry) -> str:
        """Where the directory ``path`` really is, made where the archive does not name it."""
        try:
            where = follow(path, self._link_at)
        except OSError as error:
            raise self._refuse(entry, "too many symbolic links above it") from error
        parts = where.split("/") if where else []
        for count in range(1, len(parts) + 1):
            above = "/".join(parts[:count])
            if above not in self._files:
                self._put(File(above, DIRECTORY, is_implied=True))
            elif above not in self._names:
                raise self._refuse(entry, "what is above it is no directory")
        return where

    def _link_at(self, path: str) -> str | None:
        file = self._files.get(path)
        return file.link if file is not None and file.kind == SYMLINK else None

    def _other_name(self, file: File, entry: Entry) -> File:
        path = self._path_of(entry.link, entry)
        target = self._files.get(path)
        if target is None or target.kind == DIRECTORY or path == file.path:
            raise self._refuse(entry, f"is a hard link to {shown(entry.link)}, which is not in the archive before it")
        if target.same is None:
            target = replace(target, same=("name of", path))
            self._files[path] = target
        self._attributes[file.path] = self._attributes.get(path, {})
        return replace(target, path=file.path)

    def _put(self, file: File) -> None:
        before = self._files.get(file.path)
        if before is not None and not (before.kind == file.kind == DIRECTORY):
            self._remove(file.path)
        self._files[file.path] = file
        if file.kind == DIRECTORY:
            self._names.setdefault(file.path, {})
        if file.path:
            parent, _, name = file.path.rpartition("/")
            self._names[parent][name] = None

    def _remove(self, path: str) -> None:
        for name in self._names.pop(path, {}):
            self._remove(f"{path}/{name}")
        del self._files[path]

    def _refuse(self, entry: Entry, reason: str) -> InvalidArgument:
        return InvalidArgument(f"{self.subject}: entry {shown(entry.name)}: {reason}")


class _Part:
    """The content of one file in the file that all are in."""

    def __init__(self, whole: BinaryIO, file: File) -> None:
        self._descriptor, self._at, self._end, self._name = (
            whole.fileno(),
            file.place,
            file.place + file.size,
            file.path,
        )

    def read(self, size: int = -1, /) -> bytes:
        left = self._end - self._at
        data = os.pread(self._descriptor, left if size < 0 else min(size, left), self._at)
        if left and size and not data:
            raise shorter(self._name)
        self._at += len(data)
        return data


def read_archive(stream: Readable, spool: str, subject: str, *, keeps_owners: bool) -> Indexed:
    """The tree of an archive, compressed or not, which is read once.

    Args:
        spool: the file to make, which the contents go to; it stays as long as the tree is used.
        subject: names the archive in errors.

    Raises:
        InvalidArgument: it is none, a damaged one, or an entry cannot be.
        Unsupported: a kind of entry that nobody puts there.
    """
    peeked = Peeked(stream)
    tree = Indexed(spool, subject, keeps_owners=keeps_owners)
    with (
        open(spool, "xb") as out,
        compression.reader(peeked, compression.detect(peeked.head), subject) as plain,
    ):
        reader = tar.Reader(plain, subject)
        for entry in reader:
            tree.add(entry, _spooled(reader, out) if entry.kind == FILE else 0)
        out.truncate(out.tell())
    return tree


def _spooled(reader: tar.Reader, out: BinaryIO) -> int:
    place = out.tell()
    while data := reader.read():
        # Of zeros a hole is left: they take no room.
        if is_zeros(data):
            out.seek(len(data), os.SEEK_CUR)
        else:
            out.write(data)
    return place


def index_archive(path: str, subject: str, *, keeps_owners: bool) -> Indexed:
    """As :func:`read_archive`, of a file that is an archive and is not compressed: the contents stay in it."""
    with open(path, "rb") as file:
        tree = Indexed(path, subject, keeps_owners=keeps_owners, stamp=stamp_of(os.fstat(file.fileno())))
        counted = Counted(file)
        for entry in tar.Reader(counted, subject):
            tree.add(entry, counted.size)
    return tree


def of_contents(contents: Mapping[str, bytes | str], spool: str, subject: str, mtime: int) -> Indexed:
    """The tree of these files, by name; a name that ends with a slash is a directory.

    Args:
        spool: as of :func:`read_archive`.
        mtime: of all, in nanoseconds since the epoch.

    Raises:
        InvalidArgument: a name leads out, or is a file's and a directory's.
    """
    tree = Indexed(spool, subject, keeps_owners=False)
    with open(spool, "xb") as out:
        for name, content in contents.items():
            data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else bytes(content)
            kind, mode = (DIRECTORY, 0o755) if name.endswith("/") else (FILE, 0o644)
            tree.add(Entry(name, kind, mode, size=len(data), mtime=mtime), out.tell())
            out.write(data)
    return tree
