"""One container, live: charts with its limits and what happened to it, sliders for the limits, its log and buttons."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

import ipywidgets as widgets

from containerkit.errors import InvalidState, NotFound
from containerkit.notebook import cells, limits
from containerkit.notebook.aside import Button, words
from containerkit.notebook.looking import Looking
from containerkit.notebook.timer import Timer
from containerkit.reading.logpages import LogPages
from containerkit.views import html, text
from containerkit.views.timeline import Chart, Line, Mark, timeline

if TYPE_CHECKING:
    from containerkit.container import Container
    from containerkit.engine import Engine
    from containerkit.measuring.stats import Stats

#: Seconds that the charts show, between two looks, and lines of the log.
SECONDS, _INTERVAL, _LOG_LINES = 60.0, 0.5, 8
#: Bytes a second that a chart of traffic has room for at least.
_LITTLE = 10240.0
#: Events that are not worth a mark.
_DULL = ("exec_", "attach", "commit", "top", "create", "health_status: starting")


class Point(NamedTuple):
    """What the container used at one look. Rates are bytes a second; ``cpus`` and ``memory_limit_bytes`` limits."""

    time: float
    cpu_percent: float
    cpus: float | None
    throttled: bool
    memory_bytes: int
    memory_limit_bytes: int | None
    io_read_rate: float
    io_write_rate: float
    net_rx_rate: float
    net_tx_rate: float


_NOTHING = Point(0.0, 0.0, None, False, 0, None, 0.0, 0.0, 0.0, 0.0)


class ContainerPanel(Looking):
    """The panel of ``container``. It follows the container from a thread of its own until that is removed.

    Args:
        container: whose panel it is.
        engine: the container's.
        interval: seconds between two looks; 0 for none: then :meth:`refresh` is the only way.

    ``status``, ``points`` (what the charts show; ``last``), ``marks`` (what happened), ``log_text``. Buttons and
    sliders call public methods of the container: ``start_button``, ``stop_button``, ``pause_button``,
    ``remove_button``; ``cpus_slider`` and ``memory_slider`` call ``update``. ``error`` has what went wrong with that.
    """

    def __init__(self, container: Container, engine: Engine, interval: float = _INTERVAL) -> None:
        self.container, self.engine = container, engine
        self.status, self.error, self.log_text = container.status, "", ""
        self.points: deque[Point] = deque()
        self.marks: deque[Mark] = deque(maxlen=50)
        found = container.inspect()
        self._name, self._image, self._log_path = container.name, found["Config"]["Image"], found["LogPath"]
        self._is_networked = bool(container.networks)
        #: By a clock that nobody sets, when it was measured last, and what was found.
        self._before: tuple[float, Stats] | None = None
        self._told = datetime.now(timezone.utc)
        self._is_showing = False
        self._lock = threading.RLock()
        self._build()
        self._is_open = True
        self._look_at_limits()
        self.refresh()
        self._timer = Timer(interval, self._tick, f"panel {self._name}") if interval > 0 else None
        self._forget = cells.when_run_again(self.close)

    def _build(self) -> None:
        self._head, self._charts, self._log = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.start_button = self._button("Start", "play", "Container.start()", self.container.start)
        self.stop_button = self._button("Stop", "stop", "Container.stop()", self.container.stop)
        self.pause_button = self._button("Pause", "pause", "Container.pause(), unpause()", self._pause)
        self.remove_button = self._button(
            "Remove", "trash", "Container.remove(force=True)", lambda: self.container.remove(force=True), "danger"
        )
        self.cpus_slider, self.memory_slider = limits.slider("CPUs"), limits.slider("memory")
        self.cpus_slider.observe(lambda change: self._limit("cpus", change["new"]), names="value")
        self.memory_slider.observe(lambda change: self._limit("memory", change["new"]), names="value")
        line = widgets.Layout(flex_flow="row wrap")
        sliders = widgets.HBox([self.cpus_slider, self.memory_slider], layout=line)
        buttons = widgets.HBox(
            [self.start_button, self.stop_button, self.pause_button, self.remove_button], layout=line
        )
        border = "1px solid var(--jp-border-color1, #bbb)"
        layout = widgets.Layout(border=border, padding="10px", max_width="800px")
        super().__init__([self._head, self._charts, sliders, self._log, buttons], layout=layout)

    def _button(self, label: str, icon: str, tip: str, action: Callable[[], Any], style: str = "") -> Button:
        button = Button(
            description=label, icon=icon, tooltip=tip, button_style=style, layout=widgets.Layout(width="100px")
        )
        button.on_click(lambda _: self._do(action))
        return button

    # -- what is done ------------------------------------------------------------------------------------------------

    def _do(self, action: Callable[[], Any]) -> None:
        self.error = ""
        try:
            action()
        except Exception as error:
            self.error = words(error)
        self.refresh()

    def _pause(self) -> None:
        if self.container.status == "paused":
            self.container.unpause()
        else:
            self.container.pause()

    def _limit(self, name: str, value: float) -> None:
        """A slider was moved: by a person, or to where the limit is."""
        if not self._is_showing:
            option = {"cpu_quota": -1} if name == "cpus" and value == limits.NONE else {name: value}
            self._do(lambda: self.container.update(**option))
            self._look_at_limits()

    def _look_at_limits(self) -> None:
        """Put the sliders where the limits are."""
        try:
            found = self.container.inspect()["HostConfig"]
        except NotFound:
            return
        quota = found["CpuQuota"] / (found["CpuPeriod"] or 100_000) if found["CpuQuota"] > 0 else 0
        with self._lock:
            self._is_showing = True
            limits.show(self.cpus_slider, limits.cpus(), found["NanoCpus"] / 1e9 or quota or limits.NONE)
            memory = found["Memory"] if found["Memory"] > 0 else limits.NONE
            limits.show(self.memory_slider, limits.memory(), memory)
            self._is_showing = False

    # -- what is shown -----------------------------------------------------------------------------------------------

    def _tick(self, timer: Timer) -> None:
        super()._tick(timer)
        if self.status == "removed":
            timer.stop()

    def refresh(self) -> None:
        """Look at the container once and show it."""
        with self._lock:
            if self._is_open:
                self._look()
                self._draw()

    def _look(self) -> None:
        try:
            self.status = self.container.status
            with LogPages(self._log_path) as pages:
                self.log_text = "".join(f"{line}\n" for line in pages.ends(_LOG_LINES))
            self._listen()
            if self.status in ("running", "paused"):
                self._measure()
        except NotFound:
            self.status = "removed"
        except InvalidState:
            self._before = None  # it has just ended

    def _listen(self) -> None:
        """Marks for what has happened since the last look."""
        for event in self.engine.events(since=self._told, filters={"container": self.container.id}):
            if event.time > self._told:
                self._told = event.time
                if event.action == "update":
                    self._look_at_limits()
                if not event.action.startswith(_DULL):
                    self._mark(Mark(event.time.timestamp(), event.action, event.action in ("oom", "die")))

    def _mark(self, mark: Mark) -> None:
        """One of several that are the same, at nearly the same time, is enough."""
        if not (self.marks and self.marks[-1].words == mark.words and mark.time - self.marks[-1].time < 1):
            self.marks.append(mark)

    def _measure(self) -> None:
        try:
            now = self.container.stats()
        except InvalidState:
            if self.status == "running":
                raise
            return  # a paused one
        clock = time.monotonic()
        before, self._before = self._before, (clock, now)
        if before is not None and now.cpu_usage_seconds >= before[1].cpu_usage_seconds:
            self.points.append(self._point(before[1], now, max(clock - before[0], 1e-9)))
        at = now.time.timestamp()
        # Those of a future that there is not come of a clock that was set back.
        self.points = deque(point for point in self.points if at - SECONDS <= point.time <= at)

    def _point(self, before: Stats, now: Stats, seconds: float) -> Point:
        def rate(name: str) -> float:
            return float(max(getattr(now, name) - getattr(before, name), 0) / seconds)

        return Point(
            now.time.timestamp(), 100 * rate("cpu_usage_seconds"), now.cpus_limit, rate("throttled_seconds") > 0,
            now.memory_bytes, now.memory_limit_bytes, rate("io_read_bytes"), rate("io_write_bytes"),
            rate("net_rx_bytes"), rate("net_tx_bytes"),
        )  # fmt: skip

    @property
    def last(self) -> Point:
        """What it used at the last look; zeros before there are two."""
        return self.points[-1] if self.points else _NOTHING

    def _draw(self) -> None:
        self._head.value = html.card(self._name, self.status, {"image": self._image})
        now = self.points[-1].time if self.status == "running" and self.points else datetime.now().timestamp()
        marks = [mark for mark in self.marks if mark.time > now - SECONDS]
        self._charts.value = timeline(list(self._drawn()), marks, now, SECONDS)
        trouble = html.pre(self.error, "var(--jp-error-color1, #d32f2f)")
        self._log.value = (html.pre(self.log_text) or html.note("no output yet")) + trouble
        is_alive = self.status in ("running", "paused", "restarting")
        self.start_button.disabled = is_alive or self.status == "removed"
        self.stop_button.disabled = self.pause_button.disabled = not is_alive
        self.pause_button.description = "Go on" if self.status == "paused" else "Pause"
        for control in (self.remove_button, self.cpus_slider, self.memory_slider):
            control.disabled = self.status == "removed"

    def _drawn(self) -> Iterator[Chart]:
        cores = self.last.cpus
        yield Chart(
            "CPU", self._of(f"{self.last.cpu_percent:.0f} %", cores and f"{100 * cores:.0f} %"),
            [Line("", "#1f77b4", self._line("cpu_percent"))], 20,
            [(point.time, 100 * point.cpus) for point in self.points if point.cpus], list(self._throttled()),
        )  # fmt: skip
        limit = self.last.memory_limit_bytes
        yield Chart(
            "memory", self._of(text.size(self.last.memory_bytes), limit and text.size(limit)),
            [Line("", "#ff7f0e", self._line("memory_bytes"))], 1 << 20,
            [(point.time, point.memory_limit_bytes) for point in self.points if point.memory_limit_bytes],
        )  # fmt: skip
        yield self._traffic("disk", ("read", "io_read_rate", "#17a2b8"), ("written", "io_write_rate", "#9467bd"))
        if self._is_networked:
            yield self._traffic("network", ("received", "net_rx_rate", "#2ca02c"), ("sent", "net_tx_rate", "#d6619b"))

    def _traffic(self, title: str, *parts: tuple[str, str, str]) -> Chart:
        lines = [Line(name, colour, self._line(field)) for name, field, colour in parts]
        now = " · ".join(f"{text.size(getattr(self.last, field))}/s" for _, field, _ in parts)
        return Chart(title, now if self.status == "running" else "", lines, _LITTLE)

    def _of(self, now: str, limit: str | float | None) -> str:
        if self.status not in ("running", "paused"):
            return ""
        return f"{now} of {limit}" if limit else now

    def _line(self, field: str) -> list[tuple[float, float]]:
        return [(point.time, getattr(point, field)) for point in self.points]

    def _throttled(self) -> Iterator[tuple[float, float]]:
        before: Point | None = None
        for point in self.points:
            if point.throttled and before is not None:
                yield before.time, point.time
            before = point

    def __repr__(self) -> str:
        return f"ContainerPanel({self._name!r}, {self.status})"

    def close(self) -> None:
        """Stop following, and take the panel off the page."""
        if not self._is_open:
            return
        self._is_open = False
        self._forget()
        if self._timer is not None:
            self._timer.stop()
        super().close()
