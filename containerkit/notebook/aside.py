"""What runs beside the kernel's cells, which go on meanwhile; and what went wrong there, which no cell shows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from containerkit.errors import ContainerkitError


class Aside(threading.Thread):
    """A thread for what was begun in a page: it belongs to no cell, whichever runs meanwhile."""


def aside(work: Callable[[], object], name: str) -> None:
    """Do ``work`` in a thread of that name."""
    Aside(target=work, name=name, daemon=True).start()


def words(error: Exception) -> str:
    """The error as a widget shows it."""
    return str(error) if isinstance(error, ContainerkitError) else f"{type(error).__name__}: {error}"


class Button(widgets.Button):  # type: ignore[misc]  # ipywidgets has no types
    """A button whose work runs aside when it is clicked in a page; ``click()`` in Python is over when its work is."""

    def _handle_button_msg(self, _: object, content: dict[str, Any], buffers: object) -> None:
        if content.get("event") == "click":
            aside(self.click, f"button {self.description}")
