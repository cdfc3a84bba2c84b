"""Debian's prometheus scrapes our metrics, keeps their history, and answers questions in PromQL."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import containerkit as ck
from containerkit import Engine, Image, MetricsServer, RuntimeFailure
from tests import servers
from tests.peers.programs import needs
from tests.waiting import eventually

CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs: [{{job_name: containerkit, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""


class Prometheus:
    """One that runs."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **query: str) -> Any:
        with urllib.request.urlopen(f"{self.address}/api/v1/{path}?{urlencode(query)}", timeout=60) as answer:
            return json.load(answer)["data"]

    def values(self, query: str) -> dict[str, float]:
        """Name of the container → the value now."""
        found = self.ask("query", query=query)["result"]
        return {one["metric"].get("name", ""): float(one["value"][1]) for one in found}

    def eventually(self, query: str, is_so: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        """The values, once they are so: of a scrape that was too slow there are none."""
        deadline = time.monotonic() + 60
        while True:
            try:
                found = self.values(query)
            except (urllib.error.URLError, ConnectionError):
                found = {}
            if is_so(found):
                return found
            assert time.monotonic() < deadline, f"{query}: {found}"
            time.sleep(0.2)


@pytest.fixture
def metrics(engine: Engine) -> Iterator[MetricsServer]:
    with engine.serve_metrics(port=0) as server:
        yield server


@pytest.fixture
def prometheus(metrics: MetricsServer, tmp_path: Path) -> Iterator[Prometheus]:
    program = shutil.which("prometheus")
    assert program is not None
    (tmp_path / "prometheus.yml").write_text(CONFIGURATION.format(port=metrics.port))
    port = servers.free_port()
    arguments = [program, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
                 f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]  # fmt: skip
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(arguments, stdout=log, stderr=log) as running:
        try:
            yield Prometheus(port)
        finally:
            running.send_signal(signal.SIGTERM)


def exposed(server: MetricsServer) -> list[str]:
    with urllib.request.urlopen(server.url, timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return list(answer.read().decode().splitlines())


@needs("prometheus", "prometheus")
def test_prometheus_collects_what_containers_use(engine: Engine, image: Image, prometheus: Prometheus) -> None:
    busy = engine.run("busybox", ["sh", "-c", "while :; do :; done"], name="busy", cpus=0.2, memory="32m")
    engine.run("busybox", "sleep 600", name="quiet", labels={"com.example.team": "blue"})
    prometheus.eventually("container_last_seen", lambda found: set(found) == {"busy", "quiet"})
    rate = "rate(container_cpu_usage_seconds_total[20s])"
    rates = prometheus.eventually(rate, lambda found: found.get("busy", 0) > 0)
    assert rates["busy"] > rates.get("quiet", 0)
    both = {"busy": 32 << 20, "quiet": 0}
    prometheus.eventually("container_spec_memory_limit_bytes", lambda found: found == both)
    prometheus.eventually("container_spec_cpu_quota / container_spec_cpu_period", lambda found: found == {"busy": 0.2})
    started = prometheus.eventually("container_start_time_seconds", lambda found: "busy" in found)
    assert busy.started is not None and started["busy"] == pytest.approx(busy.started.timestamp(), abs=0.01)
    labelled = 'container_last_seen{container_label_com_example_team="blue"}'
    prometheus.eventually(labelled, lambda found: set(found) == {"quiet"})
    received = 'container_network_receive_bytes_total{interface="eth0"}'
    prometheus.eventually(received, lambda found: set(found) == {"busy", "quiet"})
    prometheus.eventually("machine_cpu_cores", lambda found: found.get("", 0) > 0)

    def targets() -> list[tuple[str, str]]:
        return [(one["health"], one["lastError"]) for one in prometheus.ask("targets")["activeTargets"]]

    assert eventually(lambda: targets() == [("up", "")])


@needs("prometheus", "prometheus")
def test_history_stays_when_the_container_is_gone(engine: Engine, image: Image, prometheus: Prometheus) -> None:
    began = time.time()
    with engine.run("busybox", "sleep 600", name="short"):
        prometheus.eventually("count_over_time(container_last_seen[1m])", lambda found: found.get("short", 0) >= 2)
    prometheus.eventually("container_last_seen", lambda found: found == {})
    (series,) = prometheus.ask(
        "query_range", query="container_memory_usage_bytes", start=str(began), end=str(time.time()), step="0.5"
    )["result"]
    assert series["metric"]["name"] == "short" and series["metric"]["image"] == "busybox"
    values = [float(value) for _, value in series["values"]]
    assert len(values) >= 2 and all(value > 0 for value in values)


def test_the_names_are_cadvisors(engine: Engine, image: Image, metrics: MetricsServer) -> None:
    container = engine.run("busybox", "sleep 600", name="one", memory="16m")
    lines = exposed(metrics)
    names = {line.partition("{")[0] for line in lines if not line.startswith("#")}
    assert names >= {
        "container_cpu_usage_seconds_total", "container_cpu_user_seconds_total", "container_cpu_system_seconds_total",
        "container_cpu_cfs_periods_total", "container_cpu_cfs_throttled_seconds_total", "container_memory_usage_bytes",
        "container_memory_working_set_bytes", "container_memory_rss", "container_memory_cache",
        "container_memory_failures_total", "container_network_receive_bytes_total",
        "container_network_transmit_packets_dropped_total", "container_fs_reads_bytes_total",
        "container_fs_writes_bytes_total", "container_spec_memory_limit_bytes", "container_spec_cpu_shares",
        "container_start_time_seconds", "container_last_seen",
    }  # fmt: skip
    (limit,) = (line for line in lines if line.startswith("container_spec_memory_limit_bytes{"))
    labels = f'id="/containerkit-{container.id}",image="busybox",name="one"'
    assert limit == f"container_spec_memory_limit_bytes{{{labels}}} 1.6777216e+07"
    assert "# TYPE container_cpu_usage_seconds_total counter" in lines
    assert any(line.startswith('container_cpu_usage_seconds_total{cpu="total"') for line in lines)
    container.pause()
    assert any('name="one"' in line for line in exposed(metrics))
    container.remove(force=True)
    assert not any('name="one"' in line for line in exposed(metrics))


def test_a_closed_one_listens_no_more_and_a_taken_port_is_told(engine: Engine, metrics: MetricsServer) -> None:
    assert metrics.host == "127.0.0.1" and str(metrics.port) in repr(metrics) and metrics.url in metrics._repr_html_()
    with pytest.raises(RuntimeFailure, match=f"metrics: cannot listen on 127.0.0.1:{metrics.port}: Address already"):
        engine.serve_metrics(port=metrics.port)
    ck.set_default_engine(engine)
    try:
        other = ck.serve_metrics(port=0)
    finally:
        ck.set_default_engine(None)
    other.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(other.url, timeout=60)
