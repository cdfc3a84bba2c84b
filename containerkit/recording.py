"""A container measured over time."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from containerkit.errors import ContainerkitError, InvalidArgument
from containerkit.linux.cgroups import Cgroup, Sample, StatsReader
from containerkit.stats import network_bytes
from containerkit.views import frames, html, plots

if TYPE_CHECKING:
    import pandas

COLUMNS = ("time", "cpu_percent", "memory_bytes", "memory_limit_bytes", "pids", "io_read_bytes", "io_write_bytes",
           "net_rx_bytes", "net_tx_bytes", "throttled_seconds")  # fmt: skip


class Recording:
    """Samples of one container, taken by a thread between ``start`` and ``stop``, or in a ``with`` block.

    ``frame()`` has a row per sample, ``plot()`` draws CPU and memory, ``plot_network()`` the traffic. It ends by itself
    when the container does.
    """

    def __init__(self, name: str, cgroup: str, pid: int | None, interval: float) -> None:
        if interval < 0.001:
            raise InvalidArgument(f"interval {interval}: at least 0.001 seconds")
        self.name = name
        self.interval = interval
        self._cgroup, self._pid = cgroup, pid
        self._samples: list[tuple[float, Sample, tuple[int, int]]] = []
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Recording:
        """Begin; the first sample is taken before this returns."""
        if self._thread is None:
            reader = StatsReader(Cgroup(self._cgroup))
            self._take(reader)
            self._thread = threading.Thread(target=self._run, args=(reader,), name=f"record {self.name}", daemon=True)
            self._thread.start()
        return self

    def stop(self) -> Recording:
        """End; nothing is added afterwards."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()
        return self

    def _run(self, reader: StatsReader) -> None:
        due = time.monotonic()
        with reader:
            while True:
                due += self.interval
                if self._done.wait(max(0.0, due - time.monotonic())):
                    return
                if not self._take(reader):
                    return

    def _take(self, reader: StatsReader) -> bool:
        try:
            self._samples.append((time.time(), reader.sample(), network_bytes(self._pid)))
        except (ContainerkitError, OSError):
            return False  # the container has ended
        return True

    def __enter__(self) -> Recording:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def __len__(self) -> int:
        return len(self._samples)

    def rows(self) -> list[dict[str, Any]]:
        """A row per sample but the first, for CPU is a difference: 100 per cent is one core."""
        rows = []
        for (before, old, _), (now, new, (received, sent)) in zip(self._samples, self._samples[1:], strict=False):
            rows.append(
                {
                    "time": datetime.fromtimestamp(now, timezone.utc),
                    "cpu_percent": (new.cpu_usage_ns - old.cpu_usage_ns) / 1e7 / max(now - before, 1e-9),
                    "memory_bytes": new.memory_bytes,
                    "memory_limit_bytes": new.memory_limit_bytes,
                    "pids": new.pids,
                    "io_read_bytes": new.io_read_bytes,
                    "io_write_bytes": new.io_write_bytes,
                    "net_rx_bytes": received,
                    "net_tx_bytes": sent,
                    "throttled_seconds": new.throttled_seconds,
                }
            )
        return rows

    def frame(self) -> pandas.DataFrame:
        """The samples as a pandas frame, indexed by ``time`` (UTC)."""
        return frames.frame(self.rows(), COLUMNS, index="time")

    def plot(self, ax: Any = None) -> Any:
        """CPU and memory over time, on ``ax`` or a new figure; returns the matplotlib Axes."""
        return plots.recording(self.frame(), f"container {self.name}", ax)

    def plot_network(self, ax: Any = None) -> Any:
        """What was received and sent a second, over all its links but loopback; as :meth:`plot`."""
        return plots.traffic(self.frame(), f"container {self.name}: network", ax)

    def __repr__(self) -> str:
        return f"Recording({self.name!r}, {len(self)} samples, every {self.interval} s)"

    def _repr_html_(self) -> str:
        return html.note(repr(self))
