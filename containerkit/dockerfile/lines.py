"""Bytes to lines, and lines to logical lines: one for each instruction."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from containerkit.dockerfile import heredoc
from containerkit.dockerfile.heredoc import Heredoc
from containerkit.errors import InvalidArgument
from containerkit.values import frozen


class NotText(InvalidArgument):
    """What no text can hold, and in which line."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@frozen
class Line:
    """An instruction with its continuations joined.

    Args:
        text: what is to be read, without white space at its ends.
        first, last: its lines in the file, those of its heredocs included.
        heredocs: with their contents.
        has_gap: an empty line stands among its continuations.
        unended: the name of a heredoc that the file's end cut off.
    """

    text: str
    first: int
    last: int
    heredocs: tuple[Heredoc, ...] = ()
    has_gap: bool = False
    unended: str = ""


def decode(data: str | bytes) -> list[str]:
    """The lines of a file, each with its end.

    Raises:
        NotText: not UTF-8, or with a NUL.
    """
    if isinstance(data, str):
        text = data
    else:
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            number = data.count(b"\n", 0, error.start) + 1
            raise NotText(f"byte {data[error.start]:#04x} is not UTF-8", number) from error
    text = text.removeprefix("\ufeff")
    if (at := text.find("\0")) >= 0:
        number = text.count("\n", 0, at) + 1
        raise NotText("holds a NUL: not a text", number)
    # Not splitlines(): form feeds and the like end no line here.
    return [line for line in re.split(r"(?<=\n)", text) if line]


def logical(lines: Sequence[str], escape: str) -> Iterator[Line]:
    """The instructions, in order."""
    continued = re.compile(rf"(?:(?<=[^{re.escape(escape)}])|^){re.escape(escape)}[ \t]*$")
    at = 0
    while at < len(lines):
        line, after = _joined(lines, at, continued)
        at = after
        if not line.text:
            continue
        yield (taken := _with_heredocs(line, lines, after))
        at = taken.last


def _joined(lines: Sequence[str], start: int, continued: re.Pattern[str]) -> tuple[Line, int]:
    """The instruction that begins at ``start`` (an index), and the index after it; no text where there is none."""
    parts: list[str] = []
    has_gap, at, is_open = False, start, True
    while is_open and at < len(lines):
        line = lines[at].rstrip("\r\n")
        at += 1
        bare = line.strip()
        if bare.startswith("#") or (not bare and parts):
            # Within an instruction neither ends it; an empty one most likely should have.
            has_gap = has_gap or not bare
            is_open = bool(parts)
            continue
        cut = continued.sub("", line if parts else line.lstrip())
        is_open = len(cut) < len(line if parts else line.lstrip())
        parts.append(cut)
    return Line("".join(parts).strip(), start + 1, at, has_gap=has_gap), at


def _with_heredocs(line: Line, lines: Sequence[str], start: int) -> Line:
    found, at = [], start
    for one in heredoc.announced(line.text):
        end = next((index for index in range(at, len(lines)) if one.ends_with(lines[index])), None)
        if end is None:
            return replace(line, last=len(lines), unended=one.name)
        found.append(replace(one, content="".join(lines[at:end])))
        at = end + 1
    return replace(line, last=at, heredocs=tuple(found)) if found else line
