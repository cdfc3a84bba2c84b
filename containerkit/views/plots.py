"""Values as matplotlib plots. matplotlib is imported when the first one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

_MiB = 1 << 20


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
