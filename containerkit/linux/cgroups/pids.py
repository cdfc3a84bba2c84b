"""The pids controller: how many processes and threads.

Sources: Documentation/admin-guide/cgroup-v1/pids.rst; cgroup-v2.rst, "PID". The files are the same in both.
"""

from __future__ import annotations

from containerkit.linux.cgroups.controller import Figures, Texts, Write, chosen, limit, number
from containerkit.oci.runtime_spec import Resources

V1, V2 = "pids", "pids"
FILES_V1: tuple[str, ...] = ("pids.current", "pids.max")
FILES_V2: tuple[str, ...] = FILES_V1


def limits(resources: Resources) -> str:
    return "pids" if resources.pids.limit > 0 else ""


def writes_v1(resources: Resources) -> list[Write]:
    # 0 is what a configuration says that does not speak of pids; Docker's "unlimited" is -1.
    return [Write("pids.max", chosen(resources.pids.limit))] if resources.pids.limit else []


writes_v2 = writes_v1


def stats_v1(texts: Texts) -> Figures:
    return {"pids": number(texts.get("pids.current")), "pids_limit": limit(texts.get("pids.max"))}


stats_v2 = stats_v1
