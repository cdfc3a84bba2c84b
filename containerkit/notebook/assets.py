"""Scripts and styles of the widgets that draw for themselves, as they are below ``static``; nothing is fetched.

``static/vendor`` has xterm.js 6.0.0 as it is published (npm ``@xterm/xterm``: ``lib/xterm.mjs``, without its last line,
which names a file that is not here, and ``css/xterm.css``), with its licence beside it.
"""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def read(name: str) -> str:
    """The text of a file below ``static``."""
    return (resources.files(__package__) / "static" / name).read_text("utf-8")
