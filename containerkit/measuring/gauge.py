"""What one run of a container uses, read again and again: readings, and the rates between two of them."""

from __future__ import annotations

import errno
import resource
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from containerkit.errors import NotFound
from containerkit.linux.cgroups import Cgroup, Sample, StatsReader
from containerkit.measuring.stats import has_links, network_bytes
from containerkit.supervise import configjson

if TYPE_CHECKING:
    from containerkit.store.containers import ContainerRecord
    from containerkit.store.store import Store

#: What the kernel says of a process, a network namespace or a cgroup that is gone.
_GONE = (errno.ENOENT, errno.ENODEV, errno.ESRCH, errno.ENXIO)
_keeping: set[Gauge] = set()
#: Files that a gauge has open, at most.
_FILES = 8


def kept_open() -> int:
    """So many gauges of this process keep their files open: half of what it may open is left to others."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft // 2 // _FILES


class Reading(NamedTuple):
    """What was counted at one moment.

    Args:
        time: seconds since the epoch, to be shown.
        clock: seconds of a clock that nobody sets, to count with.
        received, sent: bytes over all links but loopback; 0 where these are the host's.
    """

    time: float
    clock: float
    sample: Sample
    received: int
    sent: int


class Rates(NamedTuple):
    """Between two readings: per cents, 100 is one core; bytes a second."""

    cpu_percent: float
    throttled_percent: float
    net_rx_rate: float
    net_tx_rate: float
    io_read_rate: float
    io_write_rate: float


def seconds(before: Reading, now: Reading) -> float:
    """Between two readings; never 0."""
    return max(now.clock - before.clock, 1e-9)


def rates(before: Reading, now: Reading) -> Rates:
    """What was used a second between two readings."""
    span, old, new = seconds(before, now), before.sample, now.sample
    return Rates(
        cpu_percent=(new.cpu_usage_ns - old.cpu_usage_ns) / 1e7 / span,
        throttled_percent=100 * (new.throttled_seconds - old.throttled_seconds) / span,
        net_rx_rate=(now.received - before.received) / span,
        net_tx_rate=(now.sent - before.sent) / span,
        io_read_rate=(new.io_read_bytes - old.io_read_bytes) / span,
        io_write_rate=(new.io_write_bytes - old.io_write_bytes) / span,
    )


def is_end(error: Exception) -> bool:
    """Whether a reading failed since the container has ended."""
    return isinstance(error, NotFound) or (isinstance(error, OSError) and error.errno in _GONE)


class Gauge:
    """Reads what the run of ``record`` uses. Its files stay open until ``close``, unless many others' do.

    ``last`` is the last reading.

    Raises:
        NotFound: it has ended.
    """

    def __init__(self, store: Store, record: ContainerRecord) -> None:
        self.pid = record.pid
        self.last: Reading | None = None
        self._has_links = has_links(record)
        self._reader = StatsReader(Cgroup(configjson.cgroup(store, record.id)))

    def read(self) -> Reading:
        """Everything, now.

        Raises:
            NotFound, OSError: it has ended, where :func:`is_end` says so.
        """
        if self not in _keeping and len(_keeping) < kept_open():
            _keeping.add(self)
        try:
            received, sent = network_bytes(self.pid) if self._has_links else (0, 0)
            self.last = Reading(time.time(), time.monotonic(), self._reader.sample(), received, sent)
            return self.last
        finally:
            if self not in _keeping:
                self._reader.close()

    def close(self) -> None:
        """Close the files; a later reading opens them again."""
        self._reader.close()
        _keeping.discard(self)
