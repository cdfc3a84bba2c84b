"""Processor time used. A controller of its own in v1; in v2 every cgroup has it, whatever is enabled.

Sources: Documentation/admin-guide/cgroup-v1/cpuacct.rst (nanoseconds); cgroup-v2.rst, "cpu.stat" (microseconds).
"""

from __future__ import annotations

from containerkit.linux.cgroups.controller import Figures, Texts, no_limits, no_writes, number, pairs

V1, V2 = "cpuacct", ""
FILES_V1: tuple[str, ...] = ("cpuacct.usage", "cpuacct.usage_user", "cpuacct.usage_sys", "cpuacct.usage_percpu")
FILES_V2: tuple[str, ...] = ("cpu.stat",)

limits = no_limits
writes_v1 = writes_v2 = no_writes


def stats_v1(texts: Texts) -> Figures:
    return {
        "cpu_usage_seconds": number(texts.get("cpuacct.usage")) / 1e9,
        "cpu_user_seconds": number(texts.get("cpuacct.usage_user")) / 1e9,
        "cpu_system_seconds": number(texts.get("cpuacct.usage_sys")) / 1e9,
        "per_cpu_seconds": tuple(int(used) / 1e9 for used in texts.get("cpuacct.usage_percpu", b"").split()),
    }


def stats_v2(texts: Texts) -> Figures:
    found = pairs(texts.get("cpu.stat"))
    return {
        "cpu_usage_seconds": found.get("usage_usec", 0) / 1e6,
        "cpu_user_seconds": found.get("user_usec", 0) / 1e6,
        "cpu_system_seconds": found.get("system_usec", 0) / 1e6,
    }
