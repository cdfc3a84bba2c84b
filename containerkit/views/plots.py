"""Values as matplotlib plots. matplotlib is imported when the first one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

_MiB = 1 << 20
_UNITS = (("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30))


#: What happened → how its line looks, and what the legend says.
_MARKS = {
    "oom": ("tab:red", "-", "out of memory"),
    "die": ("gray", "--", "ended"),
    "update": ("tab:green", ":", "limits changed"),
}
Marks = Sequence[tuple[datetime, str]]


def recording(frame: pandas.DataFrame, title: str, ax: Any = None, marks: Marks = ()) -> Any:
    """CPU (left axis, per cent of one core) and memory (right axis, MiB) over seconds since the first sample.

    Args:
        frame: as ``Recording.frame()`` gives it.
        ax: the Axes to draw on; default: a new figure's.
        marks: when something happened, and what: ``oom``, ``die``, ``update``, ``pause``, ``unpause``.

    Returns:
        The Axes of the CPU; ``axes.right_ax`` is that of the memory.
    """
    ax = ax or _figure()
    seconds = _seconds(frame, frame.index)
    ax.plot(seconds, frame["cpu_percent"], color="tab:blue")
    ax.plot(seconds, frame["cpu_limit_percent"].astype(float), color="tab:blue", linestyle=":", linewidth=1)
    ax.set_xlabel("seconds")
    ax.set_ylabel("CPU, % of a core", color="tab:blue")
    ax.set_ylim(bottom=0)
    ax.set_title(title)
    memory = ax.right_ax = ax.twinx()
    limits = frame["memory_limit_bytes"].astype(float) / _MiB
    memory.plot(seconds, frame["memory_bytes"] / _MiB, color="tab:orange")
    memory.plot(seconds, limits, color="tab:orange", linestyle=":", linewidth=1)
    memory.set_ylabel("memory, MiB", color="tab:orange")
    memory.set_ylim(bottom=0, top=limits.max() * 1.1 if limits.notna().any() else None)
    _shade_throttled(ax, seconds, frame)
    _mark(ax, frame, marks)
    if ax.get_legend_handles_labels()[1]:
        memory.legend(*ax.get_legend_handles_labels(), loc="best", fontsize="small")
    return ax


def recordings(frame: pandas.DataFrame, marks: Sequence[tuple[str, datetime, str]], ax: Any = None) -> Any:
    """CPU and memory of several containers, a colour for each; what happened to one is a sign on its lines.

    Args:
        frame: as ``Recordings.frame()`` gives it.
        marks: of which container, when, and what: as for :func:`recording`.
        ax: the Axes for the CPU; then memory is dashed, on an axis at its right. Default: a new figure with both.

    Returns:
        The Axes of the CPU; ``axes.memory_ax`` is that of the memory.
    """
    ax, memory, style = (ax, ax.twinx(), "--") if ax is not None else (*_figures(), "-")
    ax.memory_ax = memory
    for place, (name, part) in enumerate(frame.groupby("container")):
        colour, seconds = f"C{place % 10}", _seconds(frame, part.index)
        ax.plot(seconds, part["cpu_percent"], color=colour, label=name)
        memory.plot(seconds, part["memory_bytes"] / _MiB, color=colour, linestyle=style)
        for axes, column, unit in ((ax, "cpu_limit_percent", 1), (memory, "memory_limit_bytes", _MiB)):
            axes.plot(seconds, part[column].astype(float) / unit, color=colour, linestyle=":", linewidth=1)
        _sign(memory, frame, colour, [(when, what) for whose, when, what in marks if whose == name])
    memory.set_xlabel("seconds")
    ax.set_ylabel("CPU, % of a core")
    memory.set_ylabel("memory, MiB")
    for axes in (ax, memory):
        axes.set_ylim(bottom=0)
    if len(frame):
        ax.legend(loc="upper left", fontsize="small", ncols=4)
    return ax


def _figure(height: float = 3) -> Any:
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(8, height))[1]


def _figures() -> tuple[Any, Any]:
    import matplotlib.pyplot as plt

    upper, lower = plt.subplots(2, figsize=(8, 4.5), sharex=True)[1]
    return upper, lower


def _seconds(frame: pandas.DataFrame, index: Any) -> Any:
    """Moments as seconds since the first sample of ``frame``."""
    return (index - frame.index.min()).total_seconds() if len(frame) else []


def _shade_throttled(ax: Any, seconds: Any, frame: pandas.DataFrame) -> None:
    grown = frame["throttled_seconds"].diff().fillna(0) > 0
    spans = [(seconds[i - 1], seconds[i] - seconds[i - 1]) for i in range(1, len(frame)) if grown.iloc[i]]
    if spans:
        place = {"transform": ax.get_xaxis_transform(), "zorder": 0}
        ax.broken_barh(spans, (0, 1), color="tab:red", alpha=0.15, linewidth=0, label="throttled", **place)


def overlay(frames: Sequence[tuple[str, pandas.DataFrame]], ax: Any = None) -> Any:
    """Recordings on top of each other, each from its own beginning: as :func:`recordings` otherwise.

    Args:
        frames: names, and what ``Recording.frame()`` gives.
    """
    import pandas

    since = [frame.assign(container=name).set_axis(frame.index - frame.index.min()) for name, frame in frames]
    return recordings(pandas.concat(since), (), ax)


def bars(names: Sequence[str], parts: Sequence[tuple[str, Sequence[float], str]], title: str, ax: Any = None) -> Any:
    """Horizontal bars, each of several parts, in MiB.

    Args:
        names: of the bars, the uppermost first.
        parts: what it is, how many bytes of it each bar has, and its colour.
    """
    ax = ax or _figure(0.6 + 0.5 * len(names))
    begun = [0.0] * len(names)
    for label, values, colour in parts:
        wide = [value / _MiB for value in values]
        ax.barh(list(names), wide, left=begun, color=colour, label=label)
        begun = [before + width for before, width in zip(begun, wide, strict=True)]
    ax.invert_yaxis()
    ax.set_xlabel("MiB")
    ax.set_title(title)
    ax.legend(loc="best", fontsize="small")
    return ax


def _mark(ax: Any, frame: pandas.DataFrame, marks: Marks) -> None:
    """Lines where something happened, and a shade from each pause to its end."""
    said = set()
    paused: float | None = None
    last = _seconds(frame, frame.index.max()) if len(frame) else 0
    for when, what in (*marks, (None, "unpause")) if len(frame) else ():
        at = last if when is None else _seconds(frame, when)
        if what == "pause":
            paused = at
        elif what == "unpause" and paused is not None:
            ax.axvspan(paused, at, color="gray", alpha=0.2, linewidth=0, label="" if "pause" in said else "paused")
            said.add("pause")
            paused = None
        elif what in _MARKS:
            colour, style, words = _MARKS[what]
            ax.axvline(at, color=colour, linestyle=style, linewidth=1.2, label="" if what in said else words)
            said.add(what)


def _sign(ax: Any, frame: pandas.DataFrame, colour: str, marks: Marks) -> None:
    """Where memory ran out (a star) and where it ended (a cross), at the foot of the plot."""
    for when, what in marks:
        if (sign := {"oom": "*", "die": "x"}.get(what)) and len(frame):
            ax.plot(_seconds(frame, when), 0.04, sign, color=colour, transform=ax.get_xaxis_transform(), clip_on=False)


def traffic(frame: pandas.DataFrame, title: str, ax: Any = None) -> Any:
    """What was received (above the middle line) and sent (below it) a second, over seconds since the first sample.

    Args:
        frame: as ``Recording.frame()`` gives it.
        ax: the Axes to draw on; default: a new figure's.

    Returns:
        The Axes; its unit follows from the highest rate.
    """
    ax = ax or _figure()
    received, sent = (rate(frame[name]) for name in ("net_rx_bytes", "net_tx_bytes"))
    most = max(received.max(), sent.max()) if len(received) else 0.0
    unit, size = [one for one in _UNITS if one[1] <= max(most, 1)][-1]
    seconds = (frame.index[1:] - frame.index[0]).total_seconds() if len(frame) else []
    for values, sign, colour, label in ((received, 1, "tab:green", "received"), (sent, -1, "tab:purple", "sent")):
        ax.fill_between(seconds, sign * values / size, step="pre", color=colour, alpha=0.35, linewidth=0)
        ax.step(seconds, sign * values / size, where="pre", color=colour, label=label)
    ax.axhline(0, color="gray", linewidth=0.8)
    ax.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    ax.set_xlabel("seconds")
    ax.set_ylabel(f"{unit}/s")
    ax.set_title(title)
    ax.legend(loc="best")
    return ax


def rate(counter: pandas.Series[Any]) -> pandas.Series[Any]:
    """How fast a counter with an index of times grew, a second: a value for each sample but the first."""
    seconds = counter.index.to_series().diff().dt.total_seconds()
    found: pandas.Series[Any] = (counter.diff() / seconds).iloc[1:]
    return found
