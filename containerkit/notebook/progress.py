"""Long work in a notebook: bars that move while it goes on, and one line that stays."""

from __future__ import annotations

import ipywidgets as widgets
from IPython.display import display

from containerkit.progress import Item, Shown
from containerkit.views import html, text


class ProgressWidget(Shown):
    """Shows the work as a widget below the cell that does it.

    ``title``, ``items`` and ``summary`` are what is shown; :attr:`view` is the widget itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.view = _View()
        self._is_shown = False

    def draw(self) -> None:
        items = [(item.key, _state(item), _part(item)) for item in self.items.values()]
        self.view.title = self.title
        self.view.value = html.progress(self.title, items, self.summary if self.is_over else "")
        if not self._is_shown:
            self._is_shown = True
            display(self.view)  # type: ignore[no-untyped-call]  # IPython has no types here


class _View(widgets.HTML):  # type: ignore[misc]  # ipywidgets has no types
    title = ""

    def __repr__(self) -> str:
        # What is stored in a notebook as the widget's text: the same each time.
        return f"<{self.title}>"


def _part(item: Item) -> float:
    return 0.0 if not item.total else min(1.0, item.done / item.total)


def _state(item: Item) -> str:
    if not item.total or item.done >= item.total:
        return item.state
    return f"{item.state}: {text.size(item.done)} of {text.size(item.total)}"
