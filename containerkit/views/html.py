"""Values as HTML fragments. Text from outside is escaped; colours work on light and dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from containerkit.views import text

#: Of an element whose text is no formulas, whatever dollars and backslashes are in it: a page would typeset them.
PLAIN = 'class="mathjax_ignore tex2jax_ignore"'
_MONO = "font-family:var(--jp-code-font-family,monospace);font-size:12px;line-height:1.4"
_COLOURS = {
    "running": "#2e7d32", "created": "#546e7a", "exited": "#6d4c41", "dead": "#b71c1c", "paused": "#ef6c00",
    "restarting": "#1565c0", "removed": "#757575", "ok": "#2e7d32", "missing": "#b71c1c",
    "busy": "#1565c0", "done": "#2e7d32", "failed": "#b71c1c", "HIT": "#2e7d32", "MISS": "#1565c0",
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
    return f"<table {PLAIN}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


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
    return f"<div {PLAIN}><b>{escape(title)}</b> {mark}<table>{lines}</table></div>"


def progress(title: str, items: Sequence[tuple[str, str, float]], summary: str, parts: str = "") -> str:
    """How far work is: a bar for each item, or, once it is over, what stays to be read of it.

    Args:
        items: name, state, and the part that is done, 0 to 1.
        parts: of the work, as :func:`steps` has each.
    """
    if summary:
        return f"<div {PLAIN}>{escape(summary)}{parts}</div>"
    rows = "".join(
        f'<tr><td style="text-align:left;{_MONO}">{escape(name)}</td>'
        f'<td><div style="width:220px;height:8px;border-radius:4px;background:rgba(128,128,128,.25)">'
        f'<div style="width:{100 * part:.0f}%;height:8px;border-radius:4px;background:#1f77b4"></div></div></td>'
        f'<td style="text-align:left;font-size:12px">{escape(state)}</td></tr>'
        for name, state, part in items
    )
    return f"<div {PLAIN}>{escape(title)}<table>{rows}</table>{parts}</div>"


def steps(
    title: str, rows: Sequence[tuple[str, str, str, Sequence[str]]], note: str, within: str, *, is_open: bool
) -> str:  # fmt: skip
    """A piece of the work, folded to its title and a note where it is not open.

    Args:
        rows: of each step its state, how long it took, what it does, and lines of its output.
        within: pieces of it, as HTML.
    """
    lines = "".join(map(_step, rows))
    head = f'<summary style="{_MONO};cursor:pointer"><b>{escape(title)}</b>  {escape(note)}</summary>'
    body = f'<div style="margin-left:16px">{lines}{within}</div>'
    return f"<details{' open' if is_open else ''} {PLAIN}>{head}{body}</details>"


def _step(row: tuple[str, str, str, Sequence[str]]) -> str:
    state, took, words, output = row
    columns = "display:grid;grid-template-columns:64px 56px minmax(0,1fr);align-items:baseline"
    edge = "margin-left:120px;border-left:3px solid rgba(128,128,128,.5);padding-left:8px"
    log = f'<div style="{edge}">{pre(chr(10).join(output))}</div>'
    return (
        f'<div style="{columns};{_MONO}"><span>{badge(state) if state else ""}</span>'
        f'<span style="opacity:.7">{escape(took)}</span>'
        f'<span style="overflow:hidden;text-overflow:ellipsis;white-space:nowrap" title="{escape(words)}">'
        f"{escape(words)}</span></div>{log if output else ''}"
    )


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
    return f"<table {PLAIN}>{lines}</table>"


def note(words: str) -> str:
    """A remark."""
    return f"<i {PLAIN}>{escape(words)}</i>"


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
    return f"<div {PLAIN}>{pre(stdout)}{pre(stderr, '#b71c1c')}{mark}</div>"
