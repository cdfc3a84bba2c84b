"""Where something is, what is wrong with it, and how that is shown."""

from __future__ import annotations

from collections.abc import Sequence

from containerkit.errors import BuildError
from containerkit.values import frozen
from containerkit.views.text import plain

#: So many lines before and after are shown; of an instruction of many lines, so many; of one line, so many characters.
_AROUND, _SHOWN, _WIDTH = 2, 6, 160
#: So many problems a message says.
_SAID = 50


@frozen
class Location:
    """The lines of a file, counted from 1, both included; 0 where what ``name`` says is all."""

    name: str = ""
    first: int = 0
    last: int = 0

    def __str__(self) -> str:
        return f"{self.name}:{self.first}" if self.first else self.name


NOWHERE = Location()


@frozen
class Problem:
    """What keeps a file from being built. ``excerpt``: the lines around it, its own marked."""

    message: str
    location: Location
    excerpt: str = ""

    def __str__(self) -> str:
        return f"{self.location}: {self.message}" + (f"\n{self.excerpt}" if self.excerpt else "")


@frozen
class Warning:
    """What a rule has to say of a file that can be built."""

    rule: str
    message: str
    location: Location
    help: str = ""

    def __str__(self) -> str:
        return f"{self.location}: {self.rule}: {self.message}"


def excerpt(lines: Sequence[str], location: Location) -> str:
    """The lines of ``location`` with their numbers, ``>>>`` before each, and some around them."""
    last = min(location.last, location.first + _SHOWN - 1)
    shown = range(max(1, location.first - _AROUND), min(len(lines), last + _AROUND) + 1)
    return "\n".join(f"{_mark(location, number)} {number:4} | {_cut(lines[number - 1])}".rstrip() for number in shown)


def _mark(location: Location, number: int) -> str:
    return ">>>" if location.first <= number <= location.last else "   "


def _cut(line: str) -> str:
    text = "".join(c if c.isprintable() else " " for c in line[: _WIDTH + 1].rstrip("\r\n").expandtabs(4))
    return text if len(text) <= _WIDTH else text[:_WIDTH] + "…"


def failure(problems: Sequence[Problem]) -> BuildError:
    """The error that has them all, and says as many as somebody reads."""
    said = [*map(str, problems[:_SAID]), *([f"and {len(problems) - _SAID} more"] if len(problems) > _SAID else [])]
    return BuildError("\n\n".join(said), problems=tuple(problems))


def shown(text: str) -> str:
    """Somebody's words, quoted for a message."""
    return repr(plain(text, 60))
