"""A tree becomes a backup: one file, in the order of the walk, each content read once."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field

from containerkit.backup import headers, manifest, packing
from containerkit.backup.age import Sealing
from containerkit.backup.destinations import Destination, name_of, path_of, writing
from containerkit.backup.earlier import Earlier
from containerkit.backup.items import FILE, SOCKET, Item
from containerkit.backup.manifest import Manifest
from containerkit.backup.packing import Packer, digest_of, digest_zeros
from containerkit.backup.staging import Staged
from containerkit.backup.trailer import Trailer
from containerkit.backup.trees import Living, Tree
from containerkit.backup.walk import open_content, regions
from containerkit.errors import InvalidArgument, Unsupported
from containerkit.layers import tar
from containerkit.layers.compression import Writable
from containerkit.layers.tar import shown
from containerkit.values import frozen

#: Bytes of contents done, of all of them, and how many files are done.
Told = Callable[[int, int, int], None]
#: Seconds between two of them.
_INTERVAL = 0.1
#: What a backup begins with, uncompressed.
COMMENT = f"containerkit backup {manifest.FORMAT}"


@frozen
class About:
    """What is said of a backup as a whole; as in :class:`Manifest`."""

    volume: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    consistency: str = "none"


def write(
    root: str | os.PathLike[str] | Staged,
    destination: Destination,
    *,
    about: About | None = None,
    compression: str = "zstd",
    passphrase: str | None = None,
    base: Manifest | None = None,
    base_name: str = "",
    by_content: bool = False,
    told: Told | None = None,
) -> Manifest:
    """Write a backup of the directory ``root``. It appears under its name when all of it is on the disk.

    Args:
        root: its path; or what was staged of it.
        destination: a path, a URL (fsspec), or an open file that bytes are written to.
        compression: ``"zstd"``, ``"gzip"`` or ``"none"``.
        passphrase: it is encrypted with that one (age).
        base: only what has changed since then gets its content into the backup.
        base_name: the name of that one's file, beside the new one.
        by_content: whether a file has changed is seen by reading it, not by its time, size and inode.
        told: is told how far it is.

    Returns:
        Its manifest.

    Raises:
        InvalidArgument: an unknown compression; the base would be overwritten; a tree that is too deep.
        Unsupported: a library for a URL or a passphrase is not installed; a file that is too large.
        OSError: something cannot be read, or the destination not be written.
    """
    packing.check(compression)
    path = path_of(destination)
    if base_name and path is not None and os.path.basename(path) == base_name:
        raise InvalidArgument(f"backup {name_of(destination)}: is the one that it would be incremental to")
    tree: Tree = root if isinstance(root, Staged) else Living(root)
    teller = Teller(told, base.size if base is not None else 0, tree.total)
    with writing(destination) as file, _sealed(file, passphrase) as sink, _packed(sink, compression) as packer:
        items = list(_Writer(packer, base, by_content, teller, is_still=tree.is_still).add(tree.walk()))
        said = about_tree(tree, items, about or About())
        if base is not None:
            said.parent, said.parent_name = base.id, base_name
        _end(packer, sink, said, compression)
    return said


def about_tree(tree: Tree, items: list[Item], about: About) -> Manifest:
    """What is said of a tree whose contents have been read."""
    return Manifest(
        items, volume=about.volume, created=tree.created, labels=about.labels, consistency=about.consistency,
        frozen_seconds=tree.frozen_seconds, id=manifest.identify(items), settled_ns=tree.settled_ns,
    )  # fmt: skip


@contextmanager
def _sealed(file: Writable, passphrase: str | None) -> Iterator[Writable]:
    if passphrase is None:
        yield file
        return
    sealing = Sealing(file, passphrase)
    yield sealing
    sealing.end()


@contextmanager
def _packed(sink: Writable, compression: str) -> Iterator[Packer]:
    packer = Packer(sink, compression)
    try:
        yield packer
    finally:
        packer.close()


def _end(packer: Packer, sink: Writable, said: Manifest, compression: str) -> None:
    """The archive's end mark; then the manifest, which can be unpacked by itself, and where it is."""
    packer.put(tar.END)
    packer.end_part()
    offset, size, digest = packer.written, 0, hashlib.sha256()
    for line in manifest.dumps(said):
        packer.put(line)
        digest.update(line)
        size += len(line)
    packer.end_part()
    sink.write(Trailer(offset, size, digest.digest(), compression).dumps())


class _Writer:
    """Items and their contents go into the archive.

    Args:
        base: whose contents are left out.
        is_still: contents do not change while they are read: they are copies.
    """

    def __init__(
        self, packer: Packer, base: Manifest | None, by_content: bool, teller: Teller, *, is_still: bool
    ) -> None:
        self._packer, self._by_content, self._teller, self._is_still = packer, by_content, teller, is_still
        self._earlier = Earlier.of(base)
        self._same: dict[int, int] = {}

    def add(self, steps: Iterator[tuple[Item, int]]) -> Iterator[Item]:
        """Append the tree; every item when it is in."""
        self._packer.put(tar.global_header({"comment": COMMENT.encode()}))
        for item, handle in steps:
            # Numbers that many have: once in memory.
            item.mode, item.device = self._once(item.mode), self._once(item.device)
            item.uid, item.gid = self._once(item.uid), self._once(item.gid)
            if item.kind == FILE:
                self._add_file(item, handle)
                self._teller.add(item.size)
            elif item.kind != SOCKET:
                self._packer.put(headers.header(item))
            yield item
        self._teller.end()

    def _once(self, number: int) -> int:
        return self._same.setdefault(number, number)

    def _add_file(self, item: Item, handle: int) -> None:
        if item.size > manifest.LARGEST:
            raise Unsupported(f"backup: {shown(item.path)}: of more than {manifest.LARGEST} bytes")
        if not self._by_content and (earlier := self._earlier.unchanged(item)) is not None:
            item.digest, item.extents, item.elsewhere = earlier.digest, earlier.extents, True
            # Equal values, once in memory.
            item.path, item.size, item.inode = earlier.path, earlier.size, earlier.inode
            item.mtime_ns, item.ctime_ns = earlier.mtime_ns, earlier.ctime_ns
            return
        content = open_content(handle)
        try:
            earlier = self._earlier.get(item.path)
            if earlier is not None and self._by_content and earlier.size == item.size:
                item.digest = digest_of(content, item.size)
                if item.digest == earlier.digest:
                    item.extents, item.elsewhere = earlier.extents, True
                    return
            item.extents = regions(content, item.size)
            self._packer.put(headers.header(item))
            self._add_content(item, content)
            item.torn = not self._is_still and _has_changed(item, content)
        finally:
            os.close(content)

    def _add_content(self, item: Item, content: int) -> None:
        digest = hashlib.sha256()
        if item.extents is None:
            self._packer.take(content, 0, item.size, digest)
        else:
            self._packer.put(headers.sparse_map(item))
            end = 0
            for start, length in item.extents:
                digest_zeros(digest, start - end)
                self._packer.take(content, start, length, digest)
                end = start + length
            digest_zeros(digest, item.size - end)
        self._packer.put(bytes(-headers.stored_size(item) % tar.BLOCK))
        item.digest = digest.hexdigest()


def _has_changed(item: Item, content: int) -> bool:
    found = os.fstat(content)
    return (found.st_size, found.st_ctime_ns) != (item.size, item.ctime_ns)


class Teller:
    """Tells how far it is, not too often.

    Args:
        total: bytes of all contents, as far as that is known.
        look: finds out more; asked when there is somebody to tell, and the total was passed.
    """

    def __init__(self, told: Told | None, total: int, look: Callable[[], int] | None = None) -> None:
        self._told, self._total, self._look = told, total, look
        self._done = self._files = 0
        self._last = time.monotonic()

    def add(self, size: int) -> None:
        """A file is done."""
        self._done += size
        self._files += 1
        self.within(0)

    def within(self, size: int) -> None:
        """So many bytes of the file that is read now are done."""
        if self._told is not None and time.monotonic() - self._last > _INTERVAL:
            done = self._done + size
            if done >= self._total and self._look is not None:
                self._total, self._look = self._look(), None
            self._told(done, max(self._total, done), self._files)
            self._last = time.monotonic()

    def end(self) -> None:
        """All is done."""
        if self._told is not None:
            self._told(self._done, self._done, self._files)
