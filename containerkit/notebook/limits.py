"""Sliders for limits: steps that people choose, and the one that is set."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from containerkit.views import text

#: The last step: no limit.
NONE = -1
_MiB = 1 << 20


def cpus() -> list[tuple[str, float]]:
    """Cores: small parts, tenths of one, and halves up to all that there are."""
    most = os.cpu_count() or 1
    steps = [0.05, *(n / 10 for n in range(1, 10)), *(n / 2 for n in range(2, 2 * most + 1))]
    return [*((f"{step:g}", step) for step in steps), ("no limit", NONE)]


def memory() -> list[tuple[str, float]]:
    """Bytes: powers of two and what is between, up to all that there is."""
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    steps = (size for power in range(23, 50) for size in (1 << power, 3 << power - 1))
    return [*((text.size(step), step) for step in steps if step <= most), ("no limit", NONE)]


def slider(name: str) -> widgets.SelectionSlider:
    """A slider that says when it is let go."""
    return widgets.SelectionSlider(
        options=[("no limit", NONE)], description=name, continuous_update=False, tooltip="Container.update()",
        layout=widgets.Layout(width="350px"), style={"description_width": "60px"},
    )  # fmt: skip


def show(control: widgets.SelectionSlider, steps: list[tuple[str, float]], value: float) -> None:
    """Put it where the limit is, which may be between two steps."""
    words: Callable[[float], Any] = text.size if value > 100_000 else lambda cores: f"{cores:g}"
    if value not in [step for _, step in steps]:
        steps = sorted([*steps[:-1], (words(value), value)], key=lambda step: step[1]) + steps[-1:]
    if tuple(steps) != control.options:
        with control.hold_sync():
            control.options = steps
            control.value = value
    elif control.value != value:
        control.value = value
