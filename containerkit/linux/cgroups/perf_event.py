"""The perf_event controller: ``perf stat --for-each-cgroup`` counts by membership. Nothing to limit, only to join.

Sources: perf-stat(1); cgroup-v2.rst, "perf_event" (in v2 every cgroup can be measured, whatever is enabled).
"""

from __future__ import annotations

from containerkit.linux.cgroups.controller import Figures, Texts, Write
from containerkit.oci.runtime_spec import Resources

V1, V2 = "perf_event", ""
FILES_V1: tuple[str, ...] = ()
FILES_V2: tuple[str, ...] = ()


def limits(resources: Resources) -> str:
    return ""


def writes_v1(resources: Resources) -> list[Write]:
    return []


writes_v2 = writes_v1


def stats_v1(texts: Texts) -> Figures:
    return {}


stats_v2 = stats_v1
