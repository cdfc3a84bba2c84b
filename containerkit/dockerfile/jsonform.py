"""The exec form: a list of strings in JSON.

What begins with ``[`` and is not JSON is the shell form, as ``[ -f x ] && y`` has to be. A list of JSON that holds
anything but strings is an error; what follows the list is ignored. Source: what Docker does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from containerkit.errors import InvalidArgument


def _refuse(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity, which JSON has not


_DECODER = json.JSONDecoder(parse_constant=_refuse)
#: A list as somebody means it: a quoted word first, a bracket last, and not the command ``[ "$x" = y ]``.
_MEANT = re.compile(r"""\[(?:['"“]|\s+['"“][^'"“”]*['"”]\s*[,\]]).*\]\Z""", re.DOTALL)


def read(text: str) -> tuple[str, ...] | None:
    """The strings of the list that ``text`` begins with, None where it does not.

    Raises:
        InvalidArgument: a list of other things than strings.
    """
    if not text.startswith("["):
        return None
    try:
        found, _ = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in found):
        raise InvalidArgument("a list in JSON can hold strings only")
    # Half of a surrogate pair, which JSON can say and nothing can carry.
    return tuple(re.sub(r"[\ud800-\udfff]", "\ufffd", item) for item in found)


def is_meant(text: str) -> bool:
    """Whether the shell form ``text`` most likely was to be a list."""
    return _MEANT.match(text) is not None


def write(items: Sequence[str]) -> str:
    return json.dumps(list(items), ensure_ascii=False)
