"""How far long work is: what the work tells, and bars on a terminal that show it.

The work calls a :class:`Progress` from any of its threads; who shows it is nobody's business there. Words: an *item* is
one thing that is worked on (a layer), named by a key that is shown, too.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import threading
import time
from dataclasses import dataclass
from typing import TextIO

from containerkit.errors import InvalidArgument
from containerkit.views import text

#: Seconds between two drawings.
_INTERVAL = 0.1
_BAR = 24
#: How states begin that an item stays in.
_FINISHED = ("done", "already there", "mounted")


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
            self.items.setdefault(key, Item(key, "")).done = done
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
        width, height = self._size()
        lines = [self.summary] if self.is_over else [self.title, *self._rows(height - 2)]
        lines = [line for line in lines if line]
        # Up to where the block began, and everything below is drawn anew.
        up = f"\x1b[{self._lines}F" if self._lines else ""
        body = "".join(f"{line[: width - 1]}\n" for line in lines)
        try:
            self._stream.write(f"{up}\x1b[J{body}")
            self._stream.flush()
        except (OSError, ValueError):
            return  # the terminal is gone; the work goes on
        self._lines = len(lines)

    def _rows(self, room: int) -> list[str]:
        """The items, in so many lines at most: where there is no room for all, what is finished goes first."""
        items = list(self.items.values())
        if len(items) <= room:
            return [_line(item) for item in items]
        if room < 1:
            return []
        items.sort(key=lambda item: item.state.startswith(_FINISHED))
        return [*map(_line, items[: room - 1]), f"… {len(items) - room + 1} more"]

    def _size(self) -> tuple[int, int]:
        try:
            width, height = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            width = height = 0
        return (width, height) if width and height else shutil.get_terminal_size()


def _line(item: Item) -> str:
    if not item.total or item.done >= item.total:
        return f"{item.key}  {item.state}"
    full = _BAR * item.done // item.total
    bar = "█" * full + "░" * (_BAR - full)
    return f"{item.key}  {bar}  {text.size(item.done)} of {text.size(item.total)}  {item.state}"


Choice = str | bool | Progress | None


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
    if _is_in_notebook():
        from containerkit.notebook.progress import ProgressWidget

        return ProgressWidget()
    if sys.stderr is None:
        return Progress()
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return Bars(sys.stderr) if is_terminal or choice is True else Progress()


def _is_in_notebook() -> bool:
    """Whether this is a Jupyter kernel that can show widgets. Nothing is imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None and importlib.util.find_spec("ipywidgets") is not None
