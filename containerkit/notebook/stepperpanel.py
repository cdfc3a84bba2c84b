"""A walk through a start: the plan, the last step with what it changed, and buttons for the next and for the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import ipywidgets as widgets

from containerkit.errors import ContainerkitError
from containerkit.views import html

if TYPE_CHECKING:
    from containerkit.stepping.stepper import Stepper
    from containerkit.stepping.values import Stepped


class StepperPanel(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """The panel of ``stepper``.

    ``next_button``, ``run_button`` and ``close_button`` call ``Stepper.next()``, ``.run()`` and ``.close()``;
    ``target`` is the operation that ``run_button`` stops after, or None for the end. ``shown``: the step that is looked
    at, chosen by ``history`` of those that are done; ``error`` has what went wrong.
    """

    def __init__(self, stepper: Stepper) -> None:
        self.stepper = stepper
        self.error = ""
        self.shown: Stepped | None = None
        self._view, self._plan, self._trouble = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.next_button = widgets.Button(description="Next", icon="step-forward", tooltip="Stepper.next()")
        self.run_button = widgets.Button(description="Run", icon="play", tooltip="Stepper.run()")
        self.close_button = widgets.Button(description="Give up", icon="stop", tooltip="Stepper.close()")
        names = dict.fromkeys(step.operation for step in stepper.plan)
        self._target = widgets.Dropdown(
            options=[("to the end", ""), *((f"until {name}", name) for name in names)],
            layout=widgets.Layout(width="220px"),
        )
        self.history = widgets.IntSlider(
            description="look at", min=0, max=0, continuous_update=True, layout=widgets.Layout(width="420px")
        )
        self.next_button.on_click(lambda _: self._do(self.stepper.next))
        self.run_button.on_click(lambda _: self._do(lambda: self.stepper.run(until=self.target)))
        self.close_button.on_click(lambda _: self._do(self.stepper.close))
        self.history.observe(lambda _: self._draw(), "value")
        buttons = widgets.HBox([self.next_button, self.run_button, self._target, self.close_button])
        plan = widgets.Accordion([self._plan], titles=("the plan",))
        layout = widgets.Layout(border="1px solid #bbb", padding="10px", max_width="1140px")
        super().__init__([buttons, self.history, self._trouble, self._view, plan], layout=layout)
        self.refresh()

    @property
    def target(self) -> str | None:
        """The operation that ``run_button`` stops after; None for the end."""
        return self._target.value or None

    @target.setter
    def target(self, operation: str | None) -> None:
        self._target.value = operation or ""

    def _do(self, action: Callable[[], object]) -> None:
        self.error = ""
        try:
            action()
        except ContainerkitError as error:
            self.error = str(error)
        self.refresh()

    def refresh(self) -> None:
        """Show how far the stepper is."""
        count = len(self.stepper.done)
        self.history.max = count
        self.history.min = min(1, count)
        self.history.value = count
        for button in (self.next_button, self.run_button, self.close_button):
            button.disabled = self.stepper.is_over
        self._draw()

    def _draw(self) -> None:
        place = self.history.value
        self.shown = self.stepper.done[place - 1] if place else None
        note = html.note("nothing has been executed: press Next")
        self._view.value = note if self.shown is None else self.shown._repr_html_()
        self._plan.value = self.stepper._repr_html_()
        self._trouble.value = html.pre(self.error, "#b71c1c")

    def __repr__(self) -> str:
        return f"StepperPanel({self.stepper!r})"
