"""Patterns in the modifiers of variables: ``*`` any characters, ``?`` one, everything else is itself."""

from __future__ import annotations

import re


def removed(value: str, pattern: str, escape: str, modifier: str) -> str:
    """``value`` without what matches at its front (``#``, longest ``##``) or its back (``%``, longest ``%%``)."""
    is_longest = len(modifier) == 2
    if modifier.startswith("#"):
        found = re.match(_expression(pattern, escape, is_greedy=is_longest), value, re.DOTALL)
        return value[found.end() :] if found else value
    whole = re.compile(_expression(pattern, escape, is_greedy=True), re.DOTALL)
    starts = range(len(value) + 1) if is_longest else range(len(value), -1, -1)
    return next((value[:start] for start in starts if whole.fullmatch(value, start)), value)


def replaced(value: str, pattern: str, replacement: str, escape: str, *, every: bool) -> str:
    """``value`` with the first match of ``pattern``, or each, replaced; an empty pattern matches nothing."""
    if not pattern:
        return value
    parts, at = [], 0
    for found in re.finditer(_expression(pattern, escape, is_greedy=True), value, re.DOTALL):
        # Of ``*``, what is matched at the end of a match is no second one.
        if found.start() == found.end() and value:
            continue
        parts += [value[at : found.start()], replacement]
        at = found.end()
        if not every:
            break
    return "".join(parts) + value[at:]


def _expression(pattern: str, escape: str, *, is_greedy: bool) -> str:
    pieces, characters = [""], iter(pattern)
    for character in characters:
        if character == "*":
            pieces.append("")
        elif character == escape:
            pieces[-1] += re.escape(next(characters, ""))
        else:
            pieces[-1] += "." if character == "?" else re.escape(character)
    first, *rest = pieces
    if not rest:
        return first
    # Of each piece but the last the first place is as good as any: to try the others would take exponentially long.
    between = "".join(f"(?>.*?{piece})" for piece in rest[:-1] if piece)
    return f"{first}{between}{'.*' if is_greedy else '.*?'}{rest[-1]}"
