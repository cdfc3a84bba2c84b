"""A card for one container: status, live CPU, memory and network, the end of its log, and buttons."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import ipywidgets as widgets

from containerkit.errors import ContainerkitError, InvalidState, NotFound
from containerkit.views import html, svg, text

if TYPE_CHECKING:
    from containerkit.container import Container
    from containerkit.stats import Stats

_HISTORY = 60
_LOG_LINES = 8
#: Bytes a second that a chart of the network has room for at least.
_LITTLE = 10240.0


class ContainerCard(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """The card of ``container``. It follows the container from a thread of its own until that has ended.

    Args:
        container: whose card it is.
        interval: seconds between two looks; 0 for none: then :meth:`refresh` is the only way.

    ``status``, ``cpu_percent``, ``memory_bytes``, ``net_rx_rate`` and ``net_tx_rate`` (bytes a second), ``log_text``:
    what is shown. ``stop_button`` and ``remove_button``
    call ``Container.stop()`` and ``Container.remove(force=True)``; ``error`` has what went wrong with that.
    """

    def __init__(self, container: Container, interval: float = 1.0) -> None:
        self.container = container
        self.title = repr(container)
        self.status = container.status
        self.cpu_percent = 0.0
        self.memory_bytes = 0
        self.memory_limit_bytes: int | None = None
        self.net_rx_rate = self.net_tx_rate = 0.0
        self.log_text = ""
        self.error = ""
        self._cpu: deque[float] = deque(maxlen=_HISTORY)
        self._memory: deque[float] = deque(maxlen=_HISTORY)
        self._received: deque[float] = deque(maxlen=_HISTORY)
        self._sent: deque[float] = deque(maxlen=_HISTORY)
        self._before: Stats | None = None
        self._is_networked = False
        self._name = container.name
        self._image = container.inspect()["Config"]["Image"]
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._build()
        self.refresh()
        if interval > 0 and self.status == "running":
            threading.Thread(target=self._follow, args=(interval,), name=f"card {self._name}", daemon=True).start()

    def _build(self) -> None:
        self._head, self._charts, self._log = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.stop_button = widgets.Button(description="Stop", icon="stop", tooltip="Container.stop()")
        self.remove_button = widgets.Button(
            description="Remove", icon="trash", button_style="danger", tooltip="Container.remove(force=True)"
        )
        self.stop_button.on_click(lambda _: self._do(self.container.stop))
        self.remove_button.on_click(lambda _: self._do(lambda: self.container.remove(force=True)))
        buttons = widgets.HBox([self.stop_button, self.remove_button])
        layout = widgets.Layout(border="1px solid #bbb", padding="10px", width="560px")
        super().__init__([self._head, self._charts, self._log, buttons], layout=layout)

    def _do(self, action: object) -> None:
        self.error = ""
        try:
            action()  # type: ignore[operator]  # a bound method or a lambda
        except ContainerkitError as error:
            self.error = str(error)
        self.refresh()

    def _follow(self, interval: float) -> None:
        while not self._ended.wait(interval):
            self.refresh()

    def refresh(self) -> None:
        """Look at the container once and show it."""
        with self._lock:
            self._look()
            self._draw()

    def _look(self) -> None:
        try:
            self.status = self.container.status
            self.log_text = self.container.logs(tail=_LOG_LINES)
            if self.status == "running":
                self._measure()
                return
        except NotFound:
            self.status = "removed"
        except InvalidState:
            self.status = "exited"
        self._ended.set()

    def _measure(self) -> None:
        now, before = self.container.stats(), self._before
        seconds = (now.time - before.time).total_seconds() if before is not None else 0.0
        if before is not None and seconds > 0:
            self.cpu_percent = 100 * (now.cpu_usage_seconds - before.cpu_usage_seconds) / seconds
            # Counters begin anew with a restart.
            self.net_rx_rate = max(now.net_rx_bytes - before.net_rx_bytes, 0) / seconds
            self.net_tx_rate = max(now.net_tx_bytes - before.net_tx_bytes, 0) / seconds
        self._before = now
        # With the host's links, the counters are of everybody.
        self._is_networked = bool(self.container.networks)
        self.memory_bytes, self.memory_limit_bytes = now.memory_bytes, now.memory_limit_bytes
        self._cpu.append(self.cpu_percent)
        self._memory.append(self.memory_bytes)
        self._received.append(self.net_rx_rate)
        self._sent.append(self.net_tx_rate)

    def _draw(self) -> None:
        self._head.value = html.card(self._name, self.status, {"image": self._image})
        self._charts.value = f'<div style="display:flex;flex-wrap:wrap;gap:12px">{"".join(self._tiles())}</div>'
        trouble = html.pre(self.error, "#b71c1c")
        self._log.value = (html.pre(self.log_text) or html.note("no output yet")) + trouble
        self.stop_button.disabled = self.status != "running"
        self.remove_button.disabled = self.status == "removed"

    def _tiles(self) -> Iterator[str]:
        memory = text.size(self.memory_bytes)
        if self.memory_limit_bytes is not None:
            memory += f" of {text.size(self.memory_limit_bytes)}"
        yield svg.tile("CPU", f"{self.cpu_percent:.0f} %", list(self._cpu), 100.0, "#1f77b4")
        yield svg.tile("memory", memory, list(self._memory), float(self.memory_limit_bytes or 0), "#ff7f0e")
        if self._is_networked:
            # One scale for both; a little talk stays low.
            top = max(_LITTLE, *self._received, *self._sent)
            yield svg.tile("received", f"{text.size(self.net_rx_rate)}/s", list(self._received), top, "#2ca02c")
            yield svg.tile("sent", f"{text.size(self.net_tx_rate)}/s", list(self._sent), top, "#9467bd")

    def __repr__(self) -> str:
        return f"ContainerCard({self._name!r}, {self.status})"

    def close(self) -> None:
        """Stop following, and take the card off the page."""
        self._ended.set()
        super().close()
