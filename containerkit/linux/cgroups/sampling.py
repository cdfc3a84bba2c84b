"""The few numbers of a recording, straight from the files' bytes: no dictionary of fifty lines for one of them.

A part takes the reading function and gives its columns of ``Sample``. Which part is used depends on where the
controller is; one that is nowhere gives zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from containerkit.linux.cgroups import blkio
from containerkit.linux.cgroups import cpu as quotas
from containerkit.linux.cgroups.controller import limit

Read = Callable[[str], bytes]
CpuPart = Callable[[Read], tuple[int, float, "float | None"]]
MemoryPart = Callable[[Read], tuple[int, "int | None"]]
PidsPart = Callable[[Read], int]
IoPart = Callable[[Read], tuple[int, int]]


def parts(v1: Mapping[str, str], v2: Mapping[str, str]) -> tuple[CpuPart, MemoryPart, PidsPart, IoPart]:
    """The parts for a cgroup whose controllers (v1 names) are at these directories."""
    pids = v1.get("pids") or v2.get("pids")
    return (
        _cpu_v1(v1["cpuacct"], v1.get("cpu")) if "cpuacct" in v1 else _cpu_v2(v2.get("cpuacct")),
        _memory_v1(v1["memory"]) if "memory" in v1 else _memory_v2(v2.get("memory")),
        (lambda read: int(read(f"{pids}/pids.current") or 0)) if pids else (lambda read: 0),
        _io_v1(v1["blkio"]) if "blkio" in v1 else _io_v2(v2.get("blkio")),
    )


def value(text: bytes, key: bytes) -> int:
    """The number after ``key`` in a flat keyed file; 0 when it is not there. ``key`` ends in a space."""
    start = 0 if text.startswith(key) else text.find(b"\n" + key) + 1
    if start == 0 and not text.startswith(key):
        return 0
    start += len(key)
    end = text.find(b"\n", start)
    return int(text[start:] if end < 0 else text[start:end])


def _cpu_v1(cpuacct: str, cpu: str | None) -> CpuPart:
    usage, stat = f"{cpuacct}/cpuacct.usage", f"{cpu}/cpu.stat"
    quota, period = f"{cpu}/cpu.cfs_quota_us", f"{cpu}/cpu.cfs_period_us"

    def part(read: Read) -> tuple[int, float, float | None]:
        if cpu is None:
            return int(read(usage) or 0), 0.0, None
        throttled, allowed = value(read(stat), b"throttled_time ") / 1e9, read(quota)
        cores = None if allowed.startswith(b"-") else quotas.cores_v1(allowed, read(period))
        return int(read(usage) or 0), throttled, cores

    return part


def _cpu_v2(directory: str | None) -> CpuPart:
    if directory is None:
        return lambda read: (0, 0.0, None)
    path, quota = f"{directory}/cpu.stat", f"{directory}/cpu.max"

    def part(read: Read) -> tuple[int, float, float | None]:
        text = read(path)
        return value(text, b"usage_usec ") * 1000, value(text, b"throttled_usec ") / 1e6, quotas.cores_v2(read(quota))

    return part


def _memory_v1(directory: str) -> MemoryPart:
    usage, stat = f"{directory}/memory.usage_in_bytes", f"{directory}/memory.stat"

    def part(read: Read) -> tuple[int, int | None]:
        text = read(stat)
        idle, bound = value(text, b"total_inactive_file "), value(text, b"hierarchical_memory_limit ")
        return max(int(read(usage) or 0) - idle, 0), bound if 0 < bound < 1 << 62 else None

    return part


def _memory_v2(directory: str | None) -> MemoryPart:
    if directory is None:
        return lambda read: (0, None)
    usage, stat, bound = f"{directory}/memory.current", f"{directory}/memory.stat", f"{directory}/memory.max"

    def part(read: Read) -> tuple[int, int | None]:
        idle = value(read(stat), b"inactive_file ")
        return max(int(read(usage) or 0) - idle, 0), limit(read(bound))

    return part


def _io_v1(directory: str) -> IoPart:
    path = f"{directory}/{blkio.FILES_V1[0]}"
    return lambda read: blkio.totals_v1(read(path))


def _io_v2(directory: str | None) -> IoPart:
    if directory is None:
        return lambda read: (0, 0)
    path = f"{directory}/io.stat"

    def part(read: Read) -> tuple[int, int]:
        sums = blkio.totals_v2(read(path))
        return sums.get(b"rbytes", 0), sums.get(b"wbytes", 0)

    return part
