"""What containers use, for Prometheus: an HTTP server whose ``/metrics`` has the names and labels of cAdvisor.

Dashboards and alerts that were made for cAdvisor find what they look for. Source of the names: cAdvisor,
docs/storage/prometheus.md. What it has for single devices and processors is given in all, as ``cpu="total"``; a limit
that there is not is 0, as it is there.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from containerkit.container import Container
from containerkit.errors import ContainerkitError, RuntimeFailure, Unsupported
from containerkit.measuring.stats import Stats, read_stats
from containerkit.options import Settings
from containerkit.supervise import configjson
from containerkit.views import html

if TYPE_CHECKING:
    from containerkit.engine import Engine
    from containerkit.store.containers import ContainerRecord

#: Microseconds in which a quota is counted, as the kernel has it.
_PERIOD = 100_000
#: Positions in a line of /proc/net/dev (proc_pid_net(5)).
_NETWORK = {
    "receive_bytes": 0, "receive_packets": 1, "receive_errors": 2, "receive_packets_dropped": 3,
    "transmit_bytes": 8, "transmit_packets": 9, "transmit_errors": 10, "transmit_packets_dropped": 11,
}  # fmt: skip


class _Look(NamedTuple):
    """A container as it is at one scrape."""

    record: ContainerRecord
    settings: Settings
    stats: Stats
    network: Mapping[str, list[int]]


def _quota(now: _Look) -> float | None:
    cores = now.stats.cpus_limit
    return None if cores is None else cores * (now.settings.cpu_period or _PERIOD)


class _Metric(NamedTuple):
    about: str
    value: Callable[[_Look], float | None]
    labels: Mapping[str, str] = {}


_COUNTERS = {
    "container_cpu_usage_seconds": _Metric(
        "Processor time.", lambda now: now.stats.cpu_usage_seconds, {"cpu": "total"}
    ),
    "container_cpu_user_seconds": _Metric("Processor time in user mode.", lambda now: now.stats.cpu_user_seconds),
    "container_cpu_system_seconds": _Metric("Processor time in the kernel.", lambda now: now.stats.cpu_system_seconds),
    "container_cpu_cfs_periods": _Metric("Periods with a quota in force.", lambda now: now.stats.periods),
    "container_cpu_cfs_throttled_periods": _Metric("Of these, used up.", lambda now: now.stats.throttled_periods),
    "container_cpu_cfs_throttled_seconds": _Metric("Time throttled.", lambda now: now.stats.throttled_seconds),
    "container_fs_reads_bytes": _Metric("Bytes read from block devices.", lambda now: now.stats.io_read_bytes),
    "container_fs_writes_bytes": _Metric("Bytes written to block devices.", lambda now: now.stats.io_write_bytes),
    "container_fs_reads": _Metric("Reads of block devices.", lambda now: now.stats.io_read_ops),
    "container_fs_writes": _Metric("Writes to block devices.", lambda now: now.stats.io_write_ops),
    "container_oom_events": _Metric("Processes ended as memory ran out.", lambda now: now.stats.oom_kills),
}
_GAUGES = {
    "container_memory_usage_bytes": _Metric("Memory, page cache included.", lambda now: now.stats.memory_usage_bytes),
    "container_memory_working_set_bytes": _Metric(
        "Memory without files that nobody has touched for a while.", lambda now: now.stats.memory_bytes
    ),
    "container_memory_max_usage_bytes": _Metric("The most of it so far.", lambda now: now.stats.memory_peak_bytes),
    "container_memory_rss": _Metric("Memory of processes' own.", lambda now: now.stats.memory.get("anon", 0)),
    "container_memory_cache": _Metric("Page cache.", lambda now: now.stats.memory.get("file", 0)),
    "container_memory_mapped_file": _Metric("Files mapped.", lambda now: now.stats.memory.get("mapped_file", 0)),
    "container_memory_swap": _Metric("Swap.", lambda now: now.stats.memory.get("swap", 0)),
    "container_threads": _Metric("Tasks, as the pids controller counts.", lambda now: now.stats.pids),
    "container_threads_max": _Metric("The most there may be.", lambda now: now.stats.pids_limit or 0),
    "container_spec_memory_limit_bytes": _Metric("Limit of memory.", lambda now: now.stats.memory_limit_bytes or 0),
    "container_spec_memory_reservation_limit_bytes": _Metric(
        "Memory that is reserved.", lambda now: now.settings.memory_reservation or 0
    ),
    "container_spec_memory_swap_limit_bytes": _Metric(
        "Limit of memory and swap.", lambda now: max(now.settings.memory_swap or 0, 0)
    ),
    "container_spec_cpu_shares": _Metric("Share of the processors.", lambda now: now.settings.cpu_shares or 1024),
    "container_spec_cpu_period": _Metric("Microseconds of a period.", lambda now: now.settings.cpu_period or _PERIOD),
    "container_spec_cpu_quota": _Metric("Microseconds of processor time in a period.", _quota),
    "container_start_time_seconds": _Metric("When it was started.", lambda now: now.record.started),
    "container_last_seen": _Metric("When it was looked at last.", lambda now: int(time.time())),
}


class MetricsServer:
    """Answers ``GET /metrics`` until :meth:`close`, or the end of a ``with`` block, or of this process."""

    def __init__(self, engine: Engine, host: str, port: int) -> None:
        client = _client()
        registry = client.CollectorRegistry()
        registry.register(_Collector(engine, client.Metric))
        try:
            self._server, self._thread = client.start_http_server(port, host, registry)
        except OSError as error:
            text = f"metrics: cannot listen on {host}:{port}: {error.strerror}"
            raise RuntimeFailure(text, errno=error.errno) from error
        self.host, self.port = host, int(self._server.server_port)

    @property
    def url(self) -> str:
        """Where the metrics are."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/metrics"

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"MetricsServer({self.url!r})"

    def _repr_html_(self) -> str:
        return html.note(f"metrics for Prometheus at {self.url}")


def _client() -> Any:
    try:
        import prometheus_client
    except ImportError as error:
        raise Unsupported("metrics: need prometheus_client: pip install 'containerkit[metrics]'") from error
    return prometheus_client


class _Collector:
    """Looks at all containers that run, at each scrape."""

    def __init__(self, engine: Engine, metric: Any) -> None:
        self._engine, self._metric = engine, metric

    def describe(self) -> list[Any]:
        """Nothing is promised beforehand: the client would look at all containers for it."""
        return []

    def collect(self) -> Iterator[Any]:
        looks = [(_labels(self._engine, look), look) for look in self._looks()]
        for kind, table, ending in (("counter", _COUNTERS, "_total"), ("gauge", _GAUGES, "")):
            for name, metric in table.items():
                family = self._metric(name, metric.about, kind)
                for labels, look in looks:
                    if (value := metric.value(look)) is not None:
                        family.add_sample(f"{name}{ending}", {**labels, **metric.labels}, value)
                yield family
        yield from self._network(looks)
        yield self._page_faults(looks)
        yield from self._machine()

    def _looks(self) -> Iterator[_Look]:
        for container in Container.list(engine=self._engine):
            try:
                record = container._running("measure", frozenset({"running", "paused"}))
                stats, network = read_stats(self._engine.store, record)
                yield _Look(record, Settings.read(record.options), stats, network)
            except (ContainerkitError, OSError):
                continue  # it has just ended

    def _network(self, looks: list[tuple[dict[str, str], _Look]]) -> Iterator[Any]:
        for name, place in _NETWORK.items():
            family = self._metric(f"container_network_{name}", f"{name.replace('_', ' ')} of a link.", "counter")
            for labels, look in looks:
                for interface, counters in look.network.items():
                    sample = {**labels, "interface": interface}
                    family.add_sample(f"container_network_{name}_total", sample, counters[place])
            yield family

    def _page_faults(self, looks: list[tuple[dict[str, str], _Look]]) -> Any:
        name = "container_memory_failures"
        family = self._metric(name, "Page faults.", "counter")
        for labels, look in looks:
            for kind, count in (("pgfault", look.stats.page_faults), ("pgmajfault", look.stats.major_page_faults)):
                family.add_sample(f"{name}_total", {**labels, "failure_type": kind, "scope": "container"}, count)
        return family

    def _machine(self) -> Iterator[Any]:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        for name, about, value in (
            ("machine_cpu_cores", "Processors of this machine.", os.cpu_count()),
            ("machine_memory_bytes", "Memory of this machine.", memory),
        ):
            family = self._metric(name, about, "gauge")
            family.add_sample(name, {}, value)
            yield family


def _labels(engine: Engine, look: _Look) -> dict[str, str]:
    """As cAdvisor has them: the cgroup's path, the name, the image, and what the container is labelled with."""
    own = {f"container_label_{re.sub('[^a-zA-Z0-9_]', '_', key)}": str(value)
           for key, value in (look.settings.labels or {}).items()}  # fmt: skip
    cgroup = configjson.cgroup(engine.store, look.record.id)
    return {"id": cgroup, "name": look.record.name, "image": look.record.image_reference, **own}
