"""Lists of processors, as cpuset(7) writes them: ``0-2,7``."""

from __future__ import annotations

from containerkit.errors import InvalidArgument


def parse(text: str) -> tuple[int, ...]:
    """The numbers, ascending.

    Raises:
        InvalidArgument: it is not such a list.
    """
    found: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = part.partition("-")
        try:
            low, high = int(first), int(last if dash else first)
        except ValueError:
            raise InvalidArgument(f"list of processors {text!r}: {part}: expected a number or a range") from None
        if not 0 <= low <= high < 4096:
            raise InvalidArgument(f"list of processors {text!r}: {part}: no such range")
        found.update(range(low, high + 1))
    return tuple(sorted(found))
