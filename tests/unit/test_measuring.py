"""What readings of a container say, reckoned."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import containerkit as ck
from containerkit import Recording
from containerkit.linux import procfs
from containerkit.linux.cgroups import Sample
from containerkit.measuring.gauge import Reading, rates
from containerkit.measuring.stats import network_counters
from containerkit.store.containers import ContainerRecord


def reading(clock: float, cpu_seconds: float, memory: int = 0, traffic: int = 0, time: float | None = None) -> Reading:
    sample = Sample(int(cpu_seconds * 1e9), cpu_seconds / 2, None, memory, None, 1, traffic, 2 * traffic)
    return Reading(1000 + clock if time is None else time, clock, sample, traffic, 3 * traffic)


def recording(*readings: Reading) -> Recording:
    record = ContainerRecord(1, "id", "web", "", "", "", "{}", 0, 0.0, "running")
    made = Recording(None, record, 1.0)  # type: ignore[arg-type]  # nothing of the store is asked for
    made._readings = list(readings)
    return made


def test_rates_are_of_the_time_between() -> None:
    found = rates(reading(1, 0.5), reading(3, 1.5, traffic=100))
    assert (found.cpu_percent, found.throttled_percent) == (50, 25)
    assert (found.net_rx_rate, found.net_tx_rate, found.io_read_rate, found.io_write_rate) == (50, 150, 50, 100)


def test_a_clock_that_is_set_back_changes_no_rate() -> None:
    rows = recording(reading(1, 0), reading(2, 1), reading(3, 2, time=5), reading(4, 3, time=6)).rows()
    assert [row["cpu_percent"] for row in rows] == [100, 100, 100]
    assert [row["time"].timestamp() for row in rows] == [1002, 1003, 1004]


def test_a_comparison_has_the_first_interval_and_weighs_by_time() -> None:
    pytest.importorskip("pandas")
    one = recording(reading(0, 0, 100), reading(1, 1, 100, 10), reading(4, 1, 500, 20))
    other = recording(reading(0, 0, 100), reading(2, 1, 100, 10))
    frame: Any = ck.compare(one, other).frame()
    a, b = frame["web (1)"], frame["web (2)"]
    assert (a["duration_seconds"], a["cpu_seconds"], a["throttled_seconds"]) == (4, 1, 0.5)
    assert (a["cpu_percent mean"], a["cpu_percent max"], a["memory_bytes mean"]) == (25, 100, 400)
    assert (a["io_read_bytes"], a["io_write_bytes"], a["net_rx_bytes"], a["net_tx_bytes"]) == (20, 40, 20, 60)
    assert (b["duration_seconds"], b["cpu_seconds"], b["net_rx_bytes"]) == (2, 1, 10)


@pytest.mark.parametrize("name", [b"\xff", b"a\x1cb", "\x85".encode()])
def test_a_link_can_have_any_bytes_in_its_name(tmp_path: Path, name: bytes) -> None:
    text = b"Inter-|\n face |\n    lo: %b\n  %b: %b\n" % (b"1 " * 16, name, b"2 " * 16)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "dev").write_bytes(text)
    place: Any = os.path.relpath(tmp_path, "/proc")
    assert network_counters(place) == {os.fsdecode(name): [2] * 16}
    assert procfs.links(place) == ["lo", os.fsdecode(name)]
