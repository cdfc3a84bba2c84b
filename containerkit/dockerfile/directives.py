"""Directives: comments that mean something, at the top of the file, before everything else.

::

    directive = "#" name "=" value         name: syntax, escape, check, in any case; white space where one likes
    check     = setting { ";" setting }    setting: skip=RULE,RULE… or skip=all; error=true or false

The first line that is none ends them: what comes later is a comment. Each may stand there once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from containerkit.dockerfile.problems import shown
from containerkit.errors import InvalidArgument
from containerkit.values import frozen

_LINE = re.compile(r"\s*#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_KNOWN = ("syntax", "escape", "check")
_TRUTH = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}


@frozen
class Directives:
    """``syntax`` is kept and has no effect (another one than Docker's own is noted); ``skip``: rules in lower case."""

    syntax: str = ""
    escape: str = "\\"
    skip: frozenset[str] = frozenset()
    error: bool = False


def read(lines: Sequence[str]) -> tuple[Directives, list[tuple[int, str]]]:
    """The directives at the top of ``lines``, and what is wrong with them: line numbers and messages."""
    found: dict[str, str] = {}
    wrong: list[tuple[int, str]] = []
    directives = Directives()
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line.rstrip("\r\n"))
        name = match[1].lower() if match else ""
        if match is None or name not in _KNOWN:
            break
        if name in found:
            wrong.append((number, f"directive {name}: only one is possible"))
            continue
        found[name] = match[2]
        try:
            directives = _with(directives, name, match[2])
        except InvalidArgument as error:
            wrong.append((number, error.message))
    return directives, wrong


def _with(known: Directives, name: str, value: str) -> Directives:
    if name == "syntax":
        return Directives(value, known.escape, known.skip, known.error)
    if name == "escape":
        if value not in ("\\", "`"):
            raise InvalidArgument(f"directive escape: {shown(value)} is neither \\ nor `")
        return Directives(known.syntax, value, known.skip, known.error)
    skip, error = _check(value)
    return Directives(known.syntax, known.escape, skip, error)


def _check(value: str) -> tuple[frozenset[str], bool]:
    skip: frozenset[str] = frozenset()
    is_error = False
    for setting in value.split(";"):
        name, equals, said = (part.strip() for part in setting.partition("="))
        if name.lower() == "skip" and equals:
            skip = frozenset(rule.strip().lower() for rule in said.split(","))
        elif name.lower() == "error" and said.lower() in _TRUTH:
            is_error = _TRUTH[said.lower()]
        else:
            raise InvalidArgument(f"directive check: {shown(setting)} is neither skip=RULE,RULE nor error=true")
    return skip, is_error
