"""The entries of a backup's archive with what layers do without: sparse files, and access control lists as text.

Source: GNU tar manual, "Storing Sparse Files" (formats 1.0, map at the begin of the content, and 0.1, map in a record).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from containerkit.backup import acl
from containerkit.backup.manifest import LARGEST, MAX_ITEMS
from containerkit.errors import InvalidArgument, Unsupported
from containerkit.layers import tar
from containerkit.layers.compression import CHUNK, Readable
from containerkit.layers.tar import Entry, Limits

_SPARSE = "GNU.sparse."
#: No bound on the contents: who unpacks looks at how much room there is. Regions of a stranger's sparse file.
_LIMITS = Limits(total=1 << 62, entries=MAX_ITEMS, header=4 << 20)
_MAX_REGIONS = 1_000_000

#: Bytes, and where in the content they are.
Piece = tuple[int, bytes]
Regions = tuple[tuple[int, int], ...]


class Members(tar.Reader):
    """As :class:`tar.Reader`. Of a sparse file the entry's size is the file's, and :attr:`regions` are known."""

    def __init__(self, stream: Readable, subject: str) -> None:
        super().__init__(stream, subject, _LIMITS)
        self._sparse: dict[str, bytes] = {}
        self.stored = 0  # bytes of the current entry's content in the archive
        self.regions: Regions | None = None

    @property
    def comment(self) -> str:
        """What the archive says of itself so far."""
        return os.fsdecode(self._globals.get("comment", b""))

    def pieces(self) -> Iterator[Piece]:
        """The content of the current entry: all of it, but for the holes."""
        for start, length in self.regions if self.regions is not None else ((0, self.stored),):
            end = start + length
            while start < end:
                data = self.read(min(CHUNK, end - start))
                if not data:
                    raise InvalidArgument(f"{self._subject}: a sparse file is cut off")
                yield start, data
                start += len(data)

    def _finish(self, entry: Entry, records: dict[str, bytes]) -> Entry:
        self._sparse, self.regions = {}, None
        entry = super()._finish(entry, records)
        self.stored = entry.size
        if self._sparse and entry.kind == tar.FILE:
            self._read_map(entry)
        return entry

    def _apply(self, entry: Entry, records: dict[str, bytes]) -> None:
        if any(key.startswith(_SPARSE) for key in records):
            self._sparse = {key: value for key, value in records.items() if key.startswith(_SPARSE)}
            records = {key: value for key, value in records.items() if not key.startswith(_SPARSE)}
        super()._apply(entry, records)
        for attribute, record in acl.RECORDS.items():
            if record in records and attribute not in entry.xattrs:
                value = acl.from_text(records[record].decode("utf-8", "replace"))
                if value is None:
                    raise Unsupported(f"{self._of(entry)}: an access control list with names instead of numbers")
                entry.xattrs[attribute] = value

    def _read_map(self, entry: Entry) -> None:
        said = {key[len(_SPARSE) :]: value for key, value in self._sparse.items()}
        entry.name = os.fsdecode(said.get("name", os.fsencode(entry.name)))
        entry.size = self._decimal(said.get("realsize", said.get("size", b"")))
        if said.get("major") == b"1" and said.get("minor") == b"0":
            numbers = self._map_in_content()
        elif "map" in said:
            numbers = [self._decimal(number) for number in said["map"].split(b",")]
        else:
            raise Unsupported(f"{self._of(entry)}: a sparse file in an old format")
        regions = tuple(zip(numbers[::2], numbers[1::2], strict=len(numbers) % 2 == 0))
        end = 0
        for start, length in regions:
            if start < end:
                raise self._damaged_map(entry)
            end = start + length
        if not end <= entry.size <= LARGEST or sum(length for _, length in regions) != self._left:
            raise self._damaged_map(entry)
        self.regions = tuple(region for region in regions if region[1])

    def _damaged_map(self, entry: Entry) -> InvalidArgument:
        return InvalidArgument(f"{self._of(entry)}: the map of a sparse file is damaged")

    def _map_in_content(self) -> list[int]:
        """Lines of numbers, the first says of how many regions; to the end of a block."""
        text = bytearray()
        count = lines = 0
        while not count or lines < count:
            block = self.read(tar.BLOCK)
            block += self._exactly_of_content(tar.BLOCK - len(block)) if 0 < len(block) < tar.BLOCK else b""
            text += block
            lines += block.count(b"\n")
            if not count and lines:
                count = 1 + 2 * self._decimal(bytes(text.partition(b"\n")[0]))
            if not block or count > 2 * _MAX_REGIONS or len(text) > 50 * _MAX_REGIONS:
                raise InvalidArgument(f"{self._subject}: the map of a sparse file is damaged")
        return [self._decimal(line) for line in bytes(text).split(b"\n")[1:count]]

    def _exactly_of_content(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := self.read(size - len(data))):
            data += more
        return data
