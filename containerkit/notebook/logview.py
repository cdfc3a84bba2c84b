"""A container's log in a notebook: followed, gone through and searched, however large it is.

:class:`LogView` has the lines that are shown (a window over the log, see :mod:`containerkit.reading.logpages`) and the
controls; :class:`LogText` is the part of the page that has the lines, drawn by ``static/log.js``, which asks for older
and newer ones as it is scrolled.
"""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets as widgets

from containerkit.errors import ContainerkitError, NotFound
from containerkit.notebook import assets, cells
from containerkit.notebook.aside import aside
from containerkit.notebook.timer import Timer
from containerkit.reading.logpages import LogPages, Place, Window
from containerkit.results import LogLine
from containerkit.views import html

if TYPE_CHECKING:
    from collections.abc import Callable

    from containerkit.container import Container

#: Lines that are in the page at a time, characters of a line, and seconds between two looks at a log that grows.
COUNT = 300
_LONG = 2000
_INTERVAL = 0.25
#: Colours and what else steers a terminal: ECMA-48's control sequences.
_CONTROLS = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\-_])|[\x00-\x08\x0b-\x1f]")


class LogText(anywidget.AnyWidget):
    """The lines. ``heard`` is called with what the page asks for: older, newer, hold."""

    _esm = assets.read("log.js")
    _css = assets.read("log.css")

    def __init__(self, heard: Callable[[str], None]) -> None:
        super().__init__()
        self._heard, self._last = heard, dict[str, Any]()
        self.on_msg(self._received)

    def _received(self, _: object, content: dict[str, Any], buffers: object) -> None:
        if content.get("kind") == "hello":
            self.send(self._last)
        else:
            self._heard(str(content.get("kind")))

    def show(self, window: Window, words: str, scroll: str, line: int) -> None:
        """Tell the page.

        Args:
            words: are marked.
            scroll: ``start``; ``end``; ``found``: to that ``line``; ``keep``: what was the first one is that ``line``.
        """
        rows = [[line.stream, f"{line.time:%H:%M:%S}.{line.time.microsecond // 1000:03}", shown(line)]
                for line in window.lines]  # fmt: skip
        self._last = {"kind": "lines", "lines": rows, "words": words, "scroll": scroll, "line": line}
        self.send(self._last)


class LogView(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """The log of ``container``, its end first, and followed.

    ``lines`` are shown; ``follow_button.value`` says whether the view stays at the end; ``state`` is what a search came
    to; ``error`` what went wrong. The view's thread ends with the container, and with :meth:`close`.
    """

    #: From when it is made until it is closed.
    _is_open = False

    def __init__(self, container: Container, path: str) -> None:
        self.container = container
        self.lines: list[LogLine] = []
        self.state, self.error = "", ""
        self.found: Place | None = None
        self._name, self._path, self._size = container.name, path, (0, 0)
        self._window = Window([], None, True, 0.0)
        self._searching, self._words, self._part = 0, "", 1.0
        self._lock = threading.RLock()
        self.text = LogText(self._heard)
        self._build()
        self.end()
        self._is_open = True
        self._timer = Timer(_INTERVAL, self._tick, f"log {self._name}")
        self._forget = cells.when_run_again(self.close)

    def _build(self) -> None:
        small = widgets.Layout(width="38px")
        self.follow_button = widgets.ToggleButton(
            True,
            description="follow",
            icon="arrow-down",
            layout=widgets.Layout(width="90px"),
            tooltip="Stay at the end",
        )
        self.start_button = widgets.Button(icon="fast-backward", tooltip="The first lines: start()", layout=small)
        self.older_button = widgets.Button(icon="backward", tooltip="Older lines: older()", layout=small)
        self.newer_button = widgets.Button(icon="forward", tooltip="Newer lines: newer()", layout=small)
        self.place_slider = widgets.FloatSlider(
            1.0, min=0, max=1, step=0.001, readout=False, continuous_update=False,
            layout=widgets.Layout(flex="1", min_width="80px"),
        )  # fmt: skip
        self.search_text = widgets.Text(
            placeholder="search", continuous_update=False, layout=widgets.Layout(width="170px")
        )
        self.previous_button = widgets.Button(icon="chevron-up", tooltip="The match before: search()", layout=small)
        self.next_button = widgets.Button(icon="chevron-down", tooltip="The next match: search()", layout=small)
        self._state = widgets.HTML()
        self.start_button.on_click(lambda _: self.start())
        self.older_button.on_click(lambda _: self.older())
        self.newer_button.on_click(lambda _: self.newer())
        self.previous_button.on_click(lambda _: self._search_aside(backwards=True))
        self.next_button.on_click(lambda _: self._search_aside(backwards=False))
        self.search_text.observe(lambda change: self._typed(change["new"]), names="value")
        self.follow_button.observe(lambda change: self.end() if change["new"] else None, names="value")
        self.place_slider.observe(lambda change: self._slid(change["new"]), names="value")
        bar = [self.follow_button, self.start_button, self.older_button, self.newer_button, self.place_slider,
               self.search_text, self.previous_button, self.next_button]  # fmt: skip
        row = widgets.HBox(bar, layout=widgets.Layout(align_items="center", flex_flow="row wrap"))
        super().__init__([row, self.text, self._state])

    # -- what is shown -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Show the first lines."""
        self._hold(lambda pages: pages.at(0, COUNT), "start")

    def end(self) -> None:
        """Show the last lines, and stay with them as they come."""
        self.follow_button.value = True
        self._look(lambda pages: pages.last(COUNT), "end")

    def seek(self, part: float) -> None:
        """Show what is at that part of the log, 0 to 1."""
        self._hold(lambda pages: pages.at(part, COUNT), "start")

    def older(self) -> None:
        """Show older lines: a half of those that are shown stay."""
        self._hold(lambda pages: pages.near(self._window.first, COUNT, -COUNT // 2), "keep")

    def newer(self) -> None:
        """Show newer lines: a half of those that are shown stay."""
        self._hold(lambda pages: pages.near(self._window.first, COUNT, COUNT // 2), "keep")

    def _hold(self, choose: Callable[[LogPages], Window], scroll: str) -> None:
        self.follow_button.value = False
        self._look(choose, scroll)

    def _look(self, choose: Callable[[LogPages], Window], scroll: str) -> None:
        with self._lock:
            self._say("")
            try:
                with LogPages(self._path) as pages:
                    self._size = _size(self._path)
                    before, self._window = self._window, choose(pages)
                    whose = {"keep": before.first, "found": self.found}.get(scroll)
                    line = pages.distance(self._window.first, whose) if whose is not None else 0
            except (ContainerkitError, OSError) as error:
                self._say("", str(error))
                return
            self.lines = self._window.lines
            self.text.show(self._window, self.search_text.value, scroll, line)
            self._part = 1.0 if self._window.is_end else self._window.part
            self.place_slider.value = self._part

    def _slid(self, part: float) -> None:
        if part != self._part:
            self.seek(part)

    def _heard(self, kind: str) -> None:
        if kind == "hold":
            self.follow_button.value = False
        elif kind in ("older", "newer"):
            getattr(self, kind)()

    def _tick(self, timer: Timer) -> None:
        if self.follow_button.value and _size(self._path) != self._size:
            self._look(lambda pages: pages.last(COUNT), "end")
        try:
            if not os.path.exists(self._path):
                _ = self.container.status
        except NotFound:
            timer.stop()
            self._say("", f"container {self._name}: removed")

    # -- looking for words -------------------------------------------------------------------------------------------

    def _typed(self, words: str) -> None:
        if words != self._words:
            self._search_aside(backwards=True)

    def _search_aside(self, *, backwards: bool) -> None:
        """In a thread of its own: a gigabyte takes seconds."""
        aside(lambda: self.search(backwards=backwards), f"search {self._name}")

    def search(self, words: str | None = None, *, backwards: bool = True) -> bool:
        """Show the match before the one that was found last (first: the last one of all), or after it.

        Another search breaks this one off.

        Args:
            words: what lines have in them, in capitals or not; default: what the field says.

        Returns:
            Whether there is one.
        """
        with self._lock:
            self._searching += 1
            mine, words = self._searching, self.search_text.value if words is None else words
            begin = self.found if words == self._words else None
            self._words = self.search_text.value = words
        if not words:
            return False

        def is_over(part: float) -> bool:
            with self._lock:
                if mine == self._searching:
                    self._say(f"searching … {part:.0%}")
                return mine != self._searching

        trouble = ""
        try:
            with LogPages(self._path) as pages:
                found = pages.search(words, begin, backwards=backwards, is_over=is_over)
        except (ContainerkitError, OSError) as error:
            found, trouble = None, str(error)
        with self._lock:
            if mine != self._searching:
                return False
            if trouble:
                self._say("", trouble)
                return False
            return self._show_found(found, words)

    def _show_found(self, found: Place | None, words: str) -> bool:
        self.found = found
        if found is not None:
            self._hold(lambda pages: pages.near(found, COUNT, -COUNT // 2), "found")
        self._say(f"“{words}”: " + ("found" if found else "not found"))
        return found is not None

    def _say(self, state: str, error: str = "") -> None:
        self.state, self.error = state, error
        self._state.value = html.note(state) if state else html.pre(error, "var(--jp-error-color1, #d32f2f)")

    def close(self) -> None:
        """End the thread, and take the widget away."""
        if not self._is_open:
            return
        self._is_open = False
        self._forget()
        self._searching += 1
        self._timer.stop()
        self.text.close()
        super().close()

    def __repr__(self) -> str:
        return f"LogView({self._name!r})"


def shown(line: LogLine) -> str:
    """A line as a person reads it: without control sequences, and not endless."""
    clean = _CONTROLS.sub("", line.text[: 2 * _LONG])
    return clean if len(clean) <= _LONG else f"{clean[:_LONG]} …"


def _size(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return (0, 0)
    return found.st_ino, found.st_size
