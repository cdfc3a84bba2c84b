"""The steps of a start as HTML: an operation with the world before and after it, and a plan with how far it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from containerkit.values import frozen
from containerkit.views import html

_MONO = "font-family:var(--jp-code-font-family,monospace);font-size:12px;line-height:1.5"
_EDGE = "border:1px solid rgba(128,128,128,.4);border-radius:6px;padding:8px 10px;box-sizing:border-box"
_NEW = "background:rgba(46,160,67,.18)"
_COLOURS = {"host": "#6d7a88", "container": "#2f7fd1"}
_TITLES = {"outside": "seen from outside", "inside": "seen from inside"}


@frozen
class Operation:
    """What was executed; ``calls`` are its system calls."""

    number: int
    name: str
    where: str
    description: str
    calls: tuple[str, ...]
    nanoseconds: int | None


@frozen
class Sight:
    """Something that is seen; ``is_new``: it was another before."""

    what: str
    before: str
    after: str
    is_new: bool = False


def step(operation: Operation, sides: Mapping[str, Sequence[Sight]]) -> str:
    """One operation, and both sides of the world, with what it changed marked."""
    cost = "" if operation.nanoseconds is None else f"{operation.nanoseconds / 1e6:.2f} ms"
    calls = f'<div style="{_MONO};opacity:.75">{escape(", ".join(operation.calls))}</div>' if operation.calls else ""
    head = (
        f"<div><b>{operation.number}. {escape(operation.name)}</b> {_where(operation.where)} "
        f'<span style="opacity:.7">{cost}</span></div><div style="{_MONO}">{escape(operation.description)}</div>{calls}'
    )
    panels = "".join(_side(_TITLES[side], sights) for side, sights in sides.items())
    flow = "display:flex;flex-wrap:wrap;gap:10px;margin-top:6px"
    return f'<div {html.PLAIN} style="max-width:1100px">{head}<div style="{flow}">{panels}</div></div>'


def _where(where: str) -> str:
    style = f"border:1px solid {_COLOURS[where]};border-radius:4px;padding:0 6px;font-size:11px"
    return f'<span style="{style}">{escape(where)}</span>'


def _side(title: str, sights: Sequence[Sight]) -> str:
    rows = "".join(map(_row, sights)) or '<i style="opacity:.7">no process yet</i>'
    return f'<div style="{_EDGE};flex:1 1 420px;min-width:0"><b>{escape(title)}</b>{rows}</div>'


def _row(sight: Sight) -> str:
    words = escape(sight.after)
    if sight.is_new:
        both = sight.before and sight.after
        before = f'<span style="opacity:.6">{escape(sight.before)}</span> → ' if both else ""
        words = f"{before}<b>{words or escape(sight.before)}</b>"
    columns = f"display:grid;grid-template-columns:176px minmax(0,1fr);gap:8px;padding:1px 4px;{_MONO}"
    look = _NEW if sight.is_new else "opacity:.6"
    return f'<div style="{columns};{look}"><span>{escape(sight.what)}</span><span>{words}</span></div>'


def plan(title: str, operations: Sequence[Operation], done: int | None = None) -> str:
    """All operations with what they cost.

    Args:
        done: so many have been executed in a walk through them, the next one is marked; None: nobody walks.
    """
    most = max((one.nanoseconds or 0 for one in operations), default=0)
    rows = "".join(_planned(one, done, most) for one in operations)
    columns = "auto auto auto minmax(0,3fr) minmax(0,2fr) auto"
    grid = f"display:grid;grid-template-columns:{columns};column-gap:12px;{_MONO}"
    return f'<div {html.PLAIN} style="max-width:1100px"><b>{escape(title)}</b><div style="{grid}">{rows}</div></div>'


def _planned(operation: Operation, done: int | None, most: int) -> str:
    number = operation.number
    is_next, is_past = (False, False) if done is None else (number == done + 1, number <= done)
    mark = "✓ " if is_past else "▶ " if is_next else ""
    style = _NEW if is_next else "opacity:.55" if is_past else ""
    texts = (f"{mark}{number}", operation.name, operation.where, operation.description, ", ".join(operation.calls))
    cells = [f'<span title="{escape(text)}">{escape(text)}</span>' for text in texts]
    cells.append(_cost(operation.nanoseconds, most))
    cut = f"{style};overflow:hidden;text-overflow:ellipsis;white-space:nowrap"
    return "".join(f'<div style="{cut}">{cell}</div>' for cell in cells)


def _cost(nanoseconds: int | None, most: int) -> str:
    if nanoseconds is None:
        return ""
    width = 80 * nanoseconds / most if most else 0
    style = f"display:inline-block;width:{width:.0f}px;margin-right:{84 - width:.0f}px;height:8px;background:#2f7fd1"
    return f'<span style="{style}"></span>{nanoseconds / 1000:.0f} µs'
