"""Values as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT = 250, 60


def tile(title: str, value: str, history: Sequence[float], top: float, colour: str) -> str:
    """A number with its name, over a line of its history.

    Args:
        history: oldest first.
        top: the least that the full height stands for.
    """
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT + 22}" role="img" aria-label="{escape(title)} {escape(value)}">'
        f'<text x="2" y="14" font-size="12" fill="currentColor" opacity="0.7">{escape(title)}</text>'
        f'<text x="{_WIDTH - 2}" y="14" font-size="13" font-weight="bold" text-anchor="end" fill="currentColor">'
        f"{escape(value)}</text>{_line(history, top, colour)}</svg>"
    )


def _line(history: Sequence[float], top: float, colour: str) -> str:
    base = _HEIGHT + 20
    frame = f'<line x1="0" x2="{_WIDTH}" y1="{base}" y2="{base}" stroke="currentColor" opacity="0.3"/>'
    if not history:
        return frame
    highest = max(top, *history) or 1.0
    step = _WIDTH / max(len(history) - 1, 1)
    points = " ".join(f"{i * step:.1f},{base - value / highest * _HEIGHT:.1f}" for i, value in enumerate(history))
    end = (len(history) - 1) * step
    return (
        f'{frame}<polygon points="0,{base} {points} {end:.1f},{base}" fill="{colour}" opacity="0.18"/>'
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
    )
