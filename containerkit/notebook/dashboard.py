"""All containers of an engine, live: a table with charts, buttons, and a drawer below it for one of them.

A look, walked through: a :class:`~containerkit.notebook.timer.Timer` has the engine's
:class:`~containerkit.measuring.collector.Collector` look at all containers; :attr:`Dashboard.rows` are those that pass
the filter, sorted; the :class:`~containerkit.notebook.table.Table` tells the page in one message. A button of the page
names a method and a container; the method runs in a thread of its own, for a stop takes seconds.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from containerkit.measuring.collector import Collector, Row
from containerkit.notebook import cells
from containerkit.notebook.aside import aside, words
from containerkit.notebook.looking import Looking
from containerkit.notebook.table import Table
from containerkit.notebook.timer import Timer
from containerkit.views import html, text

if TYPE_CHECKING:
    from containerkit.container import Container
    from containerkit.engine import Engine

#: What the buttons of a row do: methods of the dashboard that take a container's name or id.
VERBS = ("start", "stop", "pause", "unpause", "restart", "remove", "panel", "logs", "exec")


class Dashboard(Looking):
    """The dashboard of ``engine``.

    Args:
        engine: whose containers.
        interval: seconds between two looks, 0.25 at least; 0 for none: then :meth:`refresh` is the only way.

    ``rows`` are what is shown, ``table.filter``, ``table.sort`` … say which; ``error`` is what went wrong last;
    ``drawer`` is what is open below the table: a panel, a log or a terminal, or None.
    """

    def __init__(self, engine: Engine, interval: float = 1.0) -> None:
        self.engine = engine
        self.rows: list[Row] = []
        self.busy: dict[str, str] = {}
        self.drawer: Any = None
        self._all: list[Row] = []
        self._lock = threading.RLock()
        self._collector = Collector(engine)
        self.table = Table()
        self.table.on_msg(self._heard)
        self.table.observe(lambda _: self._draw(), names=["filter", "sort", "descending", "running_only"])
        self._drawer = widgets.VBox()
        super().__init__([self.table, self._drawer])
        self._is_open = True
        self.refresh()
        self._timer = Timer(interval, self._tick, "dashboard") if interval else None
        self._forget = cells.when_run_again(self.close)

    # -- what is shown -----------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Look at all containers now."""
        with self._lock:
            if self._is_open:
                self._all = self._collector.collect()
                self.table.add(self._all)
                self._draw(is_tick=True)

    def _draw(self, *, is_tick: bool = False) -> None:
        with self._lock:
            self.rows = self.table.arranged(self._all)
            self.table.show(self.rows, self._said(), is_tick=is_tick)

    def _said(self) -> dict[str, Any]:
        return {"summary": self.summary, "error": self.error, "busy": dict(self.busy)}

    @property
    def summary(self) -> str:
        """How many there are, and what they use together."""
        uses = [row.use for row in self._all if row.use is not None]
        cpu, memory = sum(use.cpu_percent for use in uses), sum(use.memory_bytes for use in uses)
        return f"{len(uses)} of {len(self._all)} running · CPU {cpu:.0f} % · memory {text.size(memory)}"

    # -- what is done ------------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """``Container.start()``."""
        self._do("start", name)

    def stop(self, name: str) -> None:
        """``Container.stop()``."""
        self._do("stop", name)

    def pause(self, name: str) -> None:
        """``Container.pause()``."""
        self._do("pause", name)

    def unpause(self, name: str) -> None:
        """``Container.unpause()``."""
        self._do("unpause", name)

    def restart(self, name: str) -> None:
        """``Container.restart()``."""
        self._do("restart", name)

    def remove(self, name: str) -> None:
        """``Container.remove(force=True)``."""
        self._do("remove", name, force=True)

    def panel(self, name: str) -> None:
        """Open ``Container.panel()`` in the drawer."""
        self._do("panel", name)

    def logs(self, name: str) -> None:
        """Open ``Container.log_view()`` in the drawer."""
        self._do("log_view", name)

    def exec(self, name: str) -> None:
        """Open ``Container.terminal()`` in the drawer."""
        self._do("terminal", name)

    def _do(self, method: str, name: str, **options: Any) -> None:
        """Call a method of the container; a widget that comes out of it goes into the drawer."""
        self._say("")
        container: Container | None = None
        try:
            container = self.engine.containers[name]
            with self._lock:
                self.busy[container.id] = method
                self._draw()
            made = getattr(container, method)(**options)
            if isinstance(made, widgets.Widget):
                self._open(container.name, made)
        except Exception as error:
            self._say(words(error))
        finally:
            with self._lock:
                if container is not None:
                    self.busy.pop(container.id, None)
                self.refresh()

    def _heard(self, _: Table, content: dict[str, Any], buffers: object) -> None:
        if content.get("kind") == "hello":
            with self._lock:
                self.table.greet(self.rows, self._said())
        elif (verb := content.get("kind")) in VERBS:
            work, name = getattr(self, verb), str(content.get("id"))
            aside(lambda: work(name), f"dashboard {verb} {name[:12]}")

    # -- the drawer --------------------------------------------------------------------------------------------------

    def _open(self, name: str, content: Any) -> None:
        with self._lock:
            self.close_drawer()
            if not self._is_open:
                content.close()
                return
            button = widgets.Button(icon="times", tooltip="close_drawer()", layout=widgets.Layout(width="36px"))
            button.on_click(lambda _: self.close_drawer())
            title = widgets.HTML(html.card(name, "", {}), layout=widgets.Layout(flex="1"))
            self.drawer = content
            self._drawer.children = [widgets.HBox([title, button]), content]

    def close_drawer(self) -> None:
        """Close what is open below the table."""
        with self._lock:
            content, self.drawer = self.drawer, None
            self._drawer.children = ()
        if content is not None:
            content.close()

    def close(self) -> None:
        """End the looks, and take the widget away."""
        if not self._is_open:
            return
        self._is_open = False
        self._forget()
        if self._timer is not None:
            self._timer.stop()
        self.close_drawer()
        with self._lock:
            self._collector.close()
        self.table.close()
        super().close()

    def __repr__(self) -> str:
        return f"Dashboard({len(self._all)} containers)"
