"""What the processes of a cgroup have used, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import NamedTuple

from containerkit.values import frozen


@frozen
class CgroupStats:
    """Counters since the cgroup was made, and levels of now; what the machine does not count is 0, None or empty.

    Args:
        cpus_limit: the quota in cores; None for no limit.
        memory_bytes: as ``docker stats`` counts: usage without the file pages that nobody has touched for a while.
        memory_usage_bytes: everything, page cache included; ``memory_peak_bytes`` is its highest.
        memory_limit_bytes: None for no limit.
        memory: the breakdown in bytes: anon, file, shmem, inactive_file …
        oom_kills: processes ended by the out-of-memory killer.
        periods: scheduling periods with a quota in force; ``throttled_periods`` of them used it up.
        hugetlb: page size → bytes.
        per_cpu_seconds: one number per processor, where the kernel tells (v1).
    """

    cpu_usage_seconds: float = 0.0
    cpu_user_seconds: float = 0.0
    cpu_system_seconds: float = 0.0
    per_cpu_seconds: tuple[float, ...] = ()
    periods: int = 0
    throttled_periods: int = 0
    throttled_seconds: float = 0.0
    cpus_limit: float | None = None
    memory_bytes: int = 0
    memory_usage_bytes: int = 0
    memory_peak_bytes: int = 0
    memory_limit_bytes: int | None = None
    memory: Mapping[str, int] = field(default_factory=dict)
    page_faults: int = 0
    major_page_faults: int = 0
    oom_kills: int = 0
    pids: int = 0
    pids_limit: int | None = None
    io_read_bytes: int = 0
    io_write_bytes: int = 0
    io_read_ops: int = 0
    io_write_ops: int = 0
    hugetlb: Mapping[str, int] = field(default_factory=dict)


class Sample(NamedTuple):
    """One row of a recording; the same meanings as in :class:`CgroupStats`."""

    cpu_usage_ns: int
    throttled_seconds: float
    cpus_limit: float | None
    memory_bytes: int
    memory_limit_bytes: int | None
    pids: int
    io_read_bytes: int
    io_write_bytes: int
