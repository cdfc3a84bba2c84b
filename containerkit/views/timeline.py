"""Charts below one another on one axis of time, as SVG: values, their limits, spans, and what happened when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _PLOT, _TITLE, _AXIS = 760, 58, 25, 20
_RED = "var(--jp-error-color1, #d32f2f)"

Points = Sequence[tuple[float, float]]


class Line(NamedTuple):
    """Values over time (seconds, oldest first)."""

    name: str
    colour: str
    points: Points


class Chart(NamedTuple):
    """One chart.

    Args:
        now: the value of now, in words.
        least: the top of the scale at least.
        limits: over time, drawn as dashed steps.
        spans: from, to: times when a limit has held it back; drawn as red ground.
    """

    title: str
    now: str
    lines: Sequence[Line]
    least: float
    limits: Points = ()
    spans: Sequence[tuple[float, float]] = ()


class Mark(NamedTuple):
    """Something that happened."""

    time: float
    words: str
    is_bad: bool = False


def timeline(charts: Sequence[Chart], marks: Sequence[Mark], now: float, seconds: float) -> str:
    """The charts with the last ``seconds`` before ``now``, and lines through all of them for what happened."""
    height = len(charts) * (_PLOT + _TITLE) + _AXIS
    body = "".join(_chart(chart, index * (_PLOT + _TITLE), now, seconds) for index, chart in enumerate(charts))
    label = escape("; ".join(f"{chart.title} {chart.now}" for chart in charts))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" style="width:100%;max-width:{_WIDTH}px;display:block" role="img" '
        f'aria-label="{label}" font-family="var(--jp-ui-font-family, sans-serif)" fill="currentColor">'
        f"{body}{_marks(marks, now, seconds, height - _AXIS)}{_axis(seconds, height)}</svg>"
    )


def _x(time: float, now: float, seconds: float) -> float:
    return round(_WIDTH * (1 - (now - time) / seconds), 1)


def _chart(chart: Chart, top: float, now: float, seconds: float) -> str:
    base = top + _TITLE + _PLOT
    highest = max([chart.least, *(value for _, value in chart.limits)])
    highest = 1.06 * max([highest, *(value for line in chart.lines for _, value in line.points)]) or 1.0

    def y(value: float) -> float:
        return round(base - value / highest * _PLOT, 1)

    spans = "".join(
        f'<rect x="{_x(begin, now, seconds)}" y="{top + _TITLE}" height="{_PLOT}" '
        f'width="{_x(end, now, seconds) - _x(begin, now, seconds):.1f}" fill="{_RED}" opacity="0.13"/>'
        for begin, end in chart.spans
    )
    lines = "".join(_line(line, [(_x(at, now, seconds), y(value)) for at, value in line.points], base)
                    for line in chart.lines)  # fmt: skip
    limits = _steps([(_x(at, now, seconds), y(value)) for at, value in chart.limits])
    return f"{spans}{_title(chart, top)}{_rule(base, 0.3)}{lines}{limits}"


def _title(chart: Chart, top: float) -> str:
    names = "".join(
        f'<tspan fill="{line.colour}" dx="10">\N{BLACK SQUARE} </tspan><tspan>{escape(line.name)}</tspan>'
        for line in chart.lines if line.name
    )  # fmt: skip
    return (
        f'<text x="0" y="{top + 18}" font-size="12"><tspan font-weight="600">{escape(chart.title)}</tspan>{names}'
        f'</text><text x="{_WIDTH}" y="{top + 18}" font-size="12" text-anchor="end">{escape(chart.now)}</text>'
    )


def _rule(y: float, opacity: float) -> str:
    return f'<line x1="0" x2="{_WIDTH}" y1="{y}" y2="{y}" stroke="currentColor" opacity="{opacity}"/>'


def _line(line: Line, points: Points, base: float) -> str:
    if not points:
        return ""
    path = " ".join(f"{x},{y}" for x, y in points)
    return (
        f'<polygon points="{points[0][0]},{base} {path} {points[-1][0]},{base}" fill="{line.colour}" opacity="0.16"/>'
        f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="1.5"/>'
    )


def _steps(points: Points) -> str:
    """The limit as it was until it changed, and as it was from then on."""
    if not points:
        return ""
    parts = [f"M{points[0][0]} {points[0][1]}", *(f"H{x}V{y}" for x, y in points[1:])]
    return f'<path d="{"".join(parts)}" fill="none" stroke="{_RED}" stroke-dasharray="5 4" opacity="0.85"/>'


def _marks(marks: Sequence[Mark], now: float, seconds: float, height: float) -> str:
    return "".join(_mark(*placed, height) for placed in _placed(marks, now, seconds))


def _placed(marks: Sequence[Mark], now: float, seconds: float) -> Iterator[tuple[Mark, float, bool, int]]:
    """Where each is, whether its words are before it, and how far down: they do not lie upon those of others."""
    ends = [0.0, 0.0, 0.0]
    for mark in marks:
        x, width = _x(mark.time, now, seconds), 6 * len(mark.words) + 10
        begin = x - width if x + width > _WIDTH else x
        row = next((row for row, end in enumerate(ends) if end <= begin), 0)
        ends[row] = begin + width
        yield mark, x, begin < x, row


def _mark(mark: Mark, x: float, is_before: bool, row: int, height: float) -> str:
    colour, y = (_RED if mark.is_bad else "currentColor"), _TITLE + 11 + 13 * row
    anchor, beside = ("end", x - 4) if is_before else ("start", x + 4)
    return (
        f'<line x1="{x}" x2="{x}" y1="{_TITLE}" y2="{height}" stroke="{colour}" stroke-dasharray="2 3" opacity="0.7"/>'
        f'<text x="{beside}" y="{y}" font-size="11" fill="{colour}" text-anchor="{anchor}">{escape(mark.words)}</text>'
    )


def _axis(seconds: float, height: float) -> str:
    places = [(part, f"−{seconds * (1 - part):.0f} s" if part < 1 else "now") for part in (0, 0.25, 0.5, 0.75, 1)]
    anchors: dict[float, str] = {0: "start", 1: "end"}
    return "".join(
        f'<text x="{part * _WIDTH}" y="{height - 4}" font-size="11" opacity="0.7" '
        f'text-anchor="{anchors.get(part, "middle")}">{words}</text>'
        for part, words in places
    )
