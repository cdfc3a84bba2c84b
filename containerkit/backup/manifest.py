"""The manifest: everything that a backup says of its tree, as lines of JSON.

The first line is of the whole; then one line per item, in the order of the walk (:mod:`walk`). What has its default is
left out of a line. Bytes are base64; names that are no UTF-8 keep their bytes (PEP 383: ``"\\udc80"`` is the byte 80)::

    {"containerkit-backup": 2, "id": "6b86…", "volume": "data", "created": 1760000000.5, …, "items": 2}
    {"path": ".", "kind": "directory", "mode": 493, "mtime_ns": 1760000000000000000, …}
    {"path": "a.txt", "mode": 420, "size": 3, "digest": "ba78…", …}

The *id* is the SHA-256 of all that makes two trees the same: names, kinds, owners, modes, sizes, times of the content,
links, devices, attributes, digests; not of inodes and changes of them. Nor is it said which device a file is on: that
may have another number after each start of the machine. A manifest comes from a stranger: all of it is checked.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pickle
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import zstandard

from containerkit.backup.items import (
    BLOCK,
    CHAR,
    DIRECTORY,
    FILE,
    HARDLINK,
    KINDS,
    ROOT,
    SYMLINK,
    Item,
)
from containerkit.errors import InvalidArgument, Unsupported
from containerkit.layers.bounds import MAX_DEPTH
from containerkit.layers.tar import shown

FORMAT: Final = 2
_PORTION = 1000
_MARK: Final = "containerkit-backup"
#: Bounds on a stranger's manifest: items, bytes of a line.
MAX_ITEMS, MAX_LINE = 4_000_000, 16 << 20
#: What the kernel takes (linux/limits.h, linux/kdev_t.h); the largest file of ext4.
_ID, _MAJOR, _MINOR, LARGEST = 2**32 - 2, (1 << 12) - 1, (1 << 20) - 1, 1 << 44
#: Nanoseconds since 1970 of the years 1 to 9999, which archives have; some file systems have more.
EARLIEST, LATEST = -62_135_596_800 * 10**9, 253_402_300_799 * 10**9
_NAME, _TARGET, _VALUE = 255, 4096, 65536
_HEX = frozenset("0123456789abcdef")


@dataclass(kw_only=True)
class Head:
    """What a backup says of itself as a whole.

    Args:
        volume: the name of the volume that it is of.
        created: when the first file was looked at, in seconds since the epoch.
        labels: the user's.
        parent: the id of the backup that it is incremental to, or ``""``.
        parent_name: the name of that one's file, beside its own.
        consistency: ``"none"`` or ``"pause"``.
        frozen_seconds: how long the containers were paused for it.
        id: digest of the whole; :func:`identify` computes it.
        added: bytes that a directory of backups has grown by.
        settled_ns: a file with a change time from before then cannot have changed since without another one
            (:mod:`earlier`); nanoseconds since the epoch.
    """

    volume: str = ""
    created: float = field(default_factory=time.time)
    labels: dict[str, str] = field(default_factory=dict)
    parent: str = ""
    parent_name: str = ""
    consistency: str = "none"
    frozen_seconds: float = 0.0
    id: str = ""
    format: int = FORMAT
    added: int = 0
    settled_ns: int = 0


@dataclass
class Manifest(Head):
    """What a backup says of itself and its tree.

    Args:
        items: in the order of the walk, the root first.
    """

    items: list[Item] = field(repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """For pickle, in portions: it holds all that it has seen, in case that it comes again."""
        portions = (self.items[start : start + _PORTION] for start in range(0, len(self.items), _PORTION))
        return {**vars(self), "items": [zstandard.compress(pickle.dumps(portion), 1) for portion in portions]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        items = [item for portion in state["items"] for item in pickle.loads(zstandard.decompress(portion))]
        vars(self).update(state, items=items)

    @property
    def files(self) -> int:
        """How many regular files there are; of one with several names, one."""
        return sum(item.kind == FILE for item in self.items)

    @property
    def size(self) -> int:
        """Bytes of all files' contents, holes too."""
        return sum(item.size for item in self.items)

    @property
    def torn(self) -> list[str]:
        """Paths of the files that changed their size while they were read."""
        return [item.path for item in self.items if item.torn]


def identify(items: Iterable[Item]) -> str:
    """The digest of the whole, of items whose contents have theirs."""
    total = hashlib.sha256()
    for item in items:
        said = (
            item.path, item.kind, item.mode, item.uid, item.gid, item.size, item.mtime_ns, item.link, item.major,
            item.minor, sorted(item.xattrs.items()), item.digest,
        )  # fmt: skip
        total.update(ascii(said).encode())
    return total.hexdigest()


_encode = json.JSONEncoder(separators=(",", ":")).encode


def dumps(manifest: Manifest) -> Iterator[bytes]:
    """The lines of a manifest, each with its end."""
    yield dump_head(manifest, len(manifest.items))
    yield from dump_items(manifest.items)


def dump_head(head: Head, items: int) -> bytes:
    """The first line.

    Args:
        items: how many there are.
    """
    said = {
        _MARK: head.format, "id": head.id, "volume": head.volume, "created": head.created, "labels": head.labels,
        "parent": head.parent, "parent_name": head.parent_name, "consistency": head.consistency,
        "frozen_seconds": head.frozen_seconds, "added": head.added, "settled_ns": head.settled_ns, "items": items,
    }  # fmt: skip
    return _encode(said).encode() + b"\n"


def dump_items(items: Iterable[Item]) -> Iterator[bytes]:
    """The other lines."""
    for item in items:
        yield _encode(_said(item)).encode() + b"\n"


def _said(item: Item) -> dict[str, object]:
    said: dict[str, object] = {"path": item.path}
    for name, default in _DEFAULTS:
        value = getattr(item, name)
        if value != default:
            said[name] = value
    if item.xattrs:
        said["xattrs"] = {name: base64.b64encode(value).decode() for name, value in item.xattrs.items()}
    return said


def loads(lines: Iterable[bytes], subject: str, *, longest: int = MAX_LINE) -> Manifest:
    """What :func:`dumps` gave.

    Args:
        subject: names the backup in errors.
        longest: bytes of a line that is none any more.

    Raises:
        InvalidArgument: no manifest, a damaged one, or one that says what cannot be.
        Unsupported: of a later format.
    """
    stream = iter(lines)
    reader = _Reader(subject, longest)
    head, count = reader.head(reader.parse(next(stream, b"")))
    manifest = Manifest([], **head)
    add = manifest.items.append
    for line in stream:
        if len(manifest.items) == count:
            raise reader.refuse(f"its manifest has more than the {count} items that it says")
        add(reader.item(reader.parse(line)))
    if len(manifest.items) != count:
        raise reader.refuse(f"its manifest has {len(manifest.items)} of {count} items")
    reader.check_links(manifest.items)
    if identify(manifest.items) != manifest.id:
        raise reader.refuse("its manifest is damaged: its items do not have its digest")
    return manifest


def load_head(line: bytes, subject: str) -> tuple[dict[str, Any], int]:
    """What the first line says, by the names of :class:`Head`, and how many items there are.

    Raises:
        InvalidArgument, Unsupported: as :func:`loads`.
    """
    reader = _Reader(subject)
    return reader.head(reader.parse(line))


def built(said: dict[str, Any]) -> Item:
    """The item that a line is about; nothing is checked.

    Raises:
        TypeError, ValueError, AttributeError: it is about none.
    """
    if "xattrs" in said:
        said["xattrs"] = {name: base64.b64decode(value, validate=True) for name, value in said["xattrs"].items()}
    if "extents" in said:
        said["extents"] = tuple((start, length) for start, length in said["extents"])
    if "blocks" in said:
        said["blocks"] = tuple(said["blocks"])
    return Item(**said)


class _Reader:
    """Lines of a stranger's manifest become what they say, if that can be."""

    def __init__(self, subject: str, longest: int = MAX_LINE) -> None:
        self._subject, self._longest = subject, longest
        self._directories: set[str] = set()
        self._links: list[Item] = []
        self._last: bytes | None = None  # what orders the item before
        self._same: dict[object, Any] = {}  # values that many items have: once in memory

    def refuse(self, reason: str) -> InvalidArgument:
        return InvalidArgument(f"{self._subject}: {reason}")

    def parse(self, line: bytes) -> dict[str, Any]:
        try:
            said = json.loads(line) if len(line) <= self._longest else None
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise self.refuse("its manifest is damaged: not a line of JSON")
        return said

    def head(self, said: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """What the first line says, and how many items there are."""
        if type(said.get(_MARK)) is not int:
            raise self.refuse("no manifest of a backup")
        if said[_MARK] != FORMAT:
            raise Unsupported(f"{self._subject}: written in format {said[_MARK]}; this version reads {FORMAT}")
        for name, right in _HEAD.items():
            if name not in said or not right(said[name]):
                raise self.refuse(f"its manifest says of {name} what cannot be")
        return {name: said[name] for name in _HEAD if name != "items"}, said["items"]

    def item(self, said: dict[str, Any]) -> Item:
        path = said.get("path")
        if not isinstance(path, str) or not is_path(path):
            raise self.refuse(f"its manifest has an item {shown(str(path))}, which is no path in it")
        for name, value in said.items():
            right = _RIGHT.get(name)
            if right is None or not right(value):
                raise self.refuse(f"its manifest says of {shown(path)} what cannot be: {shown(str(name))}")
        for name in ("mode", "uid", "gid", "kind"):
            if name in said:
                said[name] = self._same.setdefault(said[name], said[name])
        try:
            item = built(said)
        except ValueError as error:
            raise self.refuse(f"its manifest says of {shown(path)} what cannot be: xattrs") from error
        for name, value in item.xattrs.items():
            if not _is_text(name, _NAME) or not name or len(value) > _VALUE:
                raise self.refuse(f"its manifest says of {shown(path)} what cannot be: xattrs")
        self._check(item)
        return item

    def _check(self, item: Item) -> None:
        """What an item says, as a whole and beside those before it."""
        path, kind = item.path, item.kind
        order = b"" if path == ROOT else order_of(path)
        if self._last is not None and order <= self._last:
            raise self.refuse(f"its manifest has {shown(path)} twice, or not in order")
        above = path.rpartition("/")[0] or ROOT
        if (path == ROOT) != (self._last is None) or (path != ROOT and above not in self._directories):
            raise self.refuse(f"its manifest has {shown(path)} below what is no directory in it")
        if path == ROOT and kind != DIRECTORY:
            raise self.refuse("its manifest says that the whole is no directory")
        self._last = order
        if kind != FILE and (item.size or item.digest or item.extents or item.blocks or item.elsewhere or item.torn):
            raise self.refuse(f"its manifest says of {shown(path)}, a {kind}, that it has content")
        if (kind in (SYMLINK, HARDLINK)) != bool(item.link) or (kind not in (CHAR, BLOCK) and item.major | item.minor):
            raise self.refuse(f"its manifest says of {shown(path)}, a {kind}, what cannot be")
        if kind == FILE and not item.digest:
            raise self.refuse(f"its manifest has no digest of {shown(path)}")
        if item.extents is not None and not _in_order(item.extents, item.size):
            raise self.refuse(f"its manifest says of {shown(path)} what cannot be: extents")
        if kind == DIRECTORY:
            self._directories.add(path)
        elif kind == HARDLINK:
            self._links.append(item)

    def check_links(self, items: list[Item]) -> None:
        """
        Raises:
            InvalidArgument: a hard link to something else than a first name, or to one after it.
        """
        firsts = {item.path for item in items if item.kind not in (DIRECTORY, HARDLINK)} if self._links else set()
        for item in self._links:
            if item.link not in firsts or order_of(item.link) > order_of(item.path):
                raise self.refuse(f"its manifest says that {shown(item.path)} is a name of what is no file before it")


def order_of(path: str) -> bytes:
    """What orders items below the root: the bytes of the names in each directory, a directory before its content."""
    return os.fsencode(path).replace(b"/", b"\0")


def _whole(most: int, least: int = 0) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 2**40


def _is_text(value: Any, most: int) -> bool:
    """Whether it is text that the kernel could have given."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        return len(value.encode("utf-8", "surrogateescape")) <= most
    except UnicodeEncodeError:
        return False


def _text(most: int) -> Callable[[Any], bool]:
    return lambda value: _is_text(value, most)


def is_path(path: str) -> bool:
    """Whether it is one that an item can have."""
    if path == ROOT:
        return True
    parts = path.split("/")
    return (
        len(parts) <= MAX_DEPTH + 1
        and not any(part in ("", ".", "..") for part in parts)
        and _is_text(path, LARGEST)
        and all(len(part.encode("utf-8", "surrogateescape")) <= _NAME for part in parts if len(part) * 3 > _NAME)
    )


def is_digest(value: Any) -> bool:
    """Whether it is a SHA-256 in hexadecimal digits."""
    return isinstance(value, str) and len(value) == 64 and _HEX.issuperset(value)


def _is_name(value: Any) -> bool:
    return _is_text(value, _NAME) and "/" not in value and value not in (".", "..")


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(one, str) for name, one in value.items()
    )


def _are_regions(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, list) and len(one) == 2 and all(type(number) is int and number >= 0 for number in one)
        for one in value
    )


def _in_order(found: tuple[tuple[int, int], ...], size: int) -> bool:
    end = 0
    for start, length in found:
        if start < end or not length:
            return False
        end = start + length
    return end <= size


def _flag(value: Any) -> bool:
    return value is True


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_digest, value))


#: 64 bits of seconds.
_TIME = _whole(2**93, -(2**93))
_RIGHT: dict[str, Callable[[Any], bool]] = {
    "path": lambda _: True, "kind": lambda value: isinstance(value, str) and value in KINDS, "mode": _whole(0o7777),
    "uid": _whole(_ID), "gid": _whole(_ID), "size": _whole(LARGEST), "mtime_ns": _whole(LATEST, EARLIEST),
    "ctime_ns": _TIME,
    "inode": _whole(2**64 - 1), "link": _text(1 << 17), "major": _whole(_MAJOR),
    "minor": _whole(_MINOR), "xattrs": _is_map, "digest": is_digest, "extents": _are_regions, "blocks": _is_list,
    "elsewhere": _flag, "torn": _flag,
}  # fmt: skip
_HEAD: dict[str, Callable[[Any], bool]] = {
    "id": is_digest, "volume": _text(_TARGET), "created": _number, "labels": _is_map,
    "parent": lambda value: value == "" or is_digest(value), "parent_name": _is_name, "consistency": _text(_NAME),
    "frozen_seconds": _number, "added": _whole(1 << 62), "settled_ns": _whole(1 << 62), "items": _whole(MAX_ITEMS, 1),
}  # fmt: skip
_BLANK = Item("")
#: What is written of an item where it differs from this.
_DEFAULTS = [(name, getattr(_BLANK, name)) for name in _RIGHT if name not in ("path", "xattrs")]
