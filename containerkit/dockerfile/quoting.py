"""Values as words of instructions: with the quotes and escapes that make them mean what they are."""

from __future__ import annotations

import re
from collections.abc import Iterable

from containerkit.dockerfile.problems import shown
from containerkit.errors import InvalidArgument

_SAFE = re.compile(r"[\w@%+=:,./-]+", re.ASCII)


def word(value: str) -> str:
    """A word that expands to ``value``, in quotes where it needs them.

    Raises:
        InvalidArgument: it holds a line break, for which a Dockerfile has no words.
    """
    _refuse_breaks(value)
    return value if _SAFE.fullmatch(value) else '"' + re.sub(r'(["$\\])', r"\\\1", value) + '"'


def item(value: str) -> str:
    """As :func:`word`, where what is around it says where it ends: in a list, in a flag."""
    _refuse_breaks(value)
    return re.sub(r"""(["'$\\])""", r"\\\1", value)


def pair(pair: Iterable[str]) -> tuple[str, str]:
    """A name and its value, as ENV and LABEL have them."""
    name, value = pair
    if "=" in name:
        raise InvalidArgument(f"name {shown(name)}: holds a =, which an instruction cannot say")
    return word(name), word(value) if value else ""


def _refuse_breaks(value: str) -> None:
    if "\n" in value or "\r" in value:
        raise InvalidArgument(f"value {shown(value)}: holds a line break, which an instruction cannot say")
