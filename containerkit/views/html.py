"""Values as HTML fragments. Text from outside is escaped; colours work on light and dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from containerkit.views import text

_MONO = "font-family:var(--jp-code-font-family,monospace);font-size:12px;line-height:1.4"
_COLOURS = {
    "running": "#2e7d32", "created": "#546e7a", "exited": "#6d4c41", "dead": "#b71c1c", "paused": "#ef6c00",
    "restarting": "#1565c0", "removed": "#757575", "ok": "#2e7d32", "missing": "#b71c1c",
}  # fmt: skip


def badge(status: str) -> str:
    """A status as a coloured label."""
    colour = _COLOURS.get(status, "#546e7a")
    style = f"background:{colour};color:white;border-radius:9px;padding:1px 9px;font-size:11px"
    return f'<span style="{style}">{escape(status)}</span>'


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], empty: str = "nothing") -> str:
    """A table with a head."""
    if not rows:
        return note(empty)
    head = "".join(f'<th style="text-align:left">{escape(name.replace("_", " "))}</th>' for name in columns)
    body = "".join("<tr>" + "".join(_cell(name, row.get(name)) for name in columns) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(column: str, value: Any) -> str:
    if column == "status":
        return f"<td>{badge(str(value))}</td>"
    right = isinstance(value, (int, float)) and not isinstance(value, bool)
    # Lists come with an entry a line; a number and its unit stay together.
    style = ("text-align:right;white-space:nowrap" if right else "text-align:left;white-space:pre-line") + (
        f";{_MONO}" if column in ("id", "command", "digest") else ""
    )
    return f'<td style="{style}">{escape(text.cell(column, value))}</td>'


def card(title: str, status: str, rows: Mapping[str, str]) -> str:
    """One object: a title, its status, and names with values."""
    lines = "".join(
        f'<tr><td style="text-align:left;opacity:.7">{escape(name)}</td>'
        f'<td style="text-align:left;{_MONO}">{escape(value)}</td></tr>'
        for name, value in rows.items()
    )
    mark = badge(status) if status else ""
    return f"<div><b>{escape(title)}</b> {mark}<table>{lines}</table></div>"


def progress(title: str, items: Sequence[tuple[str, str, float]], summary: str) -> str:
    """How far work is: a bar for each item, or, once it is over, what stays to be read of it.

    Args:
        items: name, state, and the part that is done, 0 to 1.
    """
    if summary:
        return f"<div>{escape(summary)}</div>"
    rows = "".join(
        f'<tr><td style="text-align:left;{_MONO}">{escape(name)}</td>'
        f'<td><div style="width:220px;height:8px;border-radius:4px;background:rgba(128,128,128,.25)">'
        f'<div style="width:{100 * part:.0f}%;height:8px;border-radius:4px;background:#1f77b4"></div></div></td>'
        f'<td style="text-align:left;font-size:12px">{escape(state)}</td></tr>'
        for name, state, part in items
    )
    return f"<div>{escape(title)}<table>{rows}</table></div>"


def bars(rows: Sequence[tuple[str, float, str]]) -> str:
    """Named amounts as a column of bars, the longest one full.

    Args:
        rows: name, amount, and what is written beside the bar.
    """
    most = max((amount for _, amount, _ in rows), default=0.0) or 1.0
    lines = "".join(
        f'<tr><td style="text-align:left;{_MONO}">{escape(name)}</td>'
        f'<td><div style="width:{max(2.0, 260 * amount / most):.0f}px;height:12px;border-radius:2px;'
        f'background:#1f77b4"></div></td><td style="text-align:left;font-size:12px">{escape(words)}</td></tr>'
        for name, amount, words in rows
    )
    return f"<table>{lines}</table>"


def note(words: str) -> str:
    """A remark."""
    return f"<i>{escape(words)}</i>"


def pre(content: str, colour: str = "inherit", limit: int = 100_000) -> str:
    """Output of a program; what is over the limit is left out from the front."""
    if len(content) > limit:
        content = f"… {len(content) - limit} characters before\n{content[-limit:]}"
    style = f"margin:2px 0;white-space:pre-wrap;{_MONO};color:{colour}"
    return f'<pre style="{style}">{escape(content)}</pre>' if content else ""


def result(exit_code: int, oom_killed: bool, stdout: str, stderr: str) -> str:
    """How a process ended, and what it wrote."""
    word = "ok" if exit_code == 0 else f"exit code {exit_code}" + (", out of memory" if oom_killed else "")
    colour = "#2e7d32" if exit_code == 0 else "#b71c1c"
    mark = f'<span style="color:{colour}">{escape(word)}</span>'
    return f"<div>{pre(stdout)}{pre(stderr, '#b71c1c')}{mark}</div>"
