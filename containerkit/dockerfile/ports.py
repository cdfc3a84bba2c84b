"""``EXPOSE``: the ports that a word says.

::

    word = [ address ":" ] [ port ":" ] port [ "-" port ] [ "/" protocol ]      protocol: tcp, udp, sctp

What stands before the last ``:`` belongs to publishing and is ignored, as Docker does.
"""

from __future__ import annotations

import re

from containerkit.dockerfile.problems import shown
from containerkit.errors import InvalidArgument

_WORD = re.compile(r"(?:.*:)?([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)


def parse(word: str) -> list[str]:
    """``["80/tcp", …]``.

    Raises:
        InvalidArgument: not a port, or a range that runs backwards.
    """
    found = _WORD.fullmatch(word)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if found is None or not 0 < first <= last < 65536:
        raise InvalidArgument(f"{shown(word)} is not a port like 80, 53/udp or 8000-8010")
    protocol = (found[3] or "tcp").lower()
    return [f"{port}/{protocol}" for port in range(first, last + 1)]
