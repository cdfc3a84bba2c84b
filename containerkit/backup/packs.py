"""Blocks in a directory, each kept once, many to a file.

Words: a *block* is a part of a file's content, or all of a small one's, or lines of a manifest, and has the name of
its content: its SHA-256, or, where there is a passphrase, a keyed digest, which tells nobody what it is. A *pack* is a
file of many blocks, for the sake of many small files; its name begins with the time when it was begun. Packs are never
changed. A manifest's block that turns out to be damaged is put into another pack by the next backup that has it: of
several, the newest one counts. At the end of each is what is in it::

    block block …           each compressed with zstd by itself, then encrypted where there is a passphrase
    rows                    32 bytes of name, offset, length here (little-endian, 8 and 4 bytes)
    how many rows there are, the rows' SHA-256, "CKPACK1\\n"
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

from containerkit.backup.secrecy import Secrecy
from containerkit.errors import InvalidArgument
from containerkit.linux.parts import Part

#: Bytes of a block at most. A larger one finds less that is the same, a smaller one makes longer lists. Blocks are cut
#: at multiples of it, not by content: databases change in place, and no well-kept library cuts as fast as a disk reads.
BLOCK = 1 << 20
_PACK = 32 << 20
_ROW = struct.Struct("<32sQL")
_FOOTER = struct.Struct("<Q32s8s")
_MAGIC = b"CKPACK1\n"
_SUFFIX = ".pack"


class Packs:
    """The packs of a directory: what is there, and where."""

    def __init__(self, path: Path, secrecy: Secrecy) -> None:
        self._path, self._secrecy = path, secrecy
        self._names: list[str] = []
        self._where: dict[bytes, int] = {}  # name → pack, offset and length in one number: there are many
        self._open: dict[int, BinaryIO] = {}
        #: Packs that cannot be read; what was in them is stored again by the next backup that has it.
        self.damaged: list[str] = []
        for name in sorted(os.listdir(path)):
            if name.endswith(_SUFFIX):
                try:
                    self._add(name, self._rows(name))
                except InvalidArgument:
                    self.damaged.append(name)

    def _add(self, name: str, rows: list[tuple[bytes, int, int]]) -> None:
        number = len(self._names)
        self._names.append(name)
        for block, offset, length in rows:
            self._where[block] = number << 64 | offset << 24 | length

    def _rows(self, name: str) -> list[tuple[bytes, int, int]]:
        path = self._path / name
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _FOOTER.size))
            footer = file.read()
            if len(footer) < _FOOTER.size:
                raise damaged(path)
            count, digest, magic = _FOOTER.unpack(footer)
            start = size - _FOOTER.size - count * _ROW.size
            if magic != _MAGIC or start < 0:
                raise damaged(path)
            file.seek(start)
            rows = file.read(count * _ROW.size)
        if hashlib.sha256(rows).digest() != digest:
            raise damaged(path)
        found = list(_ROW.iter_unpack(rows))
        if any(offset + length > start or length >> 24 or offset >> 40 for _, offset, length in found):
            raise damaged(path)
        return found

    def __contains__(self, block: bytes) -> bool:
        return block in self._where

    def length(self, block: bytes) -> int:
        """Bytes that a block takes here; 0 for one that is not there."""
        found = self._where.get(block)
        return 0 if found is None else _parts(found)[2]

    def read(self, block: bytes, subject: str) -> bytes:
        """A block's content.

        Raises:
            InvalidArgument: it is not there, or damaged.
        """
        found = self._where.get(block)
        if found is None:
            lost = f" (damaged: {', '.join(str(self._path / name) for name in self.damaged)})" if self.damaged else ""
            raise InvalidArgument(f"{subject}: damaged: the block {block.hex()[:12]} is missing{lost}")
        number, offset, length = _parts(found)
        path = self._path / self._names[number]
        try:
            file = self._file(number, path)
            file.seek(offset)
            data = unpacked(self._secrecy.open(file.read(length)))
            if self._secrecy.name(data) != block:
                raise ValueError("has another digest")
        except (OSError, ValueError) as error:
            self.forget(block)
            raise InvalidArgument(f"{subject}: damaged: {path}") from error
        return data

    def raw(self, block: bytes) -> bytes:
        """A block as it is kept."""
        number, offset, length = _parts(self._where[block])
        file = self._file(number, self._path / self._names[number])
        file.seek(offset)
        return file.read(length)

    def _file(self, number: int, path: Path) -> BinaryIO:
        if number not in self._open:
            if len(self._open) >= 32:
                self._open.pop(next(iter(self._open))).close()
            self._open[number] = open(path, "rb")
        return self._open[number]

    def forget(self, block: bytes) -> None:
        """It is to be put anew."""
        self._where.pop(block, None)

    def by_pack(self) -> Iterator[tuple[str, list[tuple[bytes, int]]]]:
        """The blocks of each pack, with the bytes that they take there."""
        found: dict[int, list[tuple[bytes, int]]] = {number: [] for number in range(len(self._names))}
        for block, where in self._where.items():
            number, _, length = _parts(where)
            found[number].append((block, length))
        for number, blocks in found.items():
            if self._names[number]:
                yield self._names[number], blocks

    def remove(self, name: str) -> int:
        """Delete a pack; bytes that are free then. Blocks that are nowhere else are gone."""
        path = self._path / name
        number = self._names.index(name)
        self._where = {block: where for block, where in self._where.items() if _parts(where)[0] != number}
        if number in self._open:
            self._open.pop(number).close()
        self._names[number] = ""  # its number stays its own
        size = path.stat().st_size
        path.unlink()
        return size

    def close(self) -> None:
        """Let files go."""
        while self._open:
            self._open.popitem()[1].close()

    def writer(self) -> Writer:
        """What adds blocks."""
        return Writer(self._path, self)


def _parts(where: int) -> tuple[int, int, int]:
    """Pack, offset, length."""
    return where >> 64, where >> 24 & 0xFF_FFFF_FFFF, where & 0xFF_FFFF


class Writer:
    """Puts blocks into new packs. A pack appears under its name when it is on the disk."""

    def __init__(self, path: Path, packs: Packs) -> None:
        self._path, self._packs = path, packs
        self._part: Part | None = None
        self._rows: list[tuple[bytes, int, int]] = []
        self._pending: set[bytes] = set()
        self._size = 0
        self.added = 0

    def __contains__(self, block: bytes) -> bool:
        return block in self._pending or block in self._packs

    def put(self, block: bytes, kept: bytes) -> None:
        """Add a block as it is to be kept; nothing, where it is there."""
        if block in self:
            return
        if self._part is None:
            self._part = Part(self._path / f"{time.time_ns():016x}-{os.urandom(8).hex()}{_SUFFIX}")
        self._part.file.write(kept)
        self._rows.append((block, self._size, len(kept)))
        self._pending.add(block)
        self._size += len(kept)
        if self._size >= _PACK:
            self.finish()

    def replace(self, blocks: list[tuple[bytes, bytes]]) -> None:
        """Put blocks that are there into a new pack, which is on the disk after this: the old one may go."""
        for block, kept in blocks:
            self._packs.forget(block)
            self.put(block, kept)
        self.finish()

    def finish(self) -> None:
        """Everything that was put is on the disk."""
        if self._part is None:
            return
        rows = b"".join(_ROW.pack(*row) for row in self._rows)
        self._part.file.write(rows + _FOOTER.pack(len(self._rows), hashlib.sha256(rows).digest(), _MAGIC))
        self.added += self._part.file.tell()
        self._part.finish()
        self._packs._add(os.path.basename(self._part.path), self._rows)
        self._rows, self._size = [], 0
        self._pending.clear()
        self.discard()

    def discard(self) -> None:
        """What is not finished is gone."""
        if self._part is not None:
            self._part.close()
            self._part = None


def packed(data: bytes) -> bytes:
    """A block compressed. To be called from any thread."""
    return zstandard.ZstdCompressor(level=1).compress(data)


def unpacked(data: bytes) -> bytes:
    """And back.

    Raises:
        ValueError: it is none.
    """
    try:
        # What a frame says of its size counts more than the bound.
        if zstandard.frame_content_size(data) > BLOCK:
            raise ValueError("larger than a block")
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=BLOCK)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def damaged(path: Path) -> InvalidArgument:
    """The error for a file that is not what it was."""
    return InvalidArgument(f"backup {path}: damaged")
