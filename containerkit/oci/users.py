"""``--user`` and the container's own ``/etc/passwd`` and ``/etc/group``: never the host's, never NSS.

Source: docker run, USER; passwd(5), group(5).
"""

from __future__ import annotations

from containerkit.errors import InvalidArgument
from containerkit.values import frozen

_MAX_ID = 2**31 - 1
#: The last number but one: that one means "no change".
_NOBODY = 2**32 - 2


@frozen
class Identity:
    """Numbers, and the home directory for ``HOME``.

    Args:
        groups: all that it is in, ``gid`` the first: a file that shuts that group out stays shut to a program that
            takes another one (CVE-2022-36109).
    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def resolve(user: str, passwd: str, group: str, group_add: tuple[str, ...] = ()) -> Identity:
    """Who ``user`` is.

    Args:
        user: empty (root), ``"name"``, ``"uid"``, each with ``":group"`` where wanted.
        passwd: the text of the container's ``/etc/passwd``, empty when it has none.
        group: that of its ``/etc/group``.
        group_add: further groups, names or numbers.

    Raises:
        InvalidArgument: a name that is not there, a number out of range, or nothing on one side of a colon: that is a
            variable somebody forgot to set, and not root.
    """
    name, colon, group_name = user.partition(":")
    if colon and not (name and group_name):
        raise InvalidArgument(f"user {user!r}: expected a name or number on both sides of the colon")
    entry = _passwd_entry(name or "0", passwd)
    if entry is None and not _is_number(name) and name:
        raise InvalidArgument(f"user {name}: not in the container's /etc/passwd")
    uid = int(entry[2]) if entry else _number("user", name or "0")
    gid = _group_id(group_name, group) if group_name else int(entry[3]) if entry else 0
    groups = [gid]
    if not group_name:
        groups += [int(row[2]) for row in _rows(group, 4) if entry and entry[0] in row[3].split(",")]
    groups += [_group_id(item, group) for item in group_add]
    home = entry[5] if entry and len(entry) > 5 and entry[5] else ("/root" if uid == 0 else "/")
    return Identity(uid, gid, tuple(dict.fromkeys(groups)), home)


def _rows(text: str, width: int) -> list[list[str]]:
    # Not splitlines(): a form feed ends no line here.
    rows = [line.strip().split(":") for line in text.split("\n")]
    return [row for row in rows if len(row) >= width and _is_id(row[2])]


def _passwd_entry(name: str, passwd: str) -> list[str] | None:
    # A name that looks like a number is first a name, as in docker; then the row of that uid gives group and home.
    rows = [row for row in _rows(passwd, 4) if _is_id(row[3])]
    for column in (0, 2):
        for row in rows:
            if row[column] == name:
                return row
    return None


def _group_id(name: str, group: str) -> int:
    for row in _rows(group, 3):
        if row[0] == name:
            return int(row[2])
    if _is_number(name):
        return _number("group", name)
    raise InvalidArgument(f"group {name}: not in the container's /etc/group")


def _is_number(text: str) -> bool:
    # Other scripts have digits too, which int() takes.
    return text.isascii() and text.isdigit()


def _is_id(text: str) -> bool:
    """Whether it is one that the kernel knows: a row with another is none."""
    return _is_number(text) and len(text) <= 10 and int(text) <= _NOBODY


def _number(kind: str, text: str) -> int:
    if len(text) > 10 or int(text) > _MAX_ID:
        raise InvalidArgument(f"{kind} {text}: out of range; the largest is {_MAX_ID}")
    return int(text)
