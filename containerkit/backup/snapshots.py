"""The manifest of a backup in a directory of many: a head in a file of its own, and items in groups, which are blocks.

A *group* is lines of a manifest, about :data:`_GROUP`. It ends with a name whose checksum says so: names that come or
go before it and after it do not move that. So backups that have much in common have most groups in common, which are in
the packs once. No line says what changes with the whole, or with each start of the machine.

What the file of a backup has, compressed, and sealed where there is a passphrase::

    {"containerkit-backup": 2, …}                                            the manifest's first line
    {"files": 3, "size": 12, "torn": [], "groups": [["6b86…"], …]}          what items come to; names of their blocks
"""

from __future__ import annotations

import json
import operator
import zlib
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, fields
from typing import Any

import zstandard

from containerkit.backup import manifest as manifests
from containerkit.backup.cutting import blocks, places
from containerkit.backup.earlier import Earlier
from containerkit.backup.items import FILE, Item
from containerkit.backup.manifest import Head, Manifest
from containerkit.backup.members import Piece
from containerkit.backup.packs import BLOCK
from containerkit.errors import InvalidArgument

#: Items of a group: about, and at most.
_GROUP, _LARGEST = 512, 4096
#: Bytes of a head: a stranger's is not to fill the memory.
_MAX_HEAD = 1 << 28

#: The names of the blocks of a group's lines, in hexadecimal digits: one, or more where the lines are long.
Group = tuple[str, ...]


@dataclass(kw_only=True)
class Summary(Head):
    """A manifest without its items.

    Args:
        files, size, torn: as of :class:`Manifest`.
        count: how many items there are.
        groups: where they are.
    """

    files: int
    size: int
    torn: list[str]
    count: int
    groups: list[Group]


@dataclass
class Last:
    """What a backup has, for the next one to be compared with.

    Args:
        earlier: the items whose contents are there.
        groups: each with the lines that it has, by the path of the first.
    """

    summary: Summary
    earlier: Earlier
    groups: dict[str, tuple[list[Item], Group]]


def dumps(summary: Summary) -> bytes:
    """The content of a backup's file."""
    said = {name: getattr(summary, name) for name in ("files", "size", "torn", "groups")}
    lines = manifests.dump_head(summary, summary.count) + json.dumps(said, separators=(",", ":")).encode() + b"\n"
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(lines)


def loads(data: bytes, subject: str) -> Summary:
    """And back.

    Raises:
        InvalidArgument: it is damaged.
        Unsupported: of a later format.
    """
    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as stream:
            first, second = stream.read(_MAX_HEAD).splitlines(keepends=True)
        said = json.loads(second)
        groups = [tuple(group) for group in said["groups"]]
        head, count = manifests.load_head(first, subject)
        found = Summary(**head, files=said["files"], size=said["size"], torn=said["torn"], count=count, groups=groups)
        is_right = type(found.files) is type(found.size) is int and all(type(path) is str for path in found.torn)
    except (zstandard.ZstdError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidArgument(f"{subject}: damaged: its head is not what was written") from error
    if not is_right or not all(groups) or not all(_is_name(name) for group in groups for name in group):
        raise InvalidArgument(f"{subject}: damaged: its head says what cannot be")
    return found


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and manifests.is_digest(name)


def summary(said: Manifest, groups: list[Group]) -> Summary:
    """That of a manifest whose items are in those groups."""
    head = {one.name: getattr(said, one.name) for one in fields(Head)}
    return Summary(**head, files=said.files, size=said.size, torn=said.torn, count=len(said.items), groups=groups)


def shelve(said: Manifest, last: Last | None, put: Callable[[bytes], str]) -> list[Group]:
    """Keep the items of a manifest.

    Args:
        last: has groups that are not to be written once more.
        put: keeps a block, unless it is there; its name.
    """
    known = {} if last is None else last.groups
    found: list[Group] = []
    place = 0
    while place < len(said.items):
        items, group = known.get(said.items[place].path, ([], ()))
        if not _begins(said.items, place, items):
            items = _following(said.items, place)
            lines = b"".join(manifests.dump_items(items))
            group = tuple(put(lines[start : start + BLOCK]) for start in range(0, len(lines), BLOCK))
        found.append(group)
        place += len(items)
    return found


def _begins(items: list[Item], place: int, group: list[Item]) -> bool:
    """Whether a group of the last backup is what there is now, and ends where one ends."""
    end = place + len(group)
    if not group or end > len(items) or not all(map(operator.is_, group, items[place:end])):
        return False
    return end == len(items) or len(group) == _LARGEST or _ends(group[-1])


def _following(items: list[Item], place: int) -> list[Item]:
    for end in range(place, min(place + _LARGEST, len(items))):
        if _ends(items[end]):
            return items[place : end + 1]
    return items[place : place + _LARGEST]


def _ends(item: Item) -> bool:
    return zlib.crc32(item.path.encode("utf-8", "surrogateescape")) % _GROUP == 0


# -- what is in a group ----------------------------------------------------------------------------------------------


def items(lines: bytes, subject: str) -> list[Item]:
    """The items of a group. They have the digest that they were put under, and are hardly checked otherwise: they are
    to be compared with a tree, and say which blocks are in use.

    Raises:
        InvalidArgument: it is about none.
    """
    try:
        found = [manifests.built(row) for row in json.loads(b"[" + lines[:-1].replace(b"\n", b",") + b"]")]
        is_right = found and all(map(_is_comparable, found))
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InvalidArgument(f"{subject}: damaged: its manifest is not what was written") from error
    if not is_right:
        raise InvalidArgument(f"{subject}: damaged: its manifest says what cannot be")
    return found


def _is_comparable(item: Item) -> bool:
    if item.kind == FILE and not all(map(manifests.is_digest, (item.digest, *item.blocks))):
        return False
    return type(item.path) is str


# -- a backup is read ------------------------------------------------------------------------------------------------


class Snapshot:
    """One backup, open: what a restore and a verification read from (:mod:`chain`).

    Args:
        subject: names it in errors.
        read: gives the content of a block.
    """

    is_foreign = False

    def __init__(self, subject: str, said: Manifest, read: Callable[[str], bytes]) -> None:
        self.subject, self.manifest, self._read = subject, said, read

    def close(self) -> None:
        """Nothing: the directory is the caller's."""

    def beside(self, name: str) -> str | None:
        """It needs no other."""
        return None

    def contents(self, wanted: Set[str]) -> Iterator[tuple[Item, Iterator[Piece]]]:
        """Files and their contents.

        Raises:
            InvalidArgument: a block is damaged or missing.
        """
        for item in self.manifest.items:
            if item.kind == FILE and item.path in wanted:
                yield item, self._pieces(item)

    def _pieces(self, item: Item) -> Iterator[Piece]:
        cut, names = list(places(item)), blocks(item)
        if len(cut) != len(names):
            raise InvalidArgument(f"{self.subject}: damaged: {item.path} has {len(names)} blocks")
        for (start, length), block in zip(cut, names, strict=True):
            data = self._read(block)
            if len(data) != length:
                raise InvalidArgument(f"{self.subject}: damaged: a block of {item.path} has another size")
            yield start, data
