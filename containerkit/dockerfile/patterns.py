"""Patterns in the modifiers of variables: ``*`` any characters, ``?`` one, everything else is itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

#: Of a pattern, as an expression has it.
_ANY = ".*"


def removed(value: str, pattern: str, escape: str, modifier: str) -> str:
    """``value`` without what matches at its front (``#``, longest ``##``) or its back (``%``, longest ``%%``)."""
    parts = list(_parts(pattern, escape))
    is_front = modifier.startswith("#")
    if not is_front:
        # Read backwards, the back is a front: to try each place before it would take as long again for each.
        value, parts = value[::-1], parts[::-1]
    found = re.match(_expression(parts, is_greedy=len(modifier) == 2), value, re.DOTALL)
    rest = value[found.end() :] if found else value
    return rest if is_front else rest[::-1]


def replaced(value: str, pattern: str, replacement: str, escape: str, *, every: bool) -> Iterator[str]:
    """The pieces of ``value`` with the first match of ``pattern``, or each, replaced; an empty pattern has none."""
    at = 0
    expression = _expression(_parts(pattern, escape), is_greedy=True)
    for found in re.finditer(expression, value, re.DOTALL) if pattern else ():
        # Of ``*``, what is matched at the end of a match is no second one.
        if found.start() == found.end() and value:
            continue
        yield from (value[at : found.start()], replacement)
        at = found.end()
        if not every:
            break
    yield value[at:]


def _parts(pattern: str, escape: str) -> Iterator[str]:
    """Expressions of one character each, or :data:`_ANY`."""
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            yield _ANY
        elif character == escape:
            yield re.escape(next(characters, ""))
        else:
            yield "." if character == "?" else re.escape(character)


def _expression(parts: Iterable[str], *, is_greedy: bool) -> str:
    pieces = [""]
    for part in parts:
        if part == _ANY:
            pieces.append("")
        else:
            pieces[-1] += part
    first, *rest = pieces
    if not rest:
        return first
    # Of each piece but the last the first place is as good as any: to try the others would take exponentially long.
    between = "".join(f"(?>.*?{piece})" for piece in rest[:-1] if piece)
    return f"{first}{between}{'.*' if is_greedy else '.*?'}{rest[-1]}"
