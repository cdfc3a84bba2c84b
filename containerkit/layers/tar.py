"""The tar format: headers in, headers out.

Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"; GNU tar manual, "Basic Tar Format" (long
names, base-256 numbers). Extended attributes travel in pax records ``SCHILY.xattr.NAME``, as everyone writes them.

A reader of its own instead of the standard library's: that one reads a pax header of any size into memory, and takes
four times as long for a small file.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from containerkit.errors import InvalidArgument, Unsupported
from containerkit.layers.compression import CHUNK, Readable
from containerkit.values import frozen

BLOCK = 512
END = bytes(2 * BLOCK)
_USTAR, _REST = b"ustar\x0000".ljust(72, b"\0"), bytes(167)
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x")
_CHECKSUM = slice(148, 156)
_XATTR = "SCHILY.xattr."

FILE, HARDLINK, SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_KINDS = frozenset((FILE, HARDLINK, SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO))
_EXTENSIONS = (b"x", b"g", b"L", b"K")
_REFUSED = {b"S": "a sparse file", b"D": "a GNU dump directory", b"M": "a part of a multi-volume archive"}


#: What the kernel takes: ids (the last one means "no change"), device numbers (linux/kdev_t.h), names and values of
#: attributes (linux/limits.h). What a time can be in an image's config: the years 1 to 9999.
_IDS, _MAJORS, _MINORS, _XATTR_NAME, _XATTR_VALUE = 2**32 - 1, 1 << 12, 1 << 20, 255, 65536
_TIMES = range(-62_135_596_800, 253_402_300_800)


#: What may be said of all entries, in bytes: it is looked at for each of them.
_GLOBALS = 8192


@frozen
class Limits:
    """Bounds on what a stranger's archive may ask for; sizes in bytes.

    ``header`` is what may be said of one entry.
    """

    total: int = 1 << 38
    entries: int = 4_000_000
    header: int = 1 << 20


@dataclass(slots=True)
class Entry:
    """One header. ``mtime`` in nanoseconds since the epoch; ``link`` of hard and symbolic links."""

    name: str
    kind: bytes = FILE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    link: str = ""
    major: int = 0
    minor: int = 0
    xattrs: dict[str, bytes] = field(default_factory=dict)


class Reader:
    """The entries of an uncompressed archive, in order.

    Between two of them, :meth:`read` gives the content of the first; what is not read is skipped.

    Raises:
        InvalidArgument: not an archive, a damaged one, or one beyond ``limits``.
        Unsupported: a kind of entry that this format's users never put in a layer.
    """

    def __init__(self, stream: Readable, subject: str, limits: Limits | None = None) -> None:
        self._stream = stream
        self._subject = subject
        self._limits = limits or Limits()
        self._left = 0  # of the current entry's content
        self._padding = 0
        self._total = 0
        self._globals: dict[str, bytes] = {}

    def __iter__(self) -> Iterator[Entry]:
        count = 0
        while True:
            self._skip()
            entry = self._next()
            if entry is None:
                self._drain()
                return
            count += 1
            if count > self._limits.entries:
                raise InvalidArgument(f"{self._subject}: more than {self._limits.entries} entries")
            yield entry

    def read(self, size: int = CHUNK) -> bytes:
        """Up to ``size`` bytes of the current entry's content; empty at its end."""
        if not self._left:
            return b""
        data = self._stream.read(min(size, self._left))
        if not data:
            raise InvalidArgument(f"{self._subject}: the archive is cut off")
        self._left -= len(data)
        return data

    def _skip(self) -> None:
        while self.read():
            pass
        if self._padding:
            self._exactly(self._padding)
            self._padding = 0

    def _drain(self) -> None:
        # The digest is over the whole stream, and writers pad it to their block size.
        while data := self._stream.read(CHUNK):
            self._count(len(data))

    def _count(self, size: int) -> None:
        self._total += size
        if self._total > self._limits.total:
            raise InvalidArgument(f"{self._subject}: larger than {self._limits.total} bytes unpacked")

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size)
        while len(data) < size:
            more = self._stream.read(size - len(data))
            if not more:
                raise InvalidArgument(f"{self._subject}: the archive is cut off")
            data += more
        return data

    def _next(self) -> Entry | None:
        """The next entry with what its extension headers say, or None at the end."""
        records: dict[str, bytes] = {}
        said = 0
        while True:
            block = self._stream.read(BLOCK)
            if block and len(block) < BLOCK:
                block += self._exactly(BLOCK - len(block))
            # An archive without its end marker is read as others do: it ends where it ends.
            if not block or not (block[0] or block.strip(b"\0")):
                if not block and not self._total:
                    raise InvalidArgument(f"{self._subject}: empty, not a tar archive")
                return None
            entry = self._parse(block)
            if entry.kind in _EXTENSIONS:
                said += entry.size
                if not 0 <= entry.size <= said <= self._limits.header:
                    raise InvalidArgument(f"{self._subject}: an extension header of {entry.size} bytes")
                self._extend(entry, records)
            elif entry.kind != b"V":  # a volume's label
                return self._finish(entry, self._globals | records if self._globals else records)

    def _extend(self, entry: Entry, records: dict[str, bytes]) -> None:
        """Read an extension header: of the entry that follows, or of all."""
        data = self._exactly(entry.size + -entry.size % BLOCK)[: entry.size]
        if entry.kind == b"x":
            records.update(self._pax(data))
        elif entry.kind == b"g":
            self._globals.update(self._pax(data))
            if sum(len(key) + len(value) for key, value in self._globals.items()) > _GLOBALS:
                raise InvalidArgument(f"{self._subject}: global headers of more than {_GLOBALS} bytes")
        else:
            records["path" if entry.kind == b"L" else "linkpath"] = data.rstrip(b"\0")

    def _finish(self, entry: Entry, records: dict[str, bytes]) -> Entry:
        if records:
            self._apply(entry, records)
        if entry.kind in _REFUSED:
            raise Unsupported(f"{self._of(entry)}: {_REFUSED[entry.kind]} (write the archive without)")
        if entry.kind in (b"\0", b"7"):
            entry.kind = FILE
        if entry.kind == FILE and entry.name.endswith("/"):
            entry.kind = DIRECTORY  # how archives older than POSIX say it
        if entry.kind not in _KINDS:
            raise Unsupported(f"{self._of(entry)}: of unknown kind {entry.kind!r}")
        self._check(entry)
        # Only files have content, but some writers put a size on other entries: POSIX says to ignore it.
        if entry.kind != FILE:
            entry.size = 0
        self._count(entry.size + BLOCK)
        self._left, self._padding = entry.size, -entry.size % BLOCK
        return entry

    def _of(self, entry: Entry) -> str:
        return f"{self._subject}: entry {shown(entry.name)}"

    def _check(self, entry: Entry) -> None:
        """What no writer says and the kernel would not take."""
        if entry.size < 0:
            raise InvalidArgument(f"{self._of(entry)}: a negative size")
        if not (0 <= entry.uid < _IDS and 0 <= entry.gid < _IDS):
            raise InvalidArgument(f"{self._of(entry)}: owner {entry.uid}:{entry.gid}, whom there cannot be")
        if entry.mtime // 10**9 not in _TIMES:
            raise InvalidArgument(f"{self._of(entry)}: of a time {entry.mtime // 10**9} s from 1970")
        is_device = entry.kind in (CHAR, BLOCK_DEVICE)
        if is_device and not (0 <= entry.major < _MAJORS and 0 <= entry.minor < _MINORS):
            raise InvalidArgument(f"{self._of(entry)}: device {entry.major}:{entry.minor}, which there cannot be")
        if "\0" in entry.name or "\0" in entry.link:
            raise InvalidArgument(f"{self._of(entry)}: its name or link has a zero byte")
        if entry.kind in (SYMLINK, HARDLINK) and not entry.link:
            raise InvalidArgument(f"{self._of(entry)}: a link to nothing")
        for key, value in entry.xattrs.items():
            name = os.fsencode(key)
            if not 0 < len(name) <= _XATTR_NAME or b"\0" in name or len(value) > _XATTR_VALUE:
                raise InvalidArgument(f"{self._of(entry)}: attribute {shown(key)} of {len(value)} bytes")

    def _parse(self, block: bytes) -> Entry:
        (name, mode, uid, gid, size, mtime, checksum, kind, link, magic, _, _, _, major, minor, prefix) = (
            _HEADER.unpack(block)
        )
        try:
            if _checksum(block) != _number(checksum):
                raise ValueError
            entry = Entry(
                "", kind, _usual(mode) & 0o7777, _usual(uid), _usual(gid), _number(size), _number(mtime) * 10**9
            )
            if kind in (CHAR, BLOCK_DEVICE):
                entry.major, entry.minor = _number(major), _number(minor)
        except ValueError:
            raise InvalidArgument(f"{self._subject}: not a tar archive, or a damaged one") from None
        name = name.partition(b"\0")[0]
        if magic == b"ustar\0" and prefix[0]:
            name = prefix.partition(b"\0")[0] + b"/" + name
        entry.name = os.fsdecode(name)
        if link[0]:
            entry.link = os.fsdecode(link.partition(b"\0")[0])
        return entry

    def _pax(self, data: bytes) -> dict[str, bytes]:
        """``LENGTH KEY=VALUE\\n`` records; the length counts itself."""
        records = {}
        position = 0
        while position < len(data):
            space = data.find(b" ", position, position + 20)
            length = data[position:space]
            end = position + int(length) if space > position and length.isdigit() else 0
            key, equals, value = data[space + 1 : end - 1].partition(b"=")
            if space < 0 or end <= space or end > len(data) or not equals:
                raise InvalidArgument(f"{self._subject}: a damaged pax header")
            records[os.fsdecode(key)] = value
            position = end
        return records

    def _apply(self, entry: Entry, records: dict[str, bytes]) -> None:
        for key, value in records.items():
            if key == "path":
                entry.name = os.fsdecode(value)
            elif key == "linkpath":
                entry.link = os.fsdecode(value)
            elif key == "mtime":
                entry.mtime = self._time(value)
            elif key in ("size", "uid", "gid"):
                setattr(entry, key, self._decimal(value))
            elif key.startswith(_XATTR):
                entry.xattrs[key[len(_XATTR) :]] = value
            elif key.startswith("GNU.sparse."):
                raise Unsupported(f"{self._of(entry)}: a sparse file (write the archive without)")

    def _decimal(self, text: bytes) -> int:
        if not text.isdigit() or len(text) > 19:
            raise InvalidArgument(f"{self._subject}: a damaged pax header: {text[:40]!r}")
        return int(text)

    def _time(self, text: bytes) -> int:
        sign, digits = (-1, text[1:]) if text.startswith(b"-") else (1, text)
        seconds, _, fraction = digits.partition(b".")
        if fraction and not fraction.isdigit():
            raise InvalidArgument(f"{self._subject}: a damaged pax header: {text[:40]!r}")
        return sign * (self._decimal(seconds) * 10**9 + int(fraction[:9].ljust(9, b"0")))


def _number(field: bytes) -> int:
    """Octal digits, or base 256 when the highest bit is set (GNU).

    Raises:
        ValueError: it is neither.
    """
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=False) & ~(0x80 << 8 * (len(field) - 1))
        return value - (1 << 8 * len(field) - 1) if field[0] & 0x40 else value
    digits = field.partition(b"\0")[0].strip()
    if digits and not digits.isdigit():
        raise ValueError  # int() alone would take signs and underscores, too
    return int(digits or b"0", 8)


#: Modes and owners, of which there are few.
_usual = lru_cache(maxsize=256)(_number)


def shown(name: str) -> str:
    """A stranger's name as an error shows it: in quotes, without control characters, not too long."""
    return repr(name if len(name) <= 200 else name[:200] + "…")


def begins_archive(head: bytes) -> bool:
    """Whether these first bytes of a stream are an uncompressed archive's: a header whose sum is right, or its end."""
    block = head[:BLOCK]
    if len(block) < BLOCK or not block.strip(b"\0"):
        return len(block) == BLOCK
    digits = block[_CHECKSUM].partition(b"\0")[0].strip()
    return digits.isdigit() and f"{_checksum(block):o}".encode() == digits.lstrip(b"0")


def _checksum(block: bytes) -> int:
    """The sum of a header's bytes, with its own field as spaces."""
    # The low half of this other checksum is the sum of the bytes and 1, modulo more than 256 bytes come to.
    ours = (
        zlib.adler32(block[:256]) & 0xFFFF,
        zlib.adler32(block[256:]) & 0xFFFF,
        zlib.adler32(block[_CHECKSUM]) & 0xFFFF,
    )
    return ours[0] + ours[1] - 1 - ours[2] + 8 * 32


def header(entry: Entry, more: dict[str, bytes] | None = None) -> bytes:
    """The blocks that announce ``entry``: a pax header where the plain one has no room, then the plain one.

    Args:
        more: other pax records.
    """
    name = os.fsencode(entry.name + "/" if entry.kind == DIRECTORY and not entry.name.endswith("/") else entry.name)
    link = os.fsencode(entry.link)
    seconds, nanoseconds = divmod(entry.mtime, 10**9)
    records = {_XATTR + key: value for key, value in entry.xattrs.items()} | (more or {})
    if len(name) > 100 or not name.isascii():
        records["path"] = name
    if len(link) > 100 or not link.isascii():
        records["linkpath"] = link
    if nanoseconds or not 0 <= seconds < 8**11:
        records["mtime"] = _written_time(entry.mtime)
    for key, value, limit in (("size", entry.size, 8**11), ("uid", entry.uid, 8**7), ("gid", entry.gid, 8**7)):
        if value >= limit:
            records[key] = str(value).encode()
    plain = _plain(entry, name[:100], link[:100], min(max(seconds, 0), 8**11 - 1))
    return _extension(records, name) + plain if records else plain


def _plain(entry: Entry, name: bytes, link: bytes, seconds: int) -> bytes:
    # Numbers without room are in the pax header.
    low, high = 8**7, 8**11
    uid, gid = entry.uid if entry.uid < low else 0, entry.gid if entry.gid < low else 0
    size = entry.size if entry.size < high else 0
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (entry.mode, uid, gid, size, seconds)
    link = link.ljust(100, b"\0")
    devices = b"%07o\0%07o\0" % (entry.major, entry.minor)
    parts = (name.ljust(100, b"\0"), numbers, b"        ", entry.kind, link, _USTAR, devices, _REST)
    block = b"".join(parts)
    # The low half of this checksum is the sum of the bytes and 1, as long as that has room there, and it has: two
    # fields of 100 bytes can be anything, the others are digits.
    return b"%b%06o\0 %b" % (block[:148], (zlib.adler32(block) & 0xFFFF) - 1, block[156:])


def global_header(records: dict[str, bytes]) -> bytes:
    """A header that speaks of all entries that follow."""
    return _extension(records, b"", b"g")


def _extension(records: dict[str, bytes], name: bytes, kind: bytes = b"x") -> bytes:
    data = b"".join(_record(os.fsencode(key), records[key]) for key in sorted(records))
    base = name.rstrip(b"/").rpartition(b"/")[2] or b"."
    label = os.fsdecode(b"PaxHeaders/" + (base if base.isascii() else b"entry")[:80])
    plain = _plain(Entry(label, kind, size=len(data)), os.fsencode(label), b"", 0)
    return plain + data + bytes(-len(data) % BLOCK)


def _record(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))  # counting itself may have added a digit
    return b"%d %s=%s\n" % (length, key, value)


def _written_time(mtime: int) -> bytes:
    seconds, nanoseconds = divmod(abs(mtime), 10**9)
    return (b"-" if mtime < 0 else b"") + b"%d.%09d" % (seconds, nanoseconds)
