"""The notebook's cell that something was made in: when it is run again, what it has made before is to end."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any

from containerkit.notebook.aside import Aside


def when_run_again(end: Callable[[], object]) -> Callable[[], None]:
    """Call ``end`` once, before the cell that runs now is run again. Outside of a notebook's cell that never happens.

    A cell is known by the id that the notebook has given it; where a client does not tell that, by its text.

    Returns:
        what to call when it has ended by itself: until then it is kept for that.
    """
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    parent = getattr(shell, "parent_header", None) or {}
    if parent.get("msg_type") != "execute_request" or isinstance(threading.current_thread(), Aside):
        return lambda: None
    cell = parent["metadata"].get("cellId") or parent["content"]["code"]

    def look(info: Any) -> None:
        if cell in (info.cell_id, info.raw_cell):
            forget()
            end()

    def forget() -> None:
        with contextlib.suppress(ValueError):  # it is forgotten already
            shell.events.unregister("pre_run_cell", look)

    shell.events.register("pre_run_cell", look)
    return forget
