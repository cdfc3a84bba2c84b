"""The perf_event controller: ``perf stat --for-each-cgroup`` counts by membership. Nothing to limit, only to join.

Sources: perf-stat(1); cgroup-v2.rst, "perf_event" (in v2 every cgroup can be measured, whatever is enabled).
"""

from __future__ import annotations

from containerkit.linux.cgroups.controller import no_limits, no_stats, no_writes

V1, V2 = "perf_event", ""
FILES_V1: tuple[str, ...] = ()
FILES_V2: tuple[str, ...] = ()

limits = no_limits
writes_v1 = writes_v2 = no_writes
stats_v1 = stats_v2 = no_stats
