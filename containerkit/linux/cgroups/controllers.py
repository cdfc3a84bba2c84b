"""Every controller, in the order their limits are applied."""

from __future__ import annotations

from containerkit.linux.cgroups import (
    blkio,
    cpu,
    cpuacct,
    cpuset,
    devices,
    freezer,
    hugetlb,
    memory,
    net_cls,
    perf_event,
    pids,
)  # fmt: skip
from containerkit.linux.cgroups.controller import Controller

CONTROLLERS: tuple[Controller, ...] = (
    cpuset, cpu, cpuacct, memory, pids, blkio, hugetlb, net_cls, perf_event, freezer, devices,
)  # fmt: skip
