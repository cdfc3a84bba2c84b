"""Limits, accounts and control of real processes, through every kind of hierarchy this machine has."""

from __future__ import annotations

import itertools
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from containerkit.errors import InvalidArgument, NotFound, RuntimeFailure
from containerkit.linux import namespaces
from containerkit.linux.cgroups import DEFAULT_DEVICES, Cgroup, Hierarchies, StatsReader, detect, hugetlb
from containerkit.linux.cgroups.controller import Controller
from containerkit.linux.cgroups.controllers import CONTROLLERS
from containerkit.oci.runtime_spec import (
    CPU,
    BlockIO,
    DeviceCgroup,
    HugepageLimit,
    Memory,
    Pids,
    Resources,
    ThrottleDevice,
)  # fmt: skip
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make cgroups")

MIB = 1 << 20
PREFIX = f"/containerkit-test-{os.getpid()}"
_counter = itertools.count()


def _hierarchies(kind: str) -> Hierarchies:
    """What this machine has; of a hybrid one, its v1 or its v2 half alone too."""
    found = detect()
    if kind == "v1":
        found = replace(found, v2=None, v2_controllers=frozenset())
    elif kind == "v2":
        found = replace(found, v1=())
    if found.mode == "none" or (kind == "v2" and found.v2 is None):
        pytest.skip(f"cgroup {kind} is not mounted on this machine")
    return found


@pytest.fixture(params=["machine", "v1", "v2"])
def cgroup(request: pytest.FixtureRequest) -> Iterator[Cgroup]:
    """A new cgroup; afterwards nothing of it is left."""
    made = Cgroup(f"{PREFIX}-{next(_counter)}", _hierarchies(request.param))
    made.create()
    try:
        yield made
    finally:
        made.kill()
        made.delete()
    assert not [root for root in detect().roots if os.path.exists(root + made.path)]


def _controller(name: str) -> Controller:
    return next(one for one in CONTROLLERS if name == one.V1)


def needs(cgroup: Cgroup, *names: str) -> None:
    """Skip where these hierarchies do not have these controllers (v1 names)."""
    for name in names:
        if not any(cgroup.home(_controller(name))):
            pytest.skip(f"no {name} controller in cgroup {cgroup.hierarchies.mode} here")


class Child:
    """A process in a cgroup. It starts to work once it is in."""

    def __init__(self, cgroup: Cgroup, work: Callable[[], object], join: Callable[[], None] | None = None) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 99
            try:
                (join or cgroup.attach_self)()
                os.write(writing, b"in")
                code = int(work() or 0)  # type: ignore[call-overload]
            finally:
                os._exit(code)
        os.close(writing)
        joined = os.read(reading, 2)
        os.close(reading)
        assert joined == b"in", "could not join"

    def wait(self) -> int:
        """The exit code; a signal's number with a minus."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def sleep() -> None:
    time.sleep(60)


def spin(seconds: float) -> None:
    """Use so much processor time."""
    while time.process_time() < seconds:
        pass


def touch(size: int) -> None:
    memory = mmap.mmap(-1, size)
    for place in range(0, size, 4096):
        memory[place] = 1


def test_a_process_past_its_memory_limit_is_killed_and_counted(cgroup: Cgroup) -> None:
    needs(cgroup, "memory")
    cgroup.apply(Resources(memory=Memory(limit=16 * MIB, swap=16 * MIB)))
    assert cgroup.oom_kills() == 0
    assert Child(cgroup, lambda: touch(4 * MIB)).wait() == 0
    assert Child(cgroup, lambda: touch(64 * MIB)).wait() == -signal.SIGKILL
    stats = cgroup.stats()
    assert cgroup.oom_kills() == stats.oom_kills >= 1
    assert stats.memory_limit_bytes == 16 * MIB
    assert 4 * MIB < stats.memory_peak_bytes <= 16 * MIB


def test_the_memory_limit_can_be_raised_and_lowered_while_running(cgroup: Cgroup) -> None:
    needs(cgroup, "memory")
    for limit in (16 * MIB, 64 * MIB, 32 * MIB):
        cgroup.apply(Resources(memory=Memory(limit=limit, swap=2 * limit)))
        assert cgroup.stats().memory_limit_bytes == limit
    cgroup.apply(Resources(memory=Memory(limit=-1, swap=-1)))
    assert cgroup.stats().memory_limit_bytes is None


def test_no_more_processes_than_the_limit(cgroup: Cgroup) -> None:
    needs(cgroup, "pids")

    def fork_until_refused() -> int:
        for count in range(1, 20):
            try:
                if os.fork() == 0:
                    sleep()
            except BlockingIOError:
                return count
        return 99

    cgroup.apply(Resources(pids=Pids(5)))
    assert Child(cgroup, fork_until_refused).wait() == 5
    stats = cgroup.stats()
    assert (stats.pids, stats.pids_limit) == (4, 5)


def test_a_quota_throttles(cgroup: Cgroup) -> None:
    needs(cgroup, "cpu", "cpuacct" if cgroup.hierarchies.v1 else "cpu")
    cgroup.apply(Resources(cpu=CPU(quota=20_000, period=100_000)))
    began = time.monotonic()
    assert Child(cgroup, lambda: spin(0.4)).wait() == 0
    # A fifth of the time: two seconds. An emulated machine's clock ticks late, by a period now and then.
    assert time.monotonic() - began > 0.8
    stats = cgroup.stats()
    assert stats.cpu_usage_seconds > 0.3
    assert stats.throttled_periods >= 5
    assert stats.throttled_seconds > 0.4


def test_shares_reach_the_kernel(cgroup: Cgroup) -> None:
    needs(cgroup, "cpu")
    cgroup.apply(Resources(cpu=CPU(shares=512)))
    directory = next(found for found in cgroup.home(_controller("cpu")) if found)
    file = "cpu.shares" if cgroup.hierarchies.v1 else "cpu.weight"
    assert Path(directory, file).read_text().strip() == ("512" if cgroup.hierarchies.v1 else "59")


def test_a_process_stays_on_its_processors(cgroup: Cgroup) -> None:
    needs(cgroup, "cpuset")
    cgroup.apply(Resources(cpu=CPU(cpus="0")))
    assert Child(cgroup, lambda: os.sched_getaffinity(0) != {0}).wait() == 0
    with pytest.raises(InvalidArgument, match=r"cpuset.cpus = 4000"):
        cgroup.apply(Resources(cpu=CPU(cpus="4000")))


def test_huge_pages_are_limited_where_their_controller_is(cgroup: Cgroup) -> None:
    needs(cgroup, "hugetlb")
    control = Path(cgroup.hierarchies.v2 or "/nowhere", "cgroup.subtree_control")
    before = control.read_text().split() if control.exists() else []
    try:
        cgroup.apply(Resources(hugepage_limits=(HugepageLimit("2MB", 4 * MIB),)))
        directory = next(found for found in cgroup.home(_controller("hugetlb")) if found)
        file = "hugetlb.2MB.max" if cgroup.hierarchies.v2 else "hugetlb.2MB.limit_in_bytes"
        assert Path(directory, file).read_text().strip() == str(4 * MIB)
        assert cgroup.stats().hugetlb == dict.fromkeys(hugetlb.page_sizes(), 0)
    finally:
        if control.exists() and "hugetlb" not in before:
            control.write_text("-hugetlb")


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int, Path]]:
    """The numbers of a whole disk, and a file on it."""
    path = Path("/var/tmp", f"containerkit-test-{os.getpid()}")
    device = os.stat("/var/tmp").st_dev
    node = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if not node.exists():
        pytest.skip("/var/tmp is not on a disk")
    if (node / "partition").exists():
        node = node.resolve().parent
    major, minor = (int(part) for part in (node / "dev").read_text().split(":"))
    yield major, minor, path
    path.unlink(missing_ok=True)


def write_direct(path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
    block = mmap.mmap(-1, 65536)
    for _ in range(size // 65536):
        os.write(descriptor, block)


def test_a_device_rate_holds_and_bytes_are_counted(cgroup: Cgroup, disk: tuple[int, int, Path]) -> None:
    needs(cgroup, "blkio")
    major, minor, path = disk
    limit = BlockIO(throttle_write_bps_device=(ThrottleDevice(major, minor, 2 * MIB),))
    cgroup.apply(Resources(block_io=limit))

    def taken() -> float:
        began = time.monotonic()
        assert Child(cgroup, lambda: write_direct(path, 2 * MIB)).wait() == 0
        return time.monotonic() - began

    held = taken()
    assert held > 0.7
    stats = cgroup.stats()
    assert 2 * MIB <= stats.io_write_bytes < 3 * MIB
    assert stats.io_write_ops >= 2
    cgroup.apply(Resources(block_io=BlockIO(throttle_write_bps_device=(ThrottleDevice(major, minor, 0),))))
    assert any(taken() < held for _ in range(3))


def refused(path: str, flags: int) -> bool:
    try:
        os.close(os.open(path, flags))
    except PermissionError:
        return True
    return False


def test_devices_that_no_rule_allows_are_refused(cgroup: Cgroup) -> None:
    def work() -> int:
        allowed = not refused("/dev/null", os.O_RDWR) and not refused("/dev/urandom", os.O_RDONLY)
        return 0 if allowed and refused("/dev/kmsg", os.O_RDONLY) else 1

    cgroup.apply(Resources(devices=DEFAULT_DEVICES))
    assert Child(cgroup, work).wait() == 0


def test_device_rules_can_be_changed_and_tell_reading_from_writing(cgroup: Cgroup) -> None:
    cgroup.apply(Resources(devices=DEFAULT_DEVICES))
    cgroup.apply(Resources(devices=(*DEFAULT_DEVICES, DeviceCgroup(True, "c", 1, 11, "r"))))
    work = lambda: refused("/dev/kmsg", os.O_RDONLY) or not refused("/dev/kmsg", os.O_WRONLY)  # noqa: E731
    assert Child(cgroup, work).wait() == 0
    cgroup.apply(Resources(devices=(DeviceCgroup(True),)))
    assert Child(cgroup, lambda: refused("/dev/kmsg", os.O_WRONLY)).wait() == 0


class Clock:
    """Memory that a child counts up in."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 8)

    def run(self) -> None:
        for count in itertools.count(1):
            self.memory[:8] = struct.pack("=Q", count)

    def moves(self) -> bool:
        before = bytes(self.memory)
        time.sleep(0.1)
        return bytes(self.memory) != before


def test_frozen_processes_stand_still_until_they_are_thawed(cgroup: Cgroup) -> None:
    clock = Clock()
    child = Child(cgroup, clock.run)
    assert eventually(clock.moves)
    cgroup.freeze()
    cgroup.freeze()
    assert cgroup.is_frozen()
    assert not clock.moves()
    cgroup.thaw()
    assert not cgroup.is_frozen()
    assert eventually(clock.moves)
    cgroup.kill()
    child.wait()


def test_frozen_processes_can_be_killed(cgroup: Cgroup) -> None:
    child = Child(cgroup, sleep)
    cgroup.freeze()
    cgroup.kill()
    assert child.wait() == -signal.SIGKILL


def fork_tree() -> None:
    """Eight processes, six of which have left the session, and three their parent. For a moment a ninth is there."""
    for number in range(2):
        if os.fork() == 0:
            os.setsid()
            for _ in range(3):
                if os.fork() == 0:
                    sleep()
            if number:
                os._exit(0)
            sleep()
    sleep()


def test_kill_ends_the_whole_tree(cgroup: Cgroup) -> None:
    child = Child(cgroup, fork_tree)
    assert eventually(lambda: len(cgroup.pids()) == 8)
    cgroup.kill()
    assert cgroup.pids() == []
    assert child.wait() == -signal.SIGKILL
    cgroup.kill()


def test_kill_catches_up_with_a_process_that_keeps_forking(cgroup: Cgroup) -> None:
    def fork_on() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            if os.fork():
                time.sleep(0.0005)
                os._exit(0)

    child = Child(cgroup, fork_on)
    time.sleep(0.05)
    cgroup.kill()
    child.wait()
    time.sleep(0.05)
    assert cgroup.pids() == []


def test_an_exec_is_killed_alone_with_all_it_started(cgroup: Cgroup) -> None:
    main = Child(cgroup, sleep)
    group = cgroup.sub("exec-1")
    child = Child(cgroup, fork_tree, join=group.attach_self)
    assert eventually(lambda: len(group.pids()) == 8 and {main.pid, *group.pids()} == set(cgroup.pids()))
    group.kill()
    assert child.wait() == -signal.SIGKILL
    assert (group.pids(), cgroup.pids()) == ([], [main.pid])
    group.delete()
    group.delete()
    cgroup.kill()
    main.wait()


def test_an_exec_is_under_the_containers_limits(cgroup: Cgroup) -> None:
    needs(cgroup, "memory")
    cgroup.apply(Resources(memory=Memory(limit=16 * MIB, swap=16 * MIB)))
    group = cgroup.sub("exec-1")
    assert Child(cgroup, lambda: touch(64 * MIB), join=group.attach_self).wait() == -signal.SIGKILL
    assert cgroup.oom_kills() >= 1


def test_what_is_frozen_includes_the_execs(cgroup: Cgroup) -> None:
    clock = Clock()
    group = cgroup.sub("exec-1")
    child = Child(cgroup, clock.run, join=group.attach_self)
    cgroup.freeze()
    assert not clock.moves()
    cgroup.thaw()
    assert eventually(clock.moves)
    group.kill()
    child.wait()


def test_delete_takes_an_execs_cgroup_along(cgroup: Cgroup) -> None:
    cgroup.sub("exec-1")
    cgroup.delete()
    assert not cgroup.exists()


def test_delete_with_processes_left_says_which(cgroup: Cgroup) -> None:
    child = Child(cgroup, sleep)
    with pytest.raises(RuntimeFailure, match=rf"cgroup {cgroup.path}: delete: processes left: \[{child.pid}\]"):
        cgroup.delete(timeout=0.05)
    cgroup.kill()
    cgroup.delete()  # the zombie is not reaped yet, and does not hold it
    child.wait()


def test_another_process_is_moved_in(cgroup: Cgroup) -> None:
    child = Child(cgroup, sleep, join=lambda: None)
    cgroup.attach(child.pid)
    assert cgroup.pids() == [child.pid]
    for line in Path(f"/proc/{child.pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":")
        in_ours = any(set(names.split(",")) & controllers for _, controllers in cgroup.hierarchies.v1)
        assert path == cgroup.path or not (in_ours or (names == "" and cgroup.hierarchies.v2))
    cgroup.kill()
    child.wait()
    with pytest.raises((NotFound, RuntimeFailure), match="attach process"):
        cgroup.attach(child.pid)


def test_a_clone_is_born_in_the_v2_hierarchy(cgroup: Cgroup) -> None:
    descriptor = cgroup.open_for_clone()
    if descriptor is None:
        pytest.skip("needs cgroup v2")
    pid, pidfd = namespaces.clone3(0, descriptor)
    if pid == 0:
        cgroup.attach_self()
        sleep()
    os.close(descriptor)
    assert cgroup.pids() == [pid]
    cgroup.kill()
    os.waitpid(pid, 0)
    os.close(pidfd)


def test_stats_tell_of_the_work_done(cgroup: Cgroup) -> None:
    def work() -> None:
        touch(8 * MIB)
        while time.process_time() < 0.2:
            pass
        sleep()

    def used() -> int:
        return reader.sample().cpu_usage_ns

    def has_worked() -> bool:
        before = used()
        time.sleep(0.1)
        return before == used() > 150_000_000

    child = Child(cgroup, work)
    with StatsReader(cgroup) as reader:
        assert eventually(has_worked)
        last, stats = reader.sample(), reader.stats()
    assert last.cpu_usage_ns < 600_000_000
    assert stats.cpu_usage_seconds == pytest.approx(last.cpu_usage_ns / 1e9, abs=0.01)
    # How the time is shared out is sampled: on a slow machine one of them may have all of it.
    parts = stats.cpu_user_seconds + stats.cpu_system_seconds
    assert parts == pytest.approx(stats.cpu_usage_seconds, abs=0.05)
    if stats.per_cpu_seconds:
        assert sum(stats.per_cpu_seconds) == pytest.approx(stats.cpu_usage_seconds, abs=0.05)
    if stats.memory_usage_bytes:
        assert last.memory_bytes < 40 * MIB
        assert stats.page_faults > 1000
        assert stats.memory_bytes <= stats.memory_usage_bytes <= stats.memory_peak_bytes
        assert (stats.pids, last.pids) == (1, 1)
    cgroup.kill()
    child.wait()


def test_a_reader_notices_that_the_cgroup_is_gone(cgroup: Cgroup) -> None:
    with StatsReader(cgroup) as reader:
        reader.stats()
        reader.sample()
        cgroup.delete()
        with pytest.raises(NotFound, match=f"cgroup {cgroup.path}"):
            reader.sample()
        with pytest.raises(NotFound):
            reader.stats()
    with pytest.raises(NotFound):
        cgroup.stats()
    with pytest.raises(NotFound):
        cgroup.freeze()
    cgroup.kill()
    assert (cgroup.pids(), cgroup.oom_kills()) == ([], 0)


def test_a_nested_path_is_made_with_what_is_above(cgroup: Cgroup) -> None:
    deep = Cgroup(f"{cgroup.path}/parent/child", cgroup.hierarchies)
    deep.create()
    child = Child(deep, sleep)
    assert deep.pids() == cgroup.pids() == [child.pid]
    deep.kill()
    child.wait()
    deep.delete()
