"""Values as matplotlib plots. matplotlib is imported when the first one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

_MiB = 1 << 20
_UNITS = (("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30))


def recording(frame: pandas.DataFrame, title: str, ax: Any = None) -> Any:
    """CPU (left axis, per cent of one core) and memory (right axis, MiB) over seconds since the first sample.

    Args:
        frame: as ``Recording.frame()`` gives it.
        ax: the Axes to draw on; default: a new figure's.

    Returns:
        The Axes of the CPU; ``axes.right_ax`` is that of the memory.
    """
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(8, 3))
    seconds = (frame.index - frame.index[0]).total_seconds() if len(frame) else []
    ax.plot(seconds, frame["cpu_percent"], color="tab:blue")
    ax.set_xlabel("seconds")
    ax.set_ylabel("CPU, % of a core", color="tab:blue")
    ax.set_ylim(bottom=0)
    ax.set_title(title)
    memory = ax.twinx()
    memory.plot(seconds, frame["memory_bytes"] / _MiB, color="tab:orange")
    memory.set_ylabel("memory, MiB", color="tab:orange")
    memory.set_ylim(bottom=0)
    limit = frame["memory_limit_bytes"].dropna()
    if len(limit):
        memory.axhline(limit.iloc[-1] / _MiB, color="tab:orange", linestyle=":", linewidth=1)
        memory.set_ylim(top=limit.iloc[-1] / _MiB * 1.1)
    ax.right_ax = memory
    return ax


def traffic(frame: pandas.DataFrame, title: str, ax: Any = None) -> Any:
    """What was received (above the middle line) and sent (below it) a second, over seconds since the first sample.

    Args:
        frame: as ``Recording.frame()`` gives it.
        ax: the Axes to draw on; default: a new figure's.

    Returns:
        The Axes; its unit follows from the highest rate.
    """
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(8, 3))
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
