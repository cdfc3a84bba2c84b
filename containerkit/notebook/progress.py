"""Long work in a notebook: bars that move and steps that pass while it goes on, and one line that stays.

Below that line, folded, are the steps of the work's parts; a part in which something has failed is open.
"""

from __future__ import annotations

import ipywidgets as widgets
from IPython.display import display

from containerkit.progress import Item, Part, Shown
from containerkit.views import html, text

#: Lines of a step's output that are there to be unfolded.
_LINES = 20


class ProgressWidget(Shown):
    """Shows the work as a widget below the cell that does it.

    ``title``, ``items``, ``parts`` and ``summary`` are what is shown; :attr:`view` is the widget itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.view = _View()
        self._is_shown = False

    def draw(self) -> None:
        items = [(item.key, _state(item), _part(item)) for item in self.items.values()]
        self.view.title = self.title
        self.view.value = html.progress(self.title, items, self.summary if self.is_over else "", _parts(self))
        if not self._is_shown:
            self._is_shown = True
            display(self.view)  # type: ignore[no-untyped-call]  # IPython has no types here


class _View(widgets.HTML):  # type: ignore[misc]  # ipywidgets has no types
    title = ""

    def __repr__(self) -> str:
        # What is stored in a notebook as the widget's text: the same each time.
        return f"<{self.title}>"


def _parts(work: Part) -> str:
    return "".join(
        html.steps(
            part.title, [_row(item, part.is_over) for item in part.items.values()], part.summary, _parts(part),
            is_open=not part.is_over or part.is_failed,
        )
        for part in work.parts if part.title
    )  # fmt: skip


def _row(item: Item, is_over: bool) -> tuple[str, str, str, list[str]]:
    # A step that changes no file has not come to anything that is worth a mark.
    state = "" if item.state == "done" and not item.total else item.state
    bytes_done = _state(item) if item.total else ""
    # When it is over, the steps are folded away: there is room for more of what they wrote.
    lines = [*item.lines][-_LINES:] if is_over else item.last_lines
    return (state if item.is_finished else "", item.took, f"{item.key}  {bytes_done}".rstrip(), lines)


def _part(item: Item) -> float:
    return 0.0 if not item.total else min(1.0, item.done / item.total)


def _state(item: Item) -> str:
    if not item.total or item.done >= item.total:
        return item.state
    return f"{item.state}: {text.size(item.done)} of {text.size(item.total)}"
