"""The cpuset controller: which processors and memory nodes.

Sources: Documentation/admin-guide/cgroup-v1/cpusets.rst; cgroup-v2.rst, "Cpuset".
"""

from __future__ import annotations

from containerkit.linux.cgroups import files
from containerkit.linux.cgroups.controller import Write, no_stats
from containerkit.oci.runtime_spec import Resources

V1, V2 = "cpuset", "cpuset"
FILES_V1: tuple[str, ...] = ()
FILES_V2: tuple[str, ...] = ()


def limits(resources: Resources) -> str:
    cpu = resources.cpu
    return ", ".join(name for name, value in (("cpuset cpus", cpu.cpus), ("cpuset mems", cpu.mems)) if value)


def writes_v1(resources: Resources) -> list[Write]:
    cpu = resources.cpu
    named = (("cpuset.cpus", cpu.cpus), ("cpuset.mems", cpu.mems))
    return [Write(file, value) for file, value in named if value]


writes_v2 = writes_v1
stats_v1 = stats_v2 = no_stats


def inherit(directory: str) -> None:
    """Give a new v1 cgroup its parent's processors and nodes: with none, no process can be attached (ENOSPC)."""
    parent = directory.rpartition("/")[0]
    for file in ("cpuset.cpus", "cpuset.mems"):
        files.write(f"{directory}/{file}", files.read(f"{parent}/{file}").decode())
