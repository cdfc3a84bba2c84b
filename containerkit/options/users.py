"""The grammar of ``userns``: whose users a container's users are."""

from __future__ import annotations

import re
from typing import Any

from containerkit.errors import InvalidArgument

_KEEP_ID = re.compile(r"keep-id(?::(?P<parts>.*))?", re.DOTALL)
_PART = re.compile(r"(?P<name>uid|gid)=(?P<number>[0-9]{1,10})")
_MAX_ID = 2**31 - 1


def userns(value: Any, option: str) -> str:
    """As it was written.

    Raises:
        InvalidArgument: none of the words, or a keep-id of another form.
    """
    text = str(value)
    if text in ("host", "remap") or (text.startswith("container:") and text != "container:"):
        return text
    if not _KEEP_ID.fullmatch(text):
        raise InvalidArgument(
            f'{option} {text!r}: expected "host", "remap", "keep-id", "keep-id:uid=1000,gid=100" or "container:NAME"'
        )
    keep_id(text, option)
    return text


def keep_id(text: str, option: str = "userns") -> tuple[int | None, int | None] | None:
    """User and group that the person shall be inside, None for the same as outside; None for another word.

    Raises:
        InvalidArgument: not of the form ``keep-id:uid=1000,gid=100``.
    """
    found = _KEEP_ID.fullmatch(text)
    if found is None:
        return None
    ids: dict[str, int] = {}
    for part in [] if found["parts"] is None else found["parts"].split(","):
        known = _PART.fullmatch(part)
        if known is None or known["name"] in ids or int(known["number"]) > _MAX_ID:
            raise InvalidArgument(
                f'{option} {text!r}: expected "keep-id:uid=1000,gid=100" (one or both, up to {_MAX_ID})'
            )
        ids[known["name"]] = int(known["number"])
    return ids.get("uid"), ids.get("gid")
