"""What each controller writes for its part of the limits, on v1 and on v2."""

from __future__ import annotations

import pytest

from containerkit.errors import InvalidArgument, Unsupported
from containerkit.linux.cgroups import blkio, cpu, cpuset, devices, hugetlb, memory, net_cls, pids
from containerkit.linux.cgroups.controller import Controller, Write
from containerkit.linux.cgroups.controllers import CONTROLLERS
from containerkit.oci.runtime_spec import (
    CPU,
    BlockIO,
    DeviceCgroup,
    HugepageLimit,
    Memory,
    NetworkClass,
    Pids,
    Resources,
    ThrottleDevice,
    WeightDevice,
)  # fmt: skip

MIB = 1 << 20


def written(writes: list[Write]) -> dict[str, str]:
    return {write.file: write.value for write in writes}


@pytest.mark.parametrize("controller", CONTROLLERS, ids=lambda controller: controller.V1)
def test_without_limits_nothing_is_written(controller: Controller) -> None:
    assert controller.writes_v1(Resources()) == controller.writes_v2(Resources()) == []
    assert controller.limits(Resources()) == ""


def test_memory_v1() -> None:
    asked = Memory(limit=64 * MIB, swap=96 * MIB, reservation=MIB, swappiness=10, disable_oom_killer=True)
    limits = Resources(memory=asked)
    assert written(memory.writes_v1(limits)) == {
        "memory.limit_in_bytes": str(64 * MIB), "memory.memsw.limit_in_bytes": str(96 * MIB),
        "memory.soft_limit_in_bytes": str(MIB), "memory.swappiness": "10", "memory.oom_control": "1",
    }  # fmt: skip


@pytest.mark.parametrize(("swap", "alone"), [(96 * MIB, str(32 * MIB)), (64 * MIB, "0"), (-1, "max")])
def test_memory_v2_limits_swap_alone(swap: int, alone: str) -> None:
    limits = Resources(memory=Memory(limit=64 * MIB, swap=swap, reservation=MIB))
    assert written(memory.writes_v2(limits)) == {
        "memory.max": str(64 * MIB), "memory.swap.max": alone, "memory.low": str(MIB),
    }  # fmt: skip


def test_unlimited_memory() -> None:
    limits = Resources(memory=Memory(limit=-1, swap=-1))
    assert written(memory.writes_v1(limits))["memory.limit_in_bytes"] == "-1"
    assert written(memory.writes_v2(limits)) == {"memory.max": "max", "memory.swap.max": "max"}
    assert memory.limits(limits) == ""


def test_swap_accounting_is_needed_only_by_who_asked_for_a_swap_limit() -> None:
    asked = memory.writes_v1(Resources(memory=Memory(limit=64 * MIB, swap=65 * MIB)))
    default = memory.writes_v1(Resources(memory=Memory(limit=64 * MIB, swap=128 * MIB)))
    assert [(w.file, w.optional) for w in (asked[1], default[1])] == [
        ("memory.memsw.limit_in_bytes", False), ("memory.memsw.limit_in_bytes", True),
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", [Memory(swap=MIB), Memory(limit=2 * MIB, swap=MIB), Memory(limit=-1, swap=MIB)])
def test_memory_v2_refuses_swap_that_cannot_be(wrong: Memory) -> None:
    with pytest.raises(InvalidArgument, match="memory swap"):
        memory.writes_v2(Resources(memory=wrong))


@pytest.mark.parametrize("lost", [Memory(swappiness=10), Memory(disable_oom_killer=True)])
def test_memory_v2_says_what_it_cannot_do(lost: Memory) -> None:
    with pytest.raises(Unsupported):
        memory.writes_v2(Resources(memory=lost))


def test_memory_v2_keeping_the_oom_killer_is_no_limit() -> None:
    assert memory.writes_v2(Resources(memory=Memory(disable_oom_killer=False))) == []


def test_cpu_v1() -> None:
    limits = Resources(cpu=CPU(shares=512, quota=50_000, period=100_000, burst=1000, idle=1))
    assert written(cpu.writes_v1(limits)) == {
        "cpu.shares": "512", "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000", "cpu.cfs_burst_us": "1000",
        "cpu.idle": "1",
    }  # fmt: skip


def test_cpu_v2() -> None:
    assert written(cpu.writes_v2(Resources(cpu=CPU(shares=1024, quota=50_000)))) == {
        "cpu.weight": "100", "cpu.max": "50000 100000",
    }  # fmt: skip
    assert written(cpu.writes_v2(Resources(cpu=CPU(quota=-1, period=20_000)))) == {"cpu.max": "max 20000"}
    assert written(cpu.writes_v2(Resources(cpu=CPU(shares=1024, idle=1)))) == {"cpu.idle": "1"}


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1, 1), (1024, 100), (262144, 10000), (1 << 40, 10000)])
def test_weight_meets_shares_at_the_ends_and_the_default(shares: int, weight: int) -> None:
    assert cpu.weight(shares) == weight


def test_weight_grows_with_shares() -> None:
    weights = [cpu.weight(shares) for shares in range(2, 262145, 97)]
    assert weights == sorted(weights)


def test_cpuset() -> None:
    limits = Resources(cpu=CPU(cpus="0-1,3", mems="0"))
    assert written(cpuset.writes_v1(limits)) == written(cpuset.writes_v2(limits)) == {
        "cpuset.cpus": "0-1,3", "cpuset.mems": "0",
    }  # fmt: skip


@pytest.mark.parametrize(("limit", "value"), [(100, "100"), (-1, "max")])
def test_pids(limit: int, value: str) -> None:
    limits = Resources(pids=Pids(limit))
    assert written(pids.writes_v1(limits)) == written(pids.writes_v2(limits)) == {"pids.max": value}


def test_blkio_v1() -> None:
    limits = Resources(block_io=BlockIO(
        weight=300, weight_device=(WeightDevice(8, 0, 500),), throttle_read_bps_device=(ThrottleDevice(8, 0, MIB),),
        throttle_write_iops_device=(ThrottleDevice(8, 16, 100),),
    ))  # fmt: skip
    writes = blkio.writes_v1(limits)
    assert written(writes) == {
        "blkio.weight": "300", "blkio.weight_device": "8:0 500", "blkio.throttle.read_bps_device": f"8:0 {MIB}",
        "blkio.throttle.write_iops_device": "8:16 100",
    }  # fmt: skip
    assert writes[0].otherwise == Write("blkio.bfq.weight", "300")


def test_io_v2() -> None:
    limits = Resources(block_io=BlockIO(
        weight=1000, throttle_write_bps_device=(ThrottleDevice(8, 0, MIB),),
        throttle_read_iops_device=(ThrottleDevice(8, 0, 0),),
    ))  # fmt: skip
    assert blkio.writes_v2(limits) == [
        Write("io.bfq.weight", "default 1000", otherwise=Write("io.weight", "default 10000")),
        Write("io.max", f"8:0 wbps={MIB}"),
        Write("io.max", "8:0 riops=max"),
    ]


def test_huge_pages() -> None:
    limits = Resources(hugepage_limits=(HugepageLimit("2MB", 4 * MIB),))
    assert written(hugetlb.writes_v1(limits)) == {
        "hugetlb.2MB.limit_in_bytes": str(4 * MIB), "hugetlb.2MB.rsvd.limit_in_bytes": str(4 * MIB),
    }  # fmt: skip
    assert [(w.file, w.optional) for w in hugetlb.writes_v2(limits)] == [
        ("hugetlb.2MB.max", False), ("hugetlb.2MB.rsvd.max", True),
    ]  # fmt: skip
    with pytest.raises(InvalidArgument, match="page size"):
        hugetlb.writes_v2(Resources(hugepage_limits=(HugepageLimit("../x", 1),)))


def test_network_class() -> None:
    assert written(net_cls.writes_v1(Resources(network=NetworkClass(0x100001)))) == {"net_cls.classid": "1048577"}


def test_devices_v1_are_written_in_order() -> None:
    rules = (
        DeviceCgroup(False), DeviceCgroup(True, "c", 1, 3), DeviceCgroup(True, "b", 8, access="r"),
        DeviceCgroup(False, "u", 5, 1, "w"),
    )  # fmt: skip
    assert [tuple(write[:2]) for write in devices.writes_v1(Resources(devices=rules))] == [
        ("devices.deny", "a"), ("devices.allow", "c 1:3 rwm"), ("devices.allow", "b 8:* r"),
        ("devices.deny", "c 5:1 w"),
    ]  # fmt: skip


def test_a_rule_for_both_kinds_with_numbers_does_not_become_everything() -> None:
    # The kernel reads any line that begins with "a" as "everything".
    writes = devices.writes_v1(Resources(devices=(DeviceCgroup(True, "a", 10, 200),)))
    assert [write.value for write in writes] == ["b 10:200 rwm", "c 10:200 rwm"]


@pytest.mark.parametrize(
    "rule", [DeviceCgroup(True, "x"), DeviceCgroup(True, "c", access="rx"), DeviceCgroup(True, "c", access="")]
)
def test_a_device_rule_that_says_nothing_known_is_refused(rule: DeviceCgroup) -> None:
    with pytest.raises(InvalidArgument, match="limit devices"):
        devices.writes_v1(Resources(devices=(rule,)))


def test_memory_v2_has_swap_in_a_file_of_its_own() -> None:
    texts = {"memory.current": b"8192\n", "memory.stat": b"anon 4096\n", "memory.swap.current": b"12288\n"}
    assert set(texts) <= set(memory.FILES_V2)
    assert memory.stats_v2(texts)["memory"] == {"anon": 4096, "swap": 12288}
    del texts["memory.swap.current"]  # a kernel that does not count it
    assert memory.stats_v2(texts)["memory"] == {"anon": 4096}
