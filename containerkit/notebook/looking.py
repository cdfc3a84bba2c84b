"""A widget that looks at something again and again: a look that fails is shown, and the next one is tried."""

from __future__ import annotations

import threading

import ipywidgets as widgets

from containerkit.notebook.aside import words
from containerkit.notebook.timer import Timer


class Looking(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Has an ``error``: what went wrong last, in a look or in what a button did; the next good look ends the former."""

    _lock: threading.RLock
    error = ""
    #: From when it is made until it is closed.
    _is_open = False
    #: Of the last look.
    _trouble = ""

    def refresh(self) -> None:
        """Look now."""
        raise NotImplementedError

    def _draw(self) -> None:
        raise NotImplementedError

    def _tick(self, _: Timer) -> None:
        before, self._trouble = self._trouble, ""
        try:
            self.refresh()
        except Exception as error:  # the next look may be better
            self._trouble = words(error)
            self._say(self._trouble)
        else:
            if before and self.error == before:
                self._say("")

    def _say(self, error: str) -> None:
        with self._lock:
            if self._is_open:
                self.error = error
                self._draw()
