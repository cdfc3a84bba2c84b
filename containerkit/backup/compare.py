"""What one tree has changed of another, going by what is known of their files."""

from __future__ import annotations

from collections.abc import Iterable

from containerkit.backup.items import DIRECTORY, FILE, HARDLINK, ROOT, Item
from containerkit.backup.packing import digest_of
from containerkit.backup.walk import open_content, walk
from containerkit.layers.diff import ADDED, CHANGED, DELETED, Change


def changes(old: Iterable[Item], new: Iterable[Item]) -> list[Change]:
    """What ``new`` has changed of ``old``, sorted by path.

    Names, kinds, contents, modes, owners, attributes and targets of links count; times do not, where contents have
    digests.
    """
    before, after = _by_path(old), _by_path(new)
    found = [Change(f"/{path}", DELETED) for path in before.keys() - after.keys()]
    found += [Change(f"/{path}", ADDED) for path in after.keys() - before.keys()]
    found += [
        Change(f"/{path}", CHANGED) for path in before.keys() & after.keys() if _is_other(before[path], after[path])
    ]
    return sorted(found, key=lambda change: change.path)


def _by_path(items: Iterable[Item]) -> dict[str, Item]:
    """Items by path, a hard link as the file that it is."""
    found: dict[str, Item] = {}
    for item in items:
        found[item.path] = found.get(item.link, item) if item.kind == HARDLINK else item
    found.pop(ROOT, None)
    return found


def _is_other(one: Item, other: Item) -> bool:
    said = [
        (item.kind, item.mode, item.uid, item.gid, item.major, item.minor, item.xattrs, item.size)
        for item in (one, other)
    ]
    if said[0] != said[1]:
        return True
    if one.kind == DIRECTORY:
        return False
    if one.kind == FILE:
        has_digests = one.digest and other.digest
        return one.digest != other.digest if has_digests else one.mtime_ns != other.mtime_ns
    return one.link != other.link


def hashed(root: int) -> list[Item]:
    """The items below a directory's descriptor, with the digests of their contents."""
    found = []
    for item, handle in walk(root):
        if item.kind == FILE:
            with open(open_content(handle), "rb", buffering=0) as content:
                item.digest = digest_of(content.fileno(), item.size)
        found.append(item)
    return found
