"""How far long work is: what the work tells, and bars on a terminal that show it.

The work calls a :class:`Progress` from any of its threads; who shows it is nobody's business there. Words: an *item* is
one thing that is worked on (a layer), named by a key that is shown, too.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from containerkit.errors import InvalidArgument
from containerkit.views import text

#: Seconds between two drawings.
_INTERVAL = 0.1
_BAR = 24


class Progress:
    """Takes the news and shows nothing: the base of those that show it."""

    def begin(self, title: str) -> None:
        """The work begins."""

    def item(self, key: str, state: str, done: int = 0, total: int | None = None) -> None:
        """An item is in a new state.

        Args:
            key: which one; told for the first time, it is new.
            state: in a word or two: ``"downloading"``, ``"done"``, ``"already there"``.
            done, total: bytes; no total when they are not counted.
        """

    def advance(self, key: str, done: int) -> None:
        """So many bytes of an item are done in all."""

    def end(self, summary: str) -> None:
        """The work is over; what stays to be read of it."""


@dataclass
class Item:
    """One thing that is worked on, as it is now."""

    key: str
    state: str
    done: int = 0
    total: int | None = None


class Shown(Progress):
    """Keeps what it is told, and calls :meth:`draw` every now and then."""

    def __init__(self) -> None:
        self.title = self.summary = ""
        self.items: dict[str, Item] = {}
        self.is_over = False
        self._lock = threading.RLock()
        self._drawn = 0.0

    def begin(self, title: str) -> None:
        with self._lock:
            self.title = title
            self._draw(now=True)

    def item(self, key: str, state: str, done: int = 0, total: int | None = None) -> None:
        with self._lock:
            self.items[key] = Item(key, state, done, total)
            self._draw()

    def advance(self, key: str, done: int) -> None:
        with self._lock:
            self.items[key].done = done
            self._draw()

    def end(self, summary: str) -> None:
        with self._lock:
            self.summary, self.is_over = summary, True
            self._draw(now=True)

    def _draw(self, *, now: bool = False) -> None:
        if now or time.monotonic() - self._drawn >= _INTERVAL:
            self.draw()
            self._drawn = time.monotonic()

    def draw(self) -> None:
        """Show :attr:`title`, :attr:`items` and :attr:`summary`; called with a lock held."""
        raise NotImplementedError


class Bars(Shown):
    """A block of bars on a terminal, redrawn in place; at the end its summary stays.

    Args:
        stream: the terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines = 0

    def draw(self) -> None:
        width, height = shutil.get_terminal_size()
        lines = [self.title] if self.title else []
        lines += [_line(item) for item in self.items.values()]
        if self.is_over:
            lines = [self.summary] if self.summary else []
        elif len(lines) >= height:
            lines = [*lines[: height - 2], f"… {len(lines) - height + 2} more"]
        # Up to where the block began, and everything below is drawn anew.
        up = f"\x1b[{self._lines}F" if self._lines else ""
        body = "".join(f"{line[: width - 1]}\n" for line in lines)
        try:
            self._stream.write(f"{up}\x1b[J{body}")
            self._stream.flush()
        except (OSError, ValueError):
            return  # the terminal is gone; the work goes on
        self._lines = len(lines)


def _line(item: Item) -> str:
    if not item.total or item.done >= item.total:
        return f"{item.key}  {item.state}"
    full = _BAR * item.done // item.total
    bar = "█" * full + "░" * (_BAR - full)
    return f"{item.key}  {bar}  {text.size(item.done)} of {text.size(item.total)}  {item.state}"


Choice = str | bool | Progress | None
#: Makes a widget; set where notebooks are at home.
in_notebook: Callable[[], Progress | None] = lambda: None  # noqa: E731  # replaced as a whole


def choose(choice: Choice) -> Progress:
    """Who shows the progress of a call.

    Args:
        choice: ``"auto"``: a widget in a notebook, bars on a terminal, nobody otherwise; None or False: nobody; True:
            bars on standard error, or a widget; or a :class:`Progress` of the caller's own.

    Raises:
        InvalidArgument: anything else.
    """
    if isinstance(choice, Progress):
        return choice
    if choice in (None, False, "none"):
        return Progress()
    if choice not in ("auto", True):
        raise InvalidArgument(f'progress {choice!r}: expected "auto", True, False or a Progress')
    widget = in_notebook()
    if widget is not None:
        return widget
    is_terminal = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return Bars(sys.stderr) if is_terminal or choice is True else Progress()
