"""The cpu controller: shares of the processors, and a quota per period.

Sources: Documentation/scheduler/sched-bwc.rst; cgroup-v2.rst, "CPU". Times in microseconds in both versions.
"""

from __future__ import annotations

import math

from containerkit.linux.cgroups.controller import Figures, Texts, Write, chosen, pairs
from containerkit.oci.runtime_spec import Resources

V1, V2 = "cpu", "cpu"
FILES_V1: tuple[str, ...] = ("cpu.stat", "cpu.cfs_quota_us", "cpu.cfs_period_us")
FILES_V2: tuple[str, ...] = ("cpu.stat", "cpu.max")

_PERIOD = 100_000


def limits(resources: Resources) -> str:
    cpu = resources.cpu
    named = {"cpu shares": cpu.shares, "cpu quota": cpu.quota, "cpu period": cpu.period, "cpu burst": cpu.burst}
    asked = [name for name, value in named.items() if value]
    return ", ".join([*asked, *(["cpu idle"] if cpu.idle is not None else [])])


def writes_v1(resources: Resources) -> list[Write]:
    cpu = resources.cpu
    writes = []
    if cpu.shares:
        writes.append(Write("cpu.shares", str(cpu.shares)))
    if cpu.period:
        writes.append(Write("cpu.cfs_period_us", str(cpu.period)))
    if cpu.quota:
        writes.append(Write("cpu.cfs_quota_us", str(max(cpu.quota, -1))))
    if cpu.burst is not None:
        writes.append(Write("cpu.cfs_burst_us", str(cpu.burst)))
    if cpu.idle is not None:
        writes.append(Write("cpu.idle", str(cpu.idle)))
    return writes


def writes_v2(resources: Resources) -> list[Write]:
    cpu = resources.cpu
    writes = []
    # An idle group has no weight to set: the kernel answers EINVAL.
    if cpu.shares and not cpu.idle:
        writes.append(Write("cpu.weight", str(weight(cpu.shares))))
    if cpu.quota or cpu.period:
        writes.append(Write("cpu.max", f"{chosen(cpu.quota or -1)} {cpu.period or _PERIOD}"))
    if cpu.burst is not None:
        writes.append(Write("cpu.max.burst", str(cpu.burst)))
    if cpu.idle is not None:
        writes.append(Write("cpu.idle", str(cpu.idle)))
    return writes


def weight(shares: int) -> int:
    """v1's shares (2 to 262144, default 1024) as v2's weight (1 to 10000, default 100).

    Both ends and the defaults meet, and between them the curve is smooth in the logarithms: a straight line would make
    1024 shares a weight of 39 and leave nothing between small values. runc and crun have settled on the same curve.
    """
    shares = min(max(shares, 2), 262144)
    if shares == 2:
        return 1
    doublings = math.log2(shares)
    return min(math.ceil(10 ** ((doublings * doublings + 125 * doublings) / 612 - 7 / 34)), 10_000)


def stats_v1(texts: Texts) -> Figures:
    found = pairs(texts.get("cpu.stat"))
    cores = cores_v1(texts.get("cpu.cfs_quota_us", b""), texts.get("cpu.cfs_period_us", b""))
    return {**_periods(found, found.get("throttled_time", 0) / 1e9), "cpus_limit": cores}


def stats_v2(texts: Texts) -> Figures:
    found = pairs(texts.get("cpu.stat"))
    cores = cores_v2(texts.get("cpu.max", b""))
    return {**_periods(found, found.get("throttled_usec", 0) / 1e6), "cpus_limit": cores}


def cores_v1(quota: bytes, period: bytes) -> float | None:
    """The quota in cores, from what its two files say; None for no limit."""
    return int(quota) / int(period) if quota and period and not quota.startswith(b"-") else None


def cores_v2(text: bytes) -> float | None:
    """The quota in cores, from ``cpu.max``; None for no limit."""
    quota, _, period = text.partition(b" ")
    return cores_v1(quota, period) if quota != b"max" else None


def _periods(found: dict[str, int], throttled: float) -> Figures:
    return {
        "periods": found.get("nr_periods", 0),
        "throttled_periods": found.get("nr_throttled", 0),
        "throttled_seconds": throttled,
    }
