"""The memory controller. Sizes in bytes; -1 is no limit.

Sources: Documentation/admin-guide/cgroup-v1/memory.rst; cgroup-v2.rst, "Memory".

The specification's ``swap`` is v1's: memory and swap together. v2 limits swap alone, so the difference is written.
"""

from __future__ import annotations

from containerkit.errors import InvalidArgument, Unsupported
from containerkit.linux.cgroups.controller import Figures, Texts, Write, chosen, limit, number, pairs
from containerkit.oci.runtime_spec import Memory, Resources

V1, V2 = "memory", "memory"
FILES_V1: tuple[str, ...] = (
    "memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.limit_in_bytes", "memory.stat", "memory.oom_control",
)  # fmt: skip
FILES_V2: tuple[str, ...] = (
    "memory.current", "memory.peak", "memory.max", "memory.stat", "memory.events", "memory.swap.current",
)  # fmt: skip

#: Names of the breakdown: ours → (v1's, v2's).
_BREAKDOWN = {
    "anon": ("total_rss", "anon"),
    "file": ("total_cache", "file"),
    "shmem": ("total_shmem", "shmem"),
    "mapped_file": ("total_mapped_file", "file_mapped"),
    "dirty": ("total_dirty", "file_dirty"),
    "writeback": ("total_writeback", "file_writeback"),
    "inactive_anon": ("total_inactive_anon", "inactive_anon"),
    "active_anon": ("total_active_anon", "active_anon"),
    "inactive_file": ("total_inactive_file", "inactive_file"),
    "active_file": ("total_active_file", "active_file"),
    "unevictable": ("total_unevictable", "unevictable"),
    "swap": ("total_swap", "swap"),
    "kernel": ("", "kernel"),
    "slab": ("", "slab"),
    "sock": ("", "sock"),
}


def limits(resources: Resources) -> str:
    memory = resources.memory
    named = {
        "memory": memory.limit,
        "memory reservation": memory.reservation,
        "memory swap": memory.swap,
        "memory swappiness": memory.swappiness,
        "oom killer": memory.disable_oom_killer or None,
    }
    return ", ".join(name for name, value in named.items() if value is not None and value != -1)


def writes_v1(resources: Resources) -> list[Write]:
    memory = resources.memory
    writes = []
    if memory.limit is not None:
        writes.append(Write("memory.limit_in_bytes", str(memory.limit)))
    if memory.swap is not None:
        writes.append(Write("memory.memsw.limit_in_bytes", str(memory.swap), optional=_is_default(memory)))
    if memory.reservation is not None:
        writes.append(Write("memory.soft_limit_in_bytes", str(memory.reservation)))
    if memory.swappiness is not None:
        writes.append(Write("memory.swappiness", str(memory.swappiness)))
    if memory.disable_oom_killer is not None:
        writes.append(Write("memory.oom_control", str(int(memory.disable_oom_killer))))
    return writes


def writes_v2(resources: Resources) -> list[Write]:
    """As the protocol says.

    Raises:
        Unsupported: ``swappiness`` and ``disable_oom_killer`` do not exist in v2.
        InvalidArgument: a swap limit that no memory limit goes with, or that is below it.
    """
    memory = resources.memory
    if memory.swappiness is not None:
        raise Unsupported("limit memory swappiness: not in cgroup v2")
    if memory.disable_oom_killer:
        raise Unsupported("limit oom killer: cgroup v2 cannot disable it")
    writes = []
    if memory.limit is not None:
        writes.append(Write("memory.max", chosen(memory.limit)))
    if memory.swap is not None:
        writes.append(Write("memory.swap.max", chosen(_swap_alone(memory)), optional=_is_default(memory)))
    if memory.reservation is not None:
        writes.append(Write("memory.low", chosen(memory.reservation)))
    return writes


def _is_default(memory: Memory) -> bool:
    # What Docker's command line adds when nothing was said about swap, and no limit (-1): a kernel without swap
    # accounting is no reason to refuse the memory limit that was asked for.
    return memory.swap == -1 or (memory.limit is not None and memory.swap == 2 * memory.limit)


def _swap_alone(memory: Memory) -> int:
    assert memory.swap is not None
    if memory.swap < 0:
        return -1
    if memory.limit is None or memory.limit < 0:
        raise InvalidArgument("limit memory swap: needs a memory limit to go with")
    if memory.swap < memory.limit:
        raise InvalidArgument("limit memory swap: smaller than the memory limit, which it includes")
    return memory.swap - memory.limit


def stats_v1(texts: Texts) -> Figures:
    found = pairs(texts.get("memory.stat"))
    usage = number(texts.get("memory.usage_in_bytes"))
    above = limit(str(found.get("hierarchical_memory_limit", 1 << 63)).encode())
    own = limit(texts.get("memory.limit_in_bytes"))
    return {
        **_common(found, 0, usage),
        "memory_peak_bytes": number(texts.get("memory.max_usage_in_bytes")),
        "memory_limit_bytes": min((bound for bound in (own, above) if bound is not None), default=None),
        "page_faults": found.get("total_pgfault", 0),
        "major_page_faults": found.get("total_pgmajfault", 0),
        "oom_kills": oom_kills_v1(texts.get("memory.oom_control", b"")),
    }


def stats_v2(texts: Texts) -> Figures:
    found = pairs(texts.get("memory.stat"))
    if "memory.swap.current" in texts:
        found["swap"] = number(texts["memory.swap.current"])  # v2's memory.stat does not have it
    usage = number(texts.get("memory.current"))
    return {
        **_common(found, 1, usage),
        "memory_peak_bytes": number(texts.get("memory.peak")),
        "memory_limit_bytes": limit(texts.get("memory.max")),
        "page_faults": found.get("pgfault", 0),
        "major_page_faults": found.get("pgmajfault", 0),
        "oom_kills": oom_kills_v2(texts.get("memory.events", b"")),
    }


def _common(found: dict[str, int], version: int, usage: int) -> Figures:
    breakdown = {name: found[keys[version]] for name, keys in _BREAKDOWN.items() if keys[version] in found}
    # As docker stats: file pages that nobody has touched for a while are not held, they are left.
    return {
        "memory_usage_bytes": usage,
        "memory_bytes": max(usage - breakdown.get("inactive_file", 0), 0),
        "memory": breakdown,
    }


def oom_kills_v1(text: bytes) -> int:
    """Processes that the out-of-memory killer has ended, from ``memory.oom_control`` (since Linux 4.13)."""
    return pairs(text).get("oom_kill", 0)


def oom_kills_v2(text: bytes) -> int:
    """Processes that the out-of-memory killer has ended, from ``memory.events``."""
    return pairs(text).get("oom_kill", 0)
