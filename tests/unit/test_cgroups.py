"""The interface on hierarchies of plain files: no root, no kernel."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from containerkit.errors import InvalidArgument, NotFound, PermissionDenied, RuntimeFailure, Unsupported
from containerkit.linux.cgroups import Cgroup, Hierarchies, StatsReader, files, pressure
from containerkit.oci.runtime_spec import CPU, BlockIO, HugepageLimit, Memory, NetworkClass, Pids, Resources

Writes = list[tuple[str, str]]

V1_NAMES = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids")
V2_NAMES = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")


@pytest.fixture
def v1(tmp_path: Path) -> Hierarchies:
    for name in V1_NAMES:
        (tmp_path / name).mkdir()
    for file in ("cpuset.cpus", "cpuset.mems"):
        (tmp_path / "cpuset" / file).write_text("0-1\n")
    return Hierarchies(tuple((str(tmp_path / name), frozenset((name,))) for name in V1_NAMES))


@pytest.fixture
def v2(tmp_path: Path) -> Hierarchies:
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory\n")
    return Hierarchies((), str(tmp_path), frozenset(V2_NAMES))


def fill(directory: str, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        Path(directory, name).write_text(text)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Writes:
    """Writes are noted instead of done, and every file exists."""
    notes: Writes = []
    monkeypatch.setattr(files, "write", lambda path, value: notes.append((path, value)))
    inside = lambda self, name, value: notes.append((f"{self.directory}/{name}", value))  # noqa: E731
    monkeypatch.setattr(files.Files, "write", inside)
    return notes


def test_a_cgroup_is_made_in_every_hierarchy(v1: Hierarchies, written: Writes) -> None:
    cgroup = Cgroup("/containerkit-a", v1)
    assert not cgroup.exists()
    cgroup.create()
    cgroup.create()
    assert cgroup.exists()
    assert [os.path.isdir(directory) for directory in cgroup.directories] == [True] * len(V1_NAMES)


def test_a_new_v1_cpuset_has_its_parents_processors(v1: Hierarchies, tmp_path: Path, written: Writes) -> None:
    Cgroup("/containerkit-a/b", v1)
    (tmp_path / "cpuset" / "containerkit-a").mkdir()
    fill(str(tmp_path / "cpuset" / "containerkit-a"), {"cpuset.cpus": "1\n", "cpuset.mems": "0\n"})
    Cgroup("/containerkit-a/b", v1).create()
    inside = f"{tmp_path}/cpuset/containerkit-a/b"
    assert written == [(f"{inside}/cpuset.cpus", "1\n"), (f"{inside}/cpuset.mems", "0\n")]


def test_v2_controllers_are_enabled_above_and_not_twice(v2: Hierarchies, tmp_path: Path, written: Writes) -> None:
    (tmp_path / "containerkit-a").mkdir()
    fill(str(tmp_path / "containerkit-a"), {"cgroup.subtree_control": "cpu io memory pids\n"})
    Cgroup("/containerkit-a/b", v2).create()
    assert sorted(written) == [(f"{tmp_path}/cgroup.subtree_control", f"+{name}") for name in ("io", "pids")]


def test_delete_takes_child_cgroups_along_and_may_be_called_twice(v1: Hierarchies, written: Writes) -> None:
    cgroup = Cgroup("/containerkit-a", v1)
    cgroup.create()
    cgroup.sub("exec-1")
    Path(cgroup.directories[0], "x", "y").mkdir(parents=True)
    cgroup.delete()
    cgroup.delete()
    assert not any(os.path.exists(directory) for directory in cgroup.directories)


@pytest.mark.parametrize("path", ["/", "", "a", "/a/../b", "/a//b", "/./a", "/a/"])
def test_a_path_that_is_not_below_the_root_is_refused(path: str, v1: Hierarchies) -> None:
    with pytest.raises(InvalidArgument, match="absolute path"):
        Cgroup(path, v1)


@pytest.mark.parametrize("name", ["", "a/b", ".."])
def test_a_child_is_named_not_addressed(name: str, v1: Hierarchies) -> None:
    with pytest.raises(InvalidArgument, match="child"):
        Cgroup("/containerkit-a", v1).sub(name)


def test_without_limits_nothing_is_written(v1: Hierarchies, v2: Hierarchies, written: Writes) -> None:
    Cgroup("/containerkit-a", v1).apply(Resources())
    Cgroup("/containerkit-a", v2).apply(Resources())
    assert written == []


def test_a_limit_goes_where_its_controller_is(tmp_path: Path, written: Writes) -> None:
    fill(str(tmp_path), {"cgroup.subtree_control": "\n"})
    hybrid = Hierarchies(((f"{tmp_path}/pids", frozenset({"pids"})),), str(tmp_path), frozenset({"hugetlb", "memory"}))
    Cgroup("/c", hybrid).apply(
        Resources(pids=Pids(5), memory=Memory(limit=4096), hugepage_limits=(HugepageLimit("2MB", 0),))
    )
    assert (f"{tmp_path}/pids/c/pids.max", "5") in written
    assert (f"{tmp_path}/c/memory.max", "4096") in written
    assert written.index((f"{tmp_path}/cgroup.subtree_control", "+hugetlb")) < written.index(
        (f"{tmp_path}/c/hugetlb.2MB.max", "0")
    )


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (Resources(hugepage_limits=(HugepageLimit("2MB", 0),)), "limit huge pages of 2MB: no hugetlb controller"),
        (Resources(network=NetworkClass(1)), "limit network class: no net_cls controller"),
        (Resources(unified={"memory.high": "1"}), "unified limits: cgroup v2 is not mounted"),
    ],
)
def test_a_limit_without_its_controller_says_so(v1: Hierarchies, resources: Resources, words: str) -> None:
    with pytest.raises(Unsupported, match=f"cgroup /containerkit-a: {words}"):
        Cgroup("/containerkit-a", v1).apply(resources)


def test_a_limit_without_its_file_says_so(v1: Hierarchies, written: Writes, monkeypatch: pytest.MonkeyPatch) -> None:
    cgroup = Cgroup("/containerkit-a", v1)
    cgroup.create()
    monkeypatch.undo()
    with pytest.raises(Unsupported, match=r"cgroup /containerkit-a: cpu.idle = 1: this kernel has no such limit"):
        cgroup.apply(Resources(cpu=CPU(idle=1)))
    cgroup.delete()
    with pytest.raises(NotFound):
        cgroup.apply(Resources(cpu=CPU(idle=1)))


def test_what_is_wrong_with_a_value_is_said_with_the_cgroups_name(v2: Hierarchies) -> None:
    with pytest.raises(InvalidArgument, match="cgroup /containerkit-a: limit memory swap"):
        Cgroup("/containerkit-a", v2).apply(Resources(memory=Memory(swap=1)))


def test_the_other_file_is_written_where_the_first_is_absent(v1: Hierarchies, tmp_path: Path) -> None:
    cgroup = Cgroup("/containerkit-a", v1)
    (tmp_path / "blkio" / "containerkit-a").mkdir()
    fill(str(tmp_path / "blkio" / "containerkit-a"), {"blkio.bfq.weight": ""})
    cgroup.apply(Resources(block_io=BlockIO(weight=300)))
    assert (tmp_path / "blkio" / "containerkit-a" / "blkio.bfq.weight").read_text() == "300"


def refuse(times: int, number: int, file: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kernel refuses the first writes into ``file``."""
    notes: list[str] = []

    def write(self: files.Files, name: str, value: str) -> None:
        notes.append(name)
        if name == file and notes.count(name) <= times:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.Files, "write", write)
    return notes


def test_a_limit_that_waits_for_another_is_written_after_it(v1: Hierarchies, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = refuse(1, errno.EINVAL, "memory.limit_in_bytes", monkeypatch)
    Cgroup("/containerkit-a", v1).apply(Resources(memory=Memory(limit=8192, swap=8192)))
    assert notes == ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]


def test_what_the_kernel_refuses_for_good_is_an_invalid_argument(
    v1: Hierarchies, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(9, errno.EINVAL, "memory.limit_in_bytes", monkeypatch)
    with pytest.raises(InvalidArgument, match=r"memory.limit_in_bytes = 8192: invalid argument") as caught:
        Cgroup("/containerkit-a", v1).apply(Resources(memory=Memory(limit=8192, swap=8192)))
    assert caught.value.errno == errno.EINVAL


def test_what_is_not_ours_is_permission_denied(v1: Hierarchies, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(9, errno.EACCES, "pids.max", monkeypatch)
    with pytest.raises(PermissionDenied, match=r"pids.max"):
        Cgroup("/containerkit-a", v1).apply(Resources(pids=Pids(1)))


def test_nothing_mounted_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="no cgroup hierarchy is mounted"):
        Cgroup("/containerkit-a", Hierarchies()).create()


def test_attach_self_moves_the_caller_in_every_hierarchy(v1: Hierarchies, written: Writes) -> None:
    Cgroup("/c", v1).attach_self()
    assert written == [(f"{root}/c/tasks", "0") for root in v1.roots]


def test_who_was_born_in_the_v2_cgroup_is_not_moved(v2: Hierarchies, written: Writes) -> None:
    cgroup = Cgroup("/c", v2)
    cgroup.attach_self()
    assert written == [(f"{v2.v2}/c/cgroup.procs", "0")]
    os.mkdir(f"{v2.v2}/c")
    descriptor = cgroup.open_for_clone()
    assert descriptor is not None
    os.close(descriptor)
    cgroup.attach_self()
    assert len(written) == 1


def test_an_exec_joins_its_own_child_and_the_containers_limits(v1: Hierarchies, written: Writes) -> None:
    cgroup = Cgroup("/c", v1)
    cgroup.create()
    written.clear()
    cgroup.sub("exec-1").attach_self()
    freezer = v1.v1_root("freezer")
    expected = {f"{root}/c/tasks" for root in v1.roots if root != freezer} | {f"{freezer}/c/exec-1/tasks"}
    assert {path for path, _ in written} == expected


MEMORY_V1 = """\
cache 1
rss 2
hierarchical_memory_limit 8192
hierarchical_memsw_limit 9223372036854771712
total_cache 4096
total_rss 1024
total_pgfault 7
total_pgmajfault 3
total_inactive_file 1000
"""
FILES_V1 = {
    "cpuacct": {
        "cpuacct.usage": "3000000000\n", "cpuacct.usage_user": "2000000000\n", "cpuacct.usage_sys": "1000000000\n",
        "cpuacct.usage_percpu": "1000000000 2000000000 \n",
    },
    "cpu": {
        "cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 500000000\nnr_bursts 0\nburst_time 0\n",
        "cpu.cfs_quota_us": "150000\n", "cpu.cfs_period_us": "100000\n",
    },
    "memory": {
        "memory.usage_in_bytes": "6000\n", "memory.max_usage_in_bytes": "7000\n", "memory.stat": MEMORY_V1,
        "memory.limit_in_bytes": "9223372036854771712\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    },
    "pids": {"pids.current": "5\n", "pids.max": "max\n"},
    "blkio": {
        "blkio.throttle.io_service_bytes_recursive":
            "8:0 Read 100\n8:0 Write 20\n8:0 Total 120\n8:16 Read 1\nTotal 121\n",
        "blkio.throttle.io_serviced_recursive": "8:0 Read 3\n8:0 Write 2\n8:0 Total 5\nTotal 5\n",
    },
}  # fmt: skip
FILES_V2 = {
    "cpu.stat": "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\nnr_periods 10\nnr_throttled 4\n"
    "throttled_usec 500000\n", "cpu.max": "150000 100000\n",
    "memory.current": "6000\n", "memory.peak": "7000\n", "memory.max": "8192\n",
    "memory.stat": "anon 1024\nfile 4096\ninactive_file 1000\npgfault 7\npgmajfault 3\n",
    "memory.events": "low 0\nhigh 0\nmax 1\noom 3\noom_kill 2\n",
    "pids.current": "5\n", "pids.max": "max\n",
    "io.stat": "8:0 rbytes=100 wbytes=20 rios=3 wios=2 dbytes=0 dios=0\n8:16 rbytes=1\n",
}  # fmt: skip


@pytest.fixture(params=["v1", "v2"])
def counted(request: pytest.FixtureRequest, written: Writes) -> Cgroup:
    """A cgroup whose counters say the same in both versions."""
    cgroup = Cgroup("/c", request.getfixturevalue(request.param))
    cgroup.create()
    for name, texts in FILES_V1.items() if request.param == "v1" else [("", FILES_V2)]:
        fill(next(d for d in cgroup.directories if d.endswith(f"{name}/c")), texts)
    return cgroup


def test_stats(counted: Cgroup) -> None:
    stats = counted.stats()
    assert (stats.cpu_usage_seconds, stats.cpu_user_seconds, stats.cpu_system_seconds) == (3, 2, 1)
    assert (stats.periods, stats.throttled_periods, stats.throttled_seconds) == (10, 4, 0.5)
    assert stats.cpus_limit == 1.5
    assert (stats.memory_usage_bytes, stats.memory_bytes, stats.memory_peak_bytes) == (6000, 5000, 7000)
    assert stats.memory_limit_bytes == 8192
    assert (stats.memory["anon"], stats.memory["file"]) == (1024, 4096)
    assert (stats.page_faults, stats.major_page_faults, stats.oom_kills) == (7, 3, 2)
    assert (stats.pids, stats.pids_limit) == (5, None)
    assert (stats.io_read_bytes, stats.io_write_bytes, stats.io_read_ops, stats.io_write_ops) == (101, 20, 3, 2)
    assert counted.oom_kills() == 2


def test_a_sample_says_what_stats_say(counted: Cgroup) -> None:
    with StatsReader(counted) as reader:
        sample, stats = reader.sample(), reader.stats()
    assert sample.cpu_usage_ns == stats.cpu_usage_seconds * 1e9
    names = sample._fields[1:]
    assert [getattr(sample, name) for name in names] == [getattr(stats, name) for name in names]


def test_a_reader_reads_again(counted: Cgroup) -> None:
    pids = next(d for d in counted.directories if os.path.exists(f"{d}/pids.current"))
    with StatsReader(counted) as reader:
        assert reader.sample().pids == 5
        fill(pids, {"pids.current": "6\n"})
        assert reader.sample().pids == reader.stats().pids == 6


def test_what_is_not_counted_is_zero(v1: Hierarchies, written: Writes) -> None:
    cgroup = Cgroup("/c", v1)
    cgroup.create()
    stats = cgroup.stats()
    assert (stats.cpu_usage_seconds, stats.memory_limit_bytes, stats.pids) == (0, None, 0)
    with StatsReader(cgroup) as reader:
        assert reader.sample() == (0, 0, None, 0, None, 0, 0, 0)


def test_stats_of_no_cgroup(v1: Hierarchies) -> None:
    with pytest.raises(NotFound, match="cgroup /c: no such cgroup"):
        Cgroup("/c", v1).stats()
    assert Cgroup("/c", v1).oom_kills() == 0


def test_what_the_kernel_says_in_another_way_is_an_error_of_the_cgroup(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    fill(f"{tmp_path}/x", {"memory.current": "many\n"})
    found = Hierarchies((), str(tmp_path), frozenset(V2_NAMES))
    with StatsReader(Cgroup("/x", found)) as reader:
        for look in (reader.stats, reader.sample):
            with pytest.raises(RuntimeFailure, match="cgroup /x: the kernel says"):
                look()
    fill(
        f"{tmp_path}/x",
        {
            "irq.pressure": "some total=" + "9" * 400,
            "cpu.pressure": "some avg10=x\n",
            "io.pressure": "all avg10=0.00\n",
            "memory.pressure": "some total=5\n",
        },
    )
    assert list(pressure.read(f"{tmp_path}/x")) == ["memory"]
