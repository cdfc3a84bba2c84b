"""Which backups are kept: the last ones, and the newest of each of the last days, weeks, months and years."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from containerkit.errors import InvalidArgument
from containerkit.values import frozen


@frozen
class Retention:
    """How many are kept of each; 0 for none. Periods in which there is no backup do not count. Days are UTC's."""

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0

    def __post_init__(self) -> None:
        counts = vars(self)
        for name, count in counts.items():
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise InvalidArgument(f"keep_{name} {count!r}: expected a whole number from 0")
        if not any(counts.values()):
            raise InvalidArgument("keep: say how many are to be kept, as keep_last=10")


_PERIODS: dict[str, Callable[[datetime], object]] = {
    "last": lambda moment: moment,
    "daily": lambda moment: moment.date(),
    "weekly": lambda moment: tuple(moment.isocalendar())[:2],
    "monthly": lambda moment: (moment.year, moment.month),
    "yearly": lambda moment: moment.year,
}


def kept(times: Sequence[float], retention: Retention) -> set[int]:
    """The places in ``times`` (seconds since the epoch) of what is kept."""
    newest_first = sorted(range(len(times)), key=lambda place: (-times[place], place))
    found: set[int] = set()
    for name, period in _PERIODS.items():
        seen: set[object] = set()
        for place in newest_first:
            if len(seen) == getattr(retention, name):
                break
            key = place if name == "last" else period(datetime.fromtimestamp(times[place], timezone.utc))
            if key not in seen:
                seen.add(key)
                found.add(place)
    return found
