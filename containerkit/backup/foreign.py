"""Archives that others wrote: ``docker run --volumes-from … busybox tar cvf /backup/data.tar /data``.

There is no manifest: one is made by reading all of it. Such an archive mostly has everything below one directory, the
place that the volume was mounted at (``data/…``). When that is all there is at the top, and has an entry of its own, it
is the tree's root.
"""

from __future__ import annotations

import hashlib

from containerkit.backup import headers, manifest
from containerkit.backup.items import BLOCK, CHAR, DIRECTORY, FILE, HARDLINK, ROOT, SYMLINK, Item
from containerkit.backup.manifest import Manifest
from containerkit.backup.members import Members
from containerkit.backup.packing import digest_zeros
from containerkit.backup.walk import is_kept
from containerkit.errors import InvalidArgument
from containerkit.layers.tar import Entry, shown

_KINDS = {kind: name for name, kind in headers.KINDS.items()}


def scan(reader: Members, subject: str, strip: int | None) -> tuple[Manifest, list[Item | None]]:
    """Read an archive to its end.

    Args:
        strip: how many directories its names lose at the front; None: one, if all is below that one.

    Returns:
        What it has; and the item that each of its entries is the content of, or None.

    Raises:
        InvalidArgument: a damaged archive; names that lead elsewhere; files below what is no directory.
    """
    tree = _Scan(subject)
    for entry in reader:
        tree.add(entry, reader)
    items = tree.finish(tree.strip() if strip is None else strip)
    return Manifest(items, created=0.0, id=manifest.identify(items)), tree.members


class _Scan:
    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._items: dict[str, Item] = {}  # by the path in the archive: the last one counts
        self.members: list[Item | None] = []

    def _refuse(self, name: str, reason: str) -> InvalidArgument:
        return InvalidArgument(f"{self._subject}: entry {shown(name)}: {reason}")

    def _clean(self, name: str) -> str:
        path = "/".join(part for part in name.split("/") if part not in ("", ".")) or ROOT
        if name.startswith("/") or not manifest.is_path(path):
            raise self._refuse(name, "leads out of its directory, or cannot be")
        return path

    def add(self, entry: Entry, reader: Members) -> None:
        path = self._clean(entry.name)
        kind = _KINDS[entry.kind]
        if path == ROOT and kind != DIRECTORY:
            raise self._refuse(entry.name, "is not a directory, and has the root's name")
        xattrs = {name: value for name, value in entry.xattrs.items() if is_kept(name)}
        item = Item(
            path, kind, entry.mode, entry.uid, entry.gid, entry.size, entry.mtime,
            link=entry.link if kind == SYMLINK else "", major=entry.major, minor=entry.minor, xattrs=xattrs,
        )  # fmt: skip
        if kind == HARDLINK:
            item.link, item.xattrs = self._clean(entry.link), {}
        elif kind == FILE:
            item.extents = reader.regions
            item.digest = _digest(item, reader)
        if kind not in (CHAR, BLOCK):
            item.major = item.minor = 0
        self._items[path] = item
        self.members.append(item if kind == FILE else None)

    def strip(self) -> int:
        """1 when all there is is below one directory that has an entry."""
        top = {path.partition("/")[0] for path in self._items}
        if len(top) != 1 or ROOT in top:
            return 0
        only = self._items.get(top.pop())
        return 1 if only is not None and only.kind == DIRECTORY else 0

    def finish(self, strip: int) -> list[Item]:
        """The items in order, with all that has to be between them."""
        found: dict[str, Item] = {}
        self._imply(ROOT, found)
        for item in self._items.values():
            path = _stripped(item.path, strip)
            if path is None or (path == ROOT and item.kind != DIRECTORY):
                continue
            item.path = path
            if item.kind == HARDLINK:
                item.link = _stripped(item.link, strip) or ROOT
            found[path] = item
        for path in list(found):
            self._imply(path, found)
        ordered = [found[path] for path in sorted(found, key=_order)]
        self._join(ordered, found)
        kept = {id(item) for item in ordered if item.kind == FILE}
        self.members = [item if id(item) in kept else None for item in self.members]
        return ordered

    def _imply(self, path: str, found: dict[str, Item]) -> None:
        while path != ROOT:
            path = path.rpartition("/")[0] or ROOT
            above = found.setdefault(path, Item(path, DIRECTORY, 0o755))
            if above.kind != DIRECTORY:
                raise self._refuse(path, "has files below it, and is no directory")
        found.setdefault(ROOT, Item(ROOT, DIRECTORY, 0o755))

    def _join(self, ordered: list[Item], found: dict[str, Item]) -> None:
        """Of each file with several names the first in order becomes the file, the others its links."""
        names: dict[str, list[Item]] = {}
        for item in ordered:
            if item.kind == HARDLINK:
                names.setdefault(self._target(item, found).path, []).append(item)
        places = {id(item): place for place, item in enumerate(ordered)}
        for path, links in names.items():
            target = found[path]
            first = min((target, *links), key=lambda item: _order(item.path))
            # The content's item moves to the first name: entries refer to the object.
            place, other = places[id(target)], places[id(first)]
            target.path, first.path = first.path, target.path
            ordered[place], ordered[other] = ordered[other], ordered[place]
            for link in links:
                link.link = target.path

    def _target(self, item: Item, found: dict[str, Item]) -> Item:
        seen = set()
        while item.kind == HARDLINK:
            target = found.get(item.link)
            if target is None or target.kind == DIRECTORY or item.path in seen:
                raise self._refuse(item.path, f"is a hard link to {shown(item.link)}, which is no file in the archive")
            seen.add(item.path)
            item = target
        return item


def _digest(item: Item, reader: Members) -> str:
    digest = hashlib.sha256()
    end = 0
    for start, data in reader.pieces():
        digest_zeros(digest, start - end)
        digest.update(data)
        end = start + len(data)
    digest_zeros(digest, item.size - end)
    return digest.hexdigest()


def _stripped(path: str, strip: int) -> str | None:
    """Without its first ``strip`` directories; None when it has fewer."""
    parts = [] if path == ROOT else path.split("/")
    if len(parts) < strip:
        return None
    return "/".join(parts[strip:]) or ROOT


def _order(path: str) -> bytes:
    return b"" if path == ROOT else manifest.order_of(path)
