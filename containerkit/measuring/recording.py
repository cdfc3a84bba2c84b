"""A container measured over time."""

from __future__ import annotations

import time
import warnings
from datetime import datetime, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from containerkit.errors import ContainerkitError, InvalidArgument
from containerkit.measuring.gauge import Gauge, Reading, is_end, rates
from containerkit.measuring.sampler import Sampler
from containerkit.reading import event
from containerkit.views import frames, html, plots, text

if TYPE_CHECKING:
    import pandas

    from containerkit.reading.event import Event
    from containerkit.store.containers import ContainerRecord
    from containerkit.store.store import Store

#: Of each column but the time its unit, which its name has, too.
UNITS = {
    "cpu_percent": "% of a core", "cpu_limit_percent": "% of a core", "memory_bytes": "bytes",
    "memory_limit_bytes": "bytes", "pids": "processes", "io_read_bytes": "bytes", "io_write_bytes": "bytes",
    "net_rx_bytes": "bytes", "net_tx_bytes": "bytes", "throttled_seconds": "seconds",
}  # fmt: skip
COLUMNS = ("time", *UNITS)
#: What a plot marks.
_MARKED = ("oom", "die", "pause", "unpause", "update")


class Recording:
    """Samples of one container, taken by a thread between ``start`` and ``stop``, or in a ``with`` block.

    ``frame()`` has a row per sample, ``plot()`` draws CPU and memory, ``plot_network()`` the traffic. It ends by itself
    when the container does.
    """

    def __init__(self, store: Store, record: ContainerRecord, interval: float) -> None:
        if interval < 0.001:
            raise InvalidArgument(f"interval {interval}: at least 0.001 seconds")
        self.name = record.name
        self.interval = interval
        #: What kept it last from being measured at a moment; None for nothing. The end of the container is nothing.
        self.error: Exception | None = None
        self._store, self._record = store, record
        self._readings: list[Reading] = []
        self._gauge: Gauge | None = None
        self._sampler: Sampler | None = None
        self._stopped: float | None = None

    def start(self) -> Recording:
        """Begin; the first sample is taken before this returns. Of a container that has ended there is none."""
        if self._sampler is None and self._open():
            self._sampler = Sampler(f"record {self.name}", self.interval, self._take)
        return self

    def stop(self) -> Recording:
        """End with a last sample, unless one is as good as new; nothing is added afterwards.

        Warns when there are moments that could not be measured.
        """
        if self._sampler is not None:
            self._sampler.stop()
        self._close()
        warn(f"container {self.name}", self.error)
        return self

    def _open(self) -> bool:
        """Take the first sample; False when the container has ended."""
        try:
            self._gauge = Gauge(self._store, self._record)
            self._readings.append(self._gauge.read())
        except (ContainerkitError, OSError) as error:
            self._shut()
            if not is_end(error):
                raise
            return False
        return True

    def _take(self) -> bool:
        """Take one more; False when the container has ended."""
        assert self._gauge is not None
        try:
            self._readings.append(self._gauge.read())
        except Exception as error:  # the next moment may be better
            if is_end(error):
                self._shut()
                return False
            self.error = error
        return True

    def _shut(self) -> None:
        if self._gauge is not None:
            self._gauge.close()
            self._gauge = None

    def _close(self) -> None:
        if self._gauge is not None and self._is_due():
            self._take()
        self._shut()
        self._stopped = self._stopped or time.time()

    def _is_due(self) -> bool:
        """Whether the end needs a sample of its own: there is but one, or half a turn has gone by since the last."""
        return len(self._readings) < 2 or time.monotonic() - self._readings[-1].clock > self.interval / 2

    def __enter__(self) -> Recording:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def __len__(self) -> int:
        return len(self._readings)

    def rows(self) -> list[dict[str, Any]]:
        """A row per sample but the first, for CPU is a difference: 100 per cent is one core.

        Times are counted from the first sample's: a clock that is set meanwhile makes no gap.
        """
        rows = []
        for before, now in pairwise(self._readings):
            first, new = self._readings[0], now.sample
            rows.append(
                {
                    "time": datetime.fromtimestamp(first.time + now.clock - first.clock, timezone.utc),
                    "cpu_percent": rates(before, now).cpu_percent,
                    "cpu_limit_percent": None if new.cpus_limit is None else 100 * new.cpus_limit,
                    "memory_bytes": new.memory_bytes,
                    "memory_limit_bytes": new.memory_limit_bytes,
                    "pids": new.pids,
                    "io_read_bytes": new.io_read_bytes,
                    "io_write_bytes": new.io_write_bytes,
                    "net_rx_bytes": now.received,
                    "net_tx_bytes": now.sent,
                    "throttled_seconds": new.throttled_seconds,
                }
            )
        return rows

    def frame(self) -> pandas.DataFrame:
        """The samples as a pandas frame, indexed by ``time`` (UTC); ``frame.attrs["units"]`` says what they count."""
        made = frames.frame(self.rows(), COLUMNS, index="time")
        made.attrs["units"] = dict(UNITS)
        return made

    @property
    def events(self) -> list[Event]:
        """What happened to it meanwhile: out of memory, an end, a pause, other limits …"""
        if not self._readings:
            return []
        wanted = {"container": self._record.id, "type": "container"}
        return list(event.events(self._store, since=self._readings[0].time, until=self._stopped, filters=wanted))

    def _summary(self) -> dict[str, Any]:
        """In a few words: what it used in all, and the most of it at a time."""
        samples = [reading.sample for reading in self._readings]
        used = samples[-1].cpu_usage_ns - samples[0].cpu_usage_ns if samples else 0
        return {
            "samples": len(samples),
            "cpu_seconds": f"{used / 1e9:.2f}",
            "cpu_percent_max": f"{max((row['cpu_percent'] for row in self.rows()), default=0):.0f}",
            "memory_max": text.size(max((sample.memory_bytes for sample in samples), default=0)),
        }

    def _marks(self) -> list[tuple[datetime, str]]:
        return [(one.time, one.action) for one in self.events if one.action in _MARKED]

    def plot(self, ax: Any = None) -> Any:
        """CPU and memory over time, on ``ax`` or a new figure; returns the matplotlib Axes.

        Limits are dotted lines; times at which it was throttled, or paused, are shaded; where memory ran out, where it
        ended, and where its limits were changed there is a line.
        """
        return plots.recording(self.frame(), f"container {self.name}", ax, self._marks())

    def plot_network(self, ax: Any = None) -> Any:
        """What was received and sent a second, over all its links but loopback; as :meth:`plot`."""
        return plots.traffic(self.frame(), f"container {self.name}: network", ax)

    def __repr__(self) -> str:
        return f"Recording({self.name!r}, {len(self)} samples, every {self.interval} s)"

    def _repr_html_(self) -> str:
        return html.note(repr(self))


def warn(name: str, error: Exception | None) -> None:
    """Say that moments are missing, if ``error`` is why."""
    if error is not None:
        text = f"{name}: could not be measured at some moments: {type(error).__name__}: {error}"
        warnings.warn(text, RuntimeWarning, stacklevel=3)
