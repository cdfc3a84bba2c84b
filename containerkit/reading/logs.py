"""A container's log as lines and as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import chain

from containerkit.errors import InvalidArgument
from containerkit.results import LogLine, split_lines
from containerkit.supervise.output import follow as following
from containerkit.supervise.output.logfiles import LogFiles
from containerkit.values import frozen


@frozen
class Selection:
    """Which lines: of which streams, from and until when (datetimes or epoch seconds), how many of the last."""

    stdout: bool = True
    stderr: bool = True
    since: datetime | float | None = None
    until: datetime | float | None = None
    tail: int | None = None

    def __post_init__(self) -> None:
        for name, moment in (("since", self.since), ("until", self.until)):
            if moment is not None and not (
                isinstance(moment, datetime) or (isinstance(moment, (int, float)) and abs(moment) < 2**40)
            ):
                raise InvalidArgument(f"{name} {moment!r}: expected a datetime or epoch seconds")
        if self.tail is not None and (not isinstance(self.tail, int) or self.tail < 0):
            raise InvalidArgument(f"tail {self.tail!r}: expected a number of lines")

    def matches(self, line: LogLine) -> bool:
        """Whether it is of a wanted stream and time."""
        wanted = self.stdout if line.stream == "stdout" else self.stderr
        low, high = _seconds(self.since, float("-inf")), _seconds(self.until, float("inf"))
        return wanted and low <= line.time.timestamp() <= high


def lines(
    path: str, selection: Selection, ends: Callable[[], tuple[int, ...] | None] | None = None
) -> Iterator[LogLine]:
    """The lines of the log at ``path``; what nobody asked for is not read.

    Args:
        ends: to follow the log: as of a Follower (supervise/output/follow.py).
    """
    block, skip = _begin(path, selection)
    until = _seconds(selection.until, float("inf"))
    follower = None if ends is None else following.Follower(path, ends)
    for whole, line in split_lines(following.chunks(path, block, follower), cut=block > 0):
        if line.time.timestamp() > until:
            return
        if whole and selection.matches(line):
            if not skip:
                yield line
            skip = max(0, skip - 1)


def _begin(path: str, selection: Selection) -> tuple[int, int]:
    """From which block on to read, and how many matching lines to leave out then."""
    with LogFiles(path) as files:
        first = 0 if selection.since is None else files.block_at(_seconds(selection.since, 0))
        if selection.tail is None:
            return first, 0
        until = _seconds(selection.until, float("inf"))
        last = len(files.blocks) if selection.until is None else min(files.block_at(until) + 2, len(files.blocks))
        back = 1
        while True:
            block = max(first, last - back)
            found, cut = _count(files, block, selection, until)
            # One more than asked for: where reading begins, the first line of a stream may lack its beginning.
            if block == first or (found >= selection.tail and not cut):
                return block, max(0, found - selection.tail)
            back *= 4


def _count(files: LogFiles, block: int, selection: Selection, until: float) -> tuple[int, bool]:
    """How many matching lines there are from that block on, and whether one that is cut would be among the last."""
    found, wanted = 0, selection.tail or 0
    cut_at = -1
    for whole, line in split_lines(chain.from_iterable(files.readers(block)), cut=block > 0):
        if line.time.timestamp() > until:
            break
        if whole:
            found += selection.matches(line)
        elif selection.matches(line):
            cut_at = found
    return found, cut_at >= 0 and cut_at > found - wanted


def text(found: Iterable[LogLine], *, timestamps: bool) -> str:
    """The lines as one string; with ``timestamps`` each after its time (UTC)."""
    return "".join(f"{_stamp(line.time)} {line.text}\n" if timestamps else f"{line.text}\n" for line in found)


def _seconds(moment: datetime | float | None, default: float) -> float:
    if moment is None:
        return default
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
