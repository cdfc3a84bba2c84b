"""A log of any size as a window of lines that is moved over it: only what is shown is read.

A *place* is a line: the block (logfiles.py) that it begins in, and its number among the lines that begin there. The
file is known by its inode, so that a place stays what it is when the log is rotated.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from containerkit.results import Chunk, LogLine, split_lines
from containerkit.supervise.output.logfiles import LogFiles

#: A line is read on into so many blocks after the one that it begins in: 256 KiB of it are enough to look at.
_LONG = 4
_STREAMS = (1, 2)


class Place(NamedTuple):
    """A line: the file by its inode, where the block begins in it, and the line's number there."""

    inode: int
    offset: int
    line: int


class Window(NamedTuple):
    """Lines that follow one another.

    Args:
        first: where the first of them is; None when there is none.
        is_end: nothing follows them.
        part: where in the log they begin, 0 to 1.
    """

    lines: list[LogLine]
    first: Place | None
    is_end: bool
    part: float


class LogPages:
    """The log at ``path`` as it is now: its files are open, so make a new one for each look. A context manager."""

    def __init__(self, path: str) -> None:
        self._files = LogFiles(path)
        self._count = len(self._files.blocks)
        self._inodes = {descriptor: os.fstat(descriptor).st_ino for descriptor in self._files.descriptors}
        self._chunks = lru_cache(2 * _LONG)(self._files.chunks)
        self._data = lru_cache(4 * _LONG)(self._files.data)
        self._lines = lru_cache(2 * _LONG)(self._read_lines)

    def __enter__(self) -> LogPages:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    # -- windows -----------------------------------------------------------------------------------------------------

    def last(self, count: int) -> Window:
        """The last ``count`` lines."""
        return self._window(*self._move(self._count, 0, -count), count)

    def ends(self, count: int) -> list[str]:
        """What the last ``count`` lines end with: the last blocks alone are read, however long a line is."""
        found: list[str] = []
        for back in (1, _LONG):
            first = max(0, self._count - back)
            chunks = chain.from_iterable(self._chunks(block) for block in range(first, self._count))
            found = [line.text for _, line in split_lines(chunks, cut=first > 0)]
            # One more than asked for: the first may lack its beginning.
            if len(found) > count:
                break
        return found[-count:]

    def at(self, part: float, count: int) -> Window:
        """Lines from that part of the log on, 0 to 1."""
        return self._window(max(0, min(int(part * self._count), self._count - 1)), 0, count)

    def near(self, place: Place | None, count: int, move: int = 0) -> Window:
        """The lines from ``move`` lines after ``place`` on, or before it when that is negative."""
        return self._window(*self._move(*self._find(place), move), count)

    def distance(self, first: Place | None, place: Place | None) -> int:
        """How many lines after ``first`` the other place is; negative when it is before that."""
        (block, line), (other, number) = self._find(first), self._find(place)
        between = sum(len(self._lines(one)) for one in range(min(block, other), max(block, other)))
        return (between if other >= block else -between) + number - line

    def _window(self, block: int, line: int, count: int) -> Window:
        first, lines = None, list[LogLine]()
        part = block / max(self._count, 1)
        while block < self._count and len(lines) <= count:
            found = self._lines(block)[line:]
            if found and first is None:
                first, part = self._place(block, line), block / self._count
            lines += found
            block, line = block + 1, 0
        return Window(lines[:count], first, len(lines) <= count, part)

    def _move(self, block: int, line: int, by: int) -> tuple[int, int]:
        line += by
        while line < 0 and block > 0:
            block -= 1
            line += len(self._lines(block))
        line = max(line, 0)
        while block < self._count - 1 and line >= (here := len(self._lines(block))):
            block, line = block + 1, line - here
        return block, line

    def _find(self, place: Place | None) -> tuple[int, int]:
        for block, (descriptor, offset) in enumerate(self._files.blocks):
            if place is not None and (self._inodes[descriptor], offset) == place[:2]:
                return block, place.line
        return 0, 0  # it was rotated away: the oldest that is left

    def _place(self, block: int, line: int) -> Place:
        descriptor, offset = self._files.blocks[block]
        return Place(self._inodes[descriptor], offset, line)

    # -- the lines of a block ----------------------------------------------------------------------------------------

    def _read_lines(self, block: int) -> list[LogLine]:
        """Those that begin in it, with what of them is in the blocks after it."""
        rest = (self._rest(block, stream) for stream in _STREAMS)
        return [line for _, line in split_lines(chain(self._own(block), *rest))]

    def _own(self, block: int) -> Iterator[Chunk]:
        """Without the ends of lines that began before."""
        within = {stream for stream in _STREAMS if self._is_within_a_line(block, stream)}
        for chunk in self._chunks(block):
            data = chunk.data
            if chunk.stream in within:
                _, found, data = data.partition(b"\n")
                within -= {chunk.stream} if found else set()
            if data:
                yield Chunk(chunk.time, chunk.stream, data)

    def _is_within_a_line(self, block: int, stream: int) -> bool:
        """Whether the stream has a line that began before the block and has not ended there."""
        for before in range(block - 1, max(block - 1 - _LONG, -1), -1):
            for chunk in reversed(self._chunks(before)):
                if chunk.stream == stream:
                    return not chunk.data.endswith(b"\n")
        return False

    def _rest(self, block: int, stream: int) -> Iterator[Chunk]:
        if not any(True for chunk in self._own(block) if chunk.stream == stream):
            return
        if not self._is_within_a_line(block + 1, stream):
            return
        for after in range(block + 1, min(block + 1 + _LONG, self._count)):
            for chunk in self._chunks(after):
                if chunk.stream == stream:
                    head, found, _ = chunk.data.partition(b"\n")
                    yield Chunk(chunk.time, stream, head + found)
                    if found:
                        return

    # -- looking for words -------------------------------------------------------------------------------------------

    def search(
        self, words: str, place: Place | None, *, backwards: bool, is_over: Callable[[float], bool]
    ) -> Place | None:
        """The next line after ``place`` (or before it) that has ``words`` in it, in capitals or not; None for none.

        Args:
            place: None for the beginning of the log, or backwards its end.
            is_over: told now and then which part of the log has been looked at; whether to break off.
        """
        needle, step = words.lower(), -1 if backwards else 1
        block, begin = (self._count - 1 if backwards else 0), None if place is None else place.line
        if place is not None:
            block, _ = self._find(place)
        for looked, here in enumerate(range(block, -1 if backwards else self._count, step)):
            if looked % 64 == 0 and is_over(looked / self._count):
                return None
            # Most blocks do not have them: their lines need not be made.
            if self._has(here, needle) and (found := self._match(here, needle, begin, step)) is not None:
                return self._place(here, found)
            begin = None
        return None

    def _has(self, block: int, needle: str) -> bool:
        return any(needle in self._text(block, stream).decode(errors="replace").lower() for stream in _STREAMS)

    def _text(self, block: int, stream: int) -> bytes:
        """The block's data, with the rest of its last line."""
        text = self._data(block, stream)
        for after in range(block + 1, min(block + 1 + _LONG, self._count) if text else 0):
            head, found, _ = self._data(after, stream).partition(b"\n")
            text += head
            if found:
                break
        return text

    def _match(self, block: int, needle: str, after: int | None, step: int) -> int | None:
        lines = self._lines(block)
        numbers = range(len(lines)) if step > 0 else range(len(lines) - 1, -1, -1)
        return next(
            (
                number for number in numbers
                if (after is None or (number - after) * step > 0) and needle in lines[number].text.lower()
            ),
            None,
        )  # fmt: skip
