"""The live table of containers: what it shows is decided here, and drawn by ``static/table.js``.

A tick is one message, however many containers there are: which rows, in which order; those of them that have changed;
a point for each chart; and whose charts are of no use any more. A page that opens later, or anew, says hello and is
told everything, its charts' past, too. Before the first hello nothing is sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anywidget
import traitlets

from containerkit.measuring.collector import Row, Use
from containerkit.notebook import assets

#: Points of a chart.
POINTS = 60
_LEVELS = {"running": 0, "restarting": 1, "paused": 2, "created": 3, "exited": 4, "dead": 5}
_NONE = Use()
#: Column → what it is sorted by.
ORDERS: dict[str, Callable[[Row], Any]] = {
    "name": lambda row: row.name,
    "image": lambda row: row.image,
    "status": lambda row: _LEVELS[row.status],
    "cpu": lambda row: (row.use or _NONE).cpu_percent,
    "memory": lambda row: (row.use or _NONE).memory_bytes,
    "network": lambda row: network(row.use),
    "io": lambda row: io(row.use),
}


def network(use: Use | None) -> float:
    """What goes over the network, both ways, in bytes a second."""
    return 0.0 if use is None else use.net_rx_rate + use.net_tx_rate


def io(use: Use | None) -> float:
    """What is read and written, in bytes a second."""
    return 0.0 if use is None else use.io_read_rate + use.io_write_rate


class Table(anywidget.AnyWidget):
    """``filter`` (a part of a name, image, command or status), ``sort`` (a column), ``descending`` and
    ``running_only`` say which containers are shown in which order; the page can set them, too.
    """

    _esm = assets.read("table.js")
    _css = assets.read("table.css")
    filter = traitlets.Unicode("").tag(sync=True)
    sort = traitlets.Enum(sorted(ORDERS), "name").tag(sync=True)
    descending = traitlets.Bool(False).tag(sync=True)
    running_only = traitlets.Bool(False).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        #: Container's id → a list of points for each chart: CPU, memory, network, io.
        self.history: dict[str, tuple[deque[float], ...]] = {}
        self._points: dict[str, tuple[float, ...]] = {}
        self._gone: list[str] = []
        self._told: dict[str, dict[str, Any]] = {}
        self._is_seen = False

    def arranged(self, rows: Sequence[Row]) -> list[Row]:
        """Those that are to be shown, in their order."""
        wanted = self.filter.lower()
        found = [
            row for row in rows
            if (row.status in ("running", "paused", "restarting") or not self.running_only)
            and wanted in f"{row.name}\n{row.image}\n{row.command}\n{row.status}".lower()
        ]  # fmt: skip
        # Equals are sorted by name, whichever way the others go.
        found.sort(key=ORDERS["name"], reverse=self.sort == "name" and self.descending)
        return found if self.sort == "name" else sorted(found, key=ORDERS[self.sort], reverse=self.descending)

    def add(self, rows: Sequence[Row]) -> None:
        """One more point in the charts of those that run; what is gone is forgotten."""
        before, self.history = self.history, {}
        self._points = {row.id: _points(row.use) for row in rows if row.use is not None}
        self._gone = [*before.keys() - {row.id for row in rows}]
        for row in rows:
            lines = before.get(row.id) or tuple(deque[float](maxlen=POINTS) for _ in range(4))
            self.history[row.id] = lines
            for line, value in zip(lines, self._points.get(row.id, ()), strict=False):
                line.append(value)

    def show(self, rows: Sequence[Row], said: Mapping[str, Any], *, is_tick: bool) -> None:
        """Tell the page.

        Args:
            rows: those that are shown, in their order.
            said: what else there is to say.
            is_tick: there is one more point.
        """
        if not self._is_seen:
            return
        told, self._told = self._told, {row.id: _about(row) for row in rows}
        changed = {id: about for id, about in self._told.items() if told.get(id) != about}
        points, gone = (self._points, self._gone) if is_tick else ({}, [])
        self.send({"kind": "tick", "order": list(self._told), "rows": changed, "points": points, "gone": gone, **said})

    def greet(self, rows: Sequence[Row], said: Mapping[str, Any]) -> None:
        """Tell a page that has just opened everything."""
        self._is_seen, self._told = True, {row.id: _about(row) for row in rows}
        past = {id: [list(line) for line in lines] for id, lines in self.history.items()}
        self.send({"kind": "all", "order": list(self._told), "rows": self._told, "past": past, **said})


def _points(use: Use) -> tuple[float, ...]:
    return round(use.cpu_percent, 1), use.memory_bytes, round(network(use)), round(io(use))


def _about(row: Row) -> dict[str, Any]:
    use = row.use or _NONE
    return {
        "name": row.name, "image": row.image, "command": row.command, "status": row.status, "exit": row.exit_code,
        "health": row.health, "cpus": row.cpus, "memory": use.memory_limit_bytes, "live": row.use is not None,
        "throttled": round(use.throttled_percent),
    }  # fmt: skip
