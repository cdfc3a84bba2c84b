"""``--chmod``: what becomes of a file's mode.

Source: POSIX.1-2017, chmod, "Extended Description"; without a who, all are meant, whatever the umask is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from containerkit.errors import InvalidArgument

#: A mode, and whether it is a directory's, to another mode.
Change = Callable[[int, bool], int]
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_SPECIAL = {"u": 0o4000, "g": 0o2000, "o": 0}


def parse(text: str) -> Change:
    """What ``--chmod=text`` does.

    Args:
        text: an octal number up to 7777, or clauses as chmod(1) has them: ``u=rwX,go=rX``.

    Raises:
        InvalidArgument: it is neither.
    """
    if re.fullmatch(r"[0-7]{1,5}", text) and int(text, 8) <= 0o7777:
        mode = int(text, 8)
        return lambda before, is_directory: mode
    clauses = [_CLAUSE.fullmatch(clause) for clause in text.split(",")]
    if not all(clauses):
        raise InvalidArgument(f"--chmod={text}: expected an octal mode up to 7777, or one like u=rwX,go=rX")
    actions = [
        (set(found[1] or "a"), sign, what) for found in clauses if found for sign, what in _ACTION.findall(found[2])
    ]

    def change(mode: int, is_directory: bool) -> int:
        for who, sign, what in actions:
            mode = _changed(mode, is_directory, {"u", "g", "o"} if "a" in who else who, sign, what)
        return mode

    return change


def _changed(mode: int, is_directory: bool, who: set[str], sign: str, what: str) -> int:
    bits = sum(_bits(mode, is_directory, one, what) for one in who)
    if "t" in what and who == {"u", "g", "o"}:
        bits |= 0o1000
    if sign == "+":
        return mode | bits
    if sign == "-":
        return mode & ~bits
    cleared = sum(7 << _SHIFTS[one] | (0 if is_directory else _SPECIAL[one]) for one in who)
    return mode & ~cleared | bits


def _bits(mode: int, is_directory: bool, who: str, what: str) -> int:
    if what in ("u", "g", "o"):
        return (mode >> _SHIFTS[what] & 7) << _SHIFTS[who]
    found = sum(value for letter, value in (("r", 4), ("w", 2), ("x", 1)) if letter in what)
    if "X" in what and (is_directory or mode & 0o111):
        found |= 1
    return found << _SHIFTS[who] | (_SPECIAL[who] if "s" in what else 0)
