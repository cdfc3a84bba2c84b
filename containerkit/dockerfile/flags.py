"""Options of instructions: ``--name=value`` between the keyword and what it is about.

::

    flag  = "--" name [ "=" value ]     quotes in it are left out; "\\" takes the next character as it is
    end   = "--"                        what follows is no flag
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from containerkit.dockerfile.problems import shown
from containerkit.errors import InvalidArgument, suggestion
from containerkit.values import frozen

#: ``text`` once, ``truth`` with or without a value, ``list`` as often as one likes.
Kind = Literal["text", "truth", "list"]

_FILES: Mapping[str, Kind] = {"chown": "text", "chmod": "text", "link": "truth", "exclude": "list"}
_KNOWN: Mapping[str, Mapping[str, Kind]] = {
    "FROM": {"platform": "text"},
    "RUN": {"device": "list", "mount": "list", "network": "text", "security": "text"},
    "COPY": {"from": "text", "parents": "truth", **_FILES},
    "ADD": {"checksum": "text", "keep-git-dir": "truth", "unpack": "truth", **_FILES},
    "HEALTHCHECK": {
        "interval": "text", "timeout": "text", "start-period": "text", "start-interval": "text", "retries": "text",
    },
}  # fmt: skip
_WORD = re.compile(r"""(?:[^\s'"\\]|\\.?|'(?:[^'\\]|\\.)*(?:'|\\?\Z)|"(?:[^"\\]|\\.)*(?:"|\\?\Z))+""", re.DOTALL)
_MARKS = re.compile(r"""\\(.?)|['"]""", re.DOTALL)


@frozen
class Flags:
    """What was said; a flag that was not is empty, False or without items."""

    texts: Mapping[str, str]
    truths: Mapping[str, bool | None]
    lists: Mapping[str, tuple[str, ...]]


def take(text: str) -> tuple[list[str], str]:
    """The flags at the beginning of ``text``, without their quotes, and the rest."""
    found: list[str] = []
    at = 0
    while text.startswith("--", at) and (match := _WORD.match(text, at)):
        at = match.end()
        while text[at : at + 1].isspace():
            at += 1
        if match[0] == "--":
            break
        found.append(_plain(match[0]))
    return found, text[at:]


def _plain(word: str) -> str:
    # A quote inside quotes of the other kind is a character of its own.
    parts, at, quote = [], 0, ""
    for mark in _MARKS.finditer(word):
        parts.append(word[at : mark.start()])
        at = mark.end()
        if mark[0].startswith("\\"):
            parts.append(mark[1])
        elif quote in ("", mark[0]):
            quote = "" if quote else mark[0]
        else:
            parts.append(mark[0])
    return "".join(parts) + word[at:]


def read(keyword: str, found: Sequence[str]) -> Flags:
    """The flags of one instruction.

    Raises:
        InvalidArgument: one that the instruction has not, one without its value, one twice.
    """
    known = _KNOWN.get(keyword, {})
    flags = Flags({}, {}, {})
    texts: dict[str, str] = {}
    truths: dict[str, bool | None] = {}
    lists: dict[str, list[str]] = {}
    for flag in found:
        name, equals, value = flag[2:].partition("=")
        kind = known.get(name)
        if kind is None:
            raise InvalidArgument(f"{keyword}: unknown flag --{name[:60]}{_instead(keyword, name, known)}")
        if name in texts or name in truths:
            raise InvalidArgument(f"{keyword}: --{name} is there twice")
        if kind == "truth":
            truths[name] = _truth(keyword, name, value) if equals else True
        elif not equals:
            raise InvalidArgument(f"{keyword}: --{name} needs a value (--{name}=…)")
        elif kind == "list":
            lists.setdefault(name, []).append(value)
        else:
            texts[name] = value
    flags = Flags(texts, truths, {name: tuple(values) for name, values in lists.items()})
    return flags


def _instead(keyword: str, name: str, known: Iterable[str]) -> str:
    if near := suggestion(name, known, before="--"):
        return near
    if not known:
        return f" ({keyword} has none; -- before the rest ends flags)"
    return " (there are " + ", ".join(f"--{one}" for one in known) + ")"


def _truth(keyword: str, name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise InvalidArgument(f"{keyword}: --{name}={value}: {shown(value)} is neither true nor false")
    return value.lower() == "true"


def write(name: str, value: str | bool) -> str:
    """A flag as it is read again."""
    if isinstance(value, bool):
        return f"--{name}" if value else f"--{name}=false"
    return f"--{name}=" + re.sub(r"""([\s'"\\])""", r"\\\1", value)
