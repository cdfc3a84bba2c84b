"""The net_cls controller: a class id on every packet, for tc(8). v1 only; v2 marks packets by cgroup in nftables.

Source: Documentation/admin-guide/cgroup-v1/net_cls.rst.
"""

from __future__ import annotations

from containerkit.linux.cgroups.controller import Write, no_stats, no_writes
from containerkit.oci.runtime_spec import Resources

V1, V2 = "net_cls", ""
FILES_V1: tuple[str, ...] = ()
FILES_V2: tuple[str, ...] = ()


def limits(resources: Resources) -> str:
    return "network class" if resources.network.class_id is not None else ""


def writes_v1(resources: Resources) -> list[Write]:
    class_id = resources.network.class_id
    return [] if class_id is None else [Write("net_cls.classid", str(class_id))]


writes_v2 = no_writes
stats_v1 = stats_v2 = no_stats
