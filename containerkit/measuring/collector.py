"""What all containers of an engine are and use, looked at together and again and again.

One look is a query of the last event's number and a reading of the gauge of each container that runs. What
containers there are is asked for anew when something has happened, and every few seconds: one whose monitor was killed
tells nobody.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from containerkit.errors import ContainerkitError
from containerkit.measuring.gauge import Gauge, Reading, rates
from containerkit.options import Settings
from containerkit.reading import listing
from containerkit.supervise.health import Health

if TYPE_CHECKING:
    from containerkit.engine import Engine
    from containerkit.store.containers import ContainerRecord

#: Seconds after which it is asked what containers there are, though nothing has been told.
_DOUBT = 5.0


class Use(NamedTuple):
    """What a running container uses.

    Args:
        cpu_percent: since the look before; 100 is one core. ``throttled_percent``: of the time, how long its processes
            would have run and were not let by its limit, together.
        net_rx_rate, net_tx_rate, io_read_rate, io_write_rate: bytes a second since the look before.
    """

    cpu_percent: float = 0.0
    throttled_percent: float = 0.0
    memory_bytes: int = 0
    memory_limit_bytes: int | None = None
    pids: int = 0
    net_rx_rate: float = 0.0
    net_tx_rate: float = 0.0
    io_read_rate: float = 0.0
    io_write_rate: float = 0.0


class Row(NamedTuple):
    """A container as it was at one look.

    Args:
        started: the beginning of its last run (UTC).
        cpus: its limit in cores; None for none.
        use: None while it does not run.
    """

    id: str
    name: str
    image: str
    command: str
    status: str
    exit_code: int | None
    health: str | None
    created: datetime
    started: datetime | None
    cpus: float | None
    use: Use | None = None


class Collector:
    """Looks at all containers of ``engine``. Not for several threads at once; a context manager that closes files."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._found: list[tuple[Row, ContainerRecord]] = []
        self._event, self._asked = -1, 0.0
        self._gauges: dict[str, Gauge] = {}

    def collect(self) -> list[Row]:
        """All containers, newest first, and what those that run have used since the last call."""
        self._ask()
        return [
            row._replace(use=self._use(row, record)) if record.pid is not None else row for row, record in self._found
        ]

    def _ask(self) -> None:
        event, now = self._engine.store.events.last(), time.monotonic()
        if event == self._event and now - self._asked < _DOUBT:
            return
        self._event, self._asked = event, now
        self._found = [(_row(record), record) for record in listing.records(self._engine.store, all=True)]
        running = {record.id: record.pid for _, record in self._found}
        for id in [id for id, gauge in self._gauges.items() if running.get(id) != gauge.pid]:
            self._gauges.pop(id).close()

    def _use(self, row: Row, record: ContainerRecord) -> Use | None:
        try:
            if row.id not in self._gauges:
                self._gauges[row.id] = Gauge(self._engine.store, record)
            gauge = self._gauges[row.id]
            before, now = gauge.last, gauge.read()
            return _use(before or now, now)
        except (ContainerkitError, OSError):
            return None  # it has just ended, or has no cgroup

    def close(self) -> None:
        """Close the files; a later look opens them again."""
        while self._gauges:
            self._gauges.popitem()[1].close()

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _use(before: Reading, now: Reading) -> Use:
    levels, speeds = now.sample, rates(before, now)
    return Use(
        **speeds._asdict(), memory_bytes=levels.memory_bytes, memory_limit_bytes=levels.memory_limit_bytes,
        pids=levels.pids,
    )  # fmt: skip


def cpus(chosen: Settings) -> float | None:
    """The limit in cores that a container has; None for none."""
    if chosen.cpus is None and chosen.cpu_quota is not None and chosen.cpu_quota > 0:
        return chosen.cpu_quota / (chosen.cpu_period or 100_000)
    return chosen.cpus


def _row(record: ContainerRecord) -> Row:
    shown, chosen, health = listing.row(record), Settings.read(record.options), Health.loads(record.health)
    return Row(
        record.id, record.name, shown["image"], shown["command"], record.status, record.exit_code,
        None if health is None else health.status, shown["created"],
        None if record.started is None else datetime.fromtimestamp(record.started, timezone.utc),
        cpus(chosen),
    )  # fmt: skip
