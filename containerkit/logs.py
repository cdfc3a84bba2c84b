"""A container's log as lines and as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from containerkit.errors import InvalidArgument
from containerkit.results import LogLine, split_lines
from containerkit.supervise import follow as following


@dataclass(frozen=True)
class Selection:
    """Which lines: of which streams, from and until when (datetimes or epoch seconds), how many of the last."""

    stdout: bool = True
    stderr: bool = True
    since: datetime | float | None = None
    until: datetime | float | None = None
    tail: int | None = None

    def __post_init__(self) -> None:
        for name, moment in (("since", self.since), ("until", self.until)):
            if moment is not None and not isinstance(moment, (datetime, int, float)):
                raise InvalidArgument(f"{name} {moment!r}: expected a datetime or epoch seconds")
        if self.tail is not None and (not isinstance(self.tail, int) or self.tail < 0):
            raise InvalidArgument(f"tail {self.tail!r}: expected a number of lines")

    def matches(self, line: LogLine) -> bool:
        """Whether it is of a wanted stream and time."""
        wanted = self.stdout if line.stream == "stdout" else self.stderr
        low, high = _seconds(self.since, float("-inf")), _seconds(self.until, float("inf"))
        return wanted and low <= line.time.timestamp() <= high


def lines(path: str, selection: Selection, ended: Callable[[], int | None] | None = None) -> Iterator[LogLine]:
    """The lines of the log at ``path``.

    Args:
        ended: to follow the log: gives a descriptor that is readable once its writer is gone, or None when it is.
    """
    skip = 0
    if selection.tail is not None:
        skip = max(0, sum(map(selection.matches, split_lines(following.chunks(path)))) - selection.tail)
    follower = None if ended is None else following.Follower(path, ended)
    for line in filter(selection.matches, split_lines(following.chunks(path, follower))):
        if skip:
            skip -= 1
        else:
            yield line


def text(found: Iterable[LogLine], *, timestamps: bool) -> str:
    """The lines as one string; with ``timestamps`` each after its time (UTC)."""
    return "".join(f"{_stamp(line.time)} {line.text}\n" if timestamps else f"{line.text}\n" for line in found)


def _seconds(moment: datetime | float | None, default: float) -> float:
    if moment is None:
        return default
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
