"""Limits, as the specification writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from containerkit.linux.cgroups import DEFAULT_DEVICES
from containerkit.oci import runtime_spec as rs
from containerkit.options import Settings
from containerkit.supervise import devices


def resources(settings: Settings, rules: Sequence[rs.DeviceCgroup] = ()) -> rs.Resources:
    """The limits, as the specification writes them.

    Args:
        rules: for the devices that the container gets.

    Raises:
        InvalidArgument: a rate for what is no block device.
    """
    # Docker's rule: with a memory limit and nothing said about swap, as much swap again may be used. A limit that is
    # taken away (-1) takes that of swap with it: it cannot be above the latter.
    swap = settings.memory_swap
    if swap is None and settings.memory is not None:
        swap = settings.memory * 2 if settings.memory > 0 else -1
    allowed = (*DEFAULT_DEVICES, *rules, *map(_rule, settings.device_cgroup_rules))
    quota, period = settings.cpu_quota, settings.cpu_period
    if settings.cpus is not None:
        period = 100_000
        quota = round(settings.cpus * period)
    return rs.Resources(
        devices=(rs.DeviceCgroup(True),) if settings.privileged else allowed,
        memory=rs.Memory(
            limit=settings.memory, reservation=settings.memory_reservation, swap=swap,
            disable_oom_killer=settings.oom_kill_disable or None,
        ),
        cpu=rs.CPU(settings.cpu_shares, quota, period, settings.cpuset_cpus, settings.cpuset_mems),
        pids=rs.Pids(settings.pids_limit or 0),
        block_io=rs.BlockIO(
            weight=settings.blkio_weight,
            throttle_read_bps_device=devices.throttles(settings.device_read_bps, "device_read_bps"),
            throttle_write_bps_device=devices.throttles(settings.device_write_bps, "device_write_bps"),
            throttle_read_iops_device=devices.throttles(settings.device_read_iops, "device_read_iops"),
            throttle_write_iops_device=devices.throttles(settings.device_write_iops, "device_write_iops"),
        ),
        hugepage_limits=tuple(rs.HugepageLimit(page, limit) for page, limit in (settings.hugetlb or {}).items()),
        network=rs.NetworkClass(settings.net_cls_classid),
    )  # fmt: skip


def asks_for_limits(settings: Settings) -> bool:
    """Whether there is anything to limit."""
    return replace(resources(settings), devices=()) != rs.Resources()


def _rule(text: str) -> rs.DeviceCgroup:
    kind, numbers, access = text.split()
    major, minor = (None if number == "*" else int(number) for number in numbers.split(":"))
    return rs.DeviceCgroup(True, kind, major, minor, access)
