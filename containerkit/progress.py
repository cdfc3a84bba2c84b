"""How far long work is: what the work tells, and bars on a terminal that show it.

The work calls a :class:`Progress` from any of its threads; who shows it is nobody's business there. Words: an *item* is
one thing that is worked on (a layer, a step), named by a key that is shown, too; its *lines* are what its program
writes; a *part* is a piece of the work with items of its own (a stage of a build), and is a :class:`Progress` itself.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TextIO

from containerkit.errors import InvalidArgument
from containerkit.views import text

#: Seconds between two drawings: a browser is told four times a second at most.
_INTERVAL = _TICK = 0.25
_BAR = 24
#: How states begin that an item stays in.
_FINISHED = ("done", "already there", "mounted", "HIT", "MISS", "failed")
#: Lines of an item that are kept, characters of each, and how many of the last ones are shown.
_KEPT, _WIDTH, SHOWN_LINES = 1000, 500, 5
#: What steers a terminal (ECMA-48).
_CONTROL = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.?)")


class Progress:
    """Takes the news and shows nothing: the base of those that show it."""

    def begin(self, title: str) -> None:
        """The work begins."""

    def item(self, key: str, state: str, done: int = 0, total: int | None = None) -> None:
        """An item is in a new state.

        Args:
            key: which one; told for the first time, it is new.
            state: in a word or two: ``"downloading"``, ``"done"``, ``"already there"``; ``"failed"`` keeps it on view.
            done, total: bytes; no total when they are not counted.
        """

    def advance(self, key: str, done: int) -> None:
        """So many bytes of an item are done in all."""

    def line(self, key: str, line: str) -> None:
        """An item's program has written a line."""

    def part(self) -> Progress:
        """Who takes the news of a piece of the work: its own ``begin``, items and ``end``."""
        return Progress()

    def end(self, summary: str) -> None:
        """The work is over; what stays to be read of it."""


@dataclass
class Item:
    """One thing that is worked on, as it is now."""

    key: str
    state: str
    done: int = 0
    total: int | None = None
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT))
    began: float = field(default_factory=lambda: time.monotonic())
    ended: float | None = None

    @property
    def is_finished(self) -> bool:
        """Whether it stays as it is."""
        return self.state.startswith(_FINISHED)

    @property
    def is_failed(self) -> bool:
        """Whether it is kept on view."""
        return self.state.startswith("failed")

    @property
    def seconds(self) -> float:
        """How long it has taken, until now."""
        return (time.monotonic() if self.ended is None else self.ended) - self.began

    @property
    def took(self) -> str:
        """That in words: whole seconds while it goes on."""
        if self.ended is None:
            return f"{self.seconds:.0f} s" if self.seconds >= 1 else ""
        return f"{self.seconds:.1f} s"

    @property
    def last_lines(self) -> list[str]:
        """Of its program, what is shown: while it runs, and when it has failed."""
        return [*self.lines][-SHOWN_LINES:] if self.is_failed or not self.is_finished else []


class Part(Progress):
    """Keeps what it is told.

    Args:
        lock: held while it is changed.
        changed: called with it held, after each change; with True where that is to be seen at once.
    """

    def __init__(self, lock: threading.RLock, changed: Callable[[bool], None]) -> None:
        self.title = self.summary = ""
        self.items: dict[str, Item] = {}
        self.parts: list[Part] = []
        self.is_over = False
        self._lock, self._changed = lock, changed

    @property
    def is_failed(self) -> bool:
        """Whether something in it has failed."""
        return any(item.is_failed for item in self.items.values()) or any(part.is_failed for part in self.parts)

    def begin(self, title: str) -> None:
        with self._lock:
            self.title = title
            self._changed(True)

    def item(self, key: str, state: str, done: int = 0, total: int | None = None) -> None:
        with self._lock:
            item = self.items.setdefault(key, Item(key, state))
            item.state, item.done, item.total = state, done, total
            item.ended = time.monotonic() if item.is_finished else None
            self._changed(False)

    def advance(self, key: str, done: int) -> None:
        with self._lock:
            self.items.setdefault(key, Item(key, "")).done = done
            self._changed(False)

    def line(self, key: str, line: str) -> None:
        with self._lock:
            self.items.setdefault(key, Item(key, "")).lines.append(_clean(line))
            self._changed(False)

    def part(self) -> Part:
        with self._lock:
            self.parts.append(Part(self._lock, self._changed))
            return self.parts[-1]

    def end(self, summary: str) -> None:
        with self._lock:
            self.summary, self.is_over = summary, True
            for item in self.items.values():
                item.ended = time.monotonic() if item.ended is None else item.ended
            self._changed(True)


def _clean(line: str) -> str:
    """What a terminal would have of a line in the end, without what steers it."""
    last = _CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2][: 4 * _WIDTH]).expandtabs(8)
    return "".join(character for character in last if character.isprintable())[:_WIDTH]


class Shown(Part):
    """Keeps what it is told, and calls :meth:`draw` every now and then: soon after each change, but not too often."""

    def __init__(self) -> None:
        super().__init__(threading.RLock(), self._draw)
        self._drawn = 0.0
        self._timer: threading.Timer | None = None

    def _draw(self, now: bool) -> None:
        since = time.monotonic() - self._drawn
        if not now and since < _INTERVAL:
            self._draw_in(_INTERVAL - since)
            return
        self.draw()
        self._drawn = time.monotonic()
        if self.is_over and self._timer is not None:
            self._timer.cancel()
        elif not self.is_over and not all(part.is_over for part in self.parts):
            self._draw_in(_TICK)  # the seconds of a step that says nothing pass, too

    def _draw_in(self, seconds: float) -> None:
        if self._timer is None:
            # Weakly: work that nobody has ended, and nobody has any more, is not drawn for ever.
            self._timer = threading.Timer(seconds, _tick, (weakref.ref(self),))
            self._timer.name, self._timer.daemon = "containerkit-progress", True
            self._timer.start()

    def _tick(self) -> None:
        with self._lock:
            self._timer = None
            if not self.is_over:
                self._draw(True)

    def draw(self) -> None:
        """Show :attr:`title`, :attr:`items`, :attr:`parts` and :attr:`summary`; called with a lock held."""
        raise NotImplementedError


def _tick(of: weakref.ref[Shown]) -> None:
    shown = of()
    if shown is not None:
        shown._tick()


class Bars(Shown):
    """A block of bars on a terminal, redrawn in place; at the end its summary stays, and above it what has failed.

    Args:
        stream: the terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines = 0

    def draw(self) -> None:
        width, height = self._size()
        lines = [*_failed(self), self.summary] if self.is_over else [self.title, *_fit([*_rows(self)], height - 2)]
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

    def _size(self) -> tuple[int, int]:
        try:
            width, height = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            width = height = 0
        return (width, height) if width and height else shutil.get_terminal_size()


class _Row(NamedTuple):
    """A line, and whether it makes room first when there are too many."""

    line: str
    is_finished: bool


def _rows(part: Part, indent: str = "") -> Iterator[_Row]:
    for item in part.items.values():
        yield _Row(indent + (_step(item) if indent and item.total is None else _line(item)), item.is_finished)
        for line in item.last_lines:
            yield _Row(f"{indent}  │ {line}", item.is_finished)
    for one in part.parts:
        if one.is_over and not one.is_failed:
            yield _Row(f"{indent}{one.title}  {one.summary}", True)
        elif one.title:
            yield _Row(f"{indent}{one.title}", False)
            yield from _rows(one, indent + "  ")


def _failed(work: Part) -> list[str]:
    """What stays to be seen of it: the parts, as they were in the end, in which something has failed."""
    return [row.line for part in work.parts if part.is_failed for row in (_Row(part.title, True), *_rows(part, "  "))]


def _fit(rows: list[_Row], room: int) -> list[str]:
    """The rows, in so many lines at most: where there is no room for all, what finished first goes first."""
    if len(rows) <= room:
        return [row.line for row in rows]
    if room < 1:
        return []
    order = sorted(range(len(rows)), key=lambda at: (rows[at].is_finished, -at if rows[at].is_finished else at))
    return [*(rows[index].line for index in sorted(order[: room - 1])), f"… {len(rows) - room + 1} more"]


def _line(item: Item) -> str:
    if not item.total or item.done >= item.total:
        return f"{item.key}  {item.state}"
    full = _BAR * item.done // item.total
    bar = "█" * full + "░" * (_BAR - full)
    return f"{item.key}  {bar}  {text.size(item.done)} of {text.size(item.total)}  {item.state}"


def _step(item: Item) -> str:
    """What it came to first: its name may be longer than the line."""
    state = "" if item.state == "done" else item.state
    return f"{state:7} {item.took:>7}  {item.key}"


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
