"""Where controllers are found, from mountinfo's text alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from containerkit.linux.cgroups import hierarchies
from containerkit.linux.cgroups.hierarchies import Hierarchies
from containerkit.linux.files import kernel_lines

PURE_V2 = """\
22 28 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw
30 22 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
"""
V1 = """\
30 22 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/systemd rw,nosuid shared:10 - cgroup cgroup rw,xattr,name=systemd
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:11 - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 / /sys/fs/cgroup/memory rw,nosuid shared:12 - cgroup cgroup rw,memory
34 30 0:30 / /sys/fs/cgroup/freezer rw,nosuid shared:13 - cgroup cgroup rw,freezer
35 30 0:31 / /sys/fs/cgroup/rdma rw,nosuid shared:14 - cgroup cgroup rw,rdma
"""
HYBRID = V1 + "36 30 0:32 / /sys/fs/cgroup/unified rw,nosuid shared:15 - cgroup2 cgroup2 rw\n"


def parse(mountinfo: str) -> Hierarchies:
    return hierarchies.parse(mountinfo.split("\n"))


def test_pure_v2() -> None:
    found = parse(PURE_V2)
    assert (found.mode, found.v1, found.v2, found.control) == ("v2", (), "/sys/fs/cgroup", "/sys/fs/cgroup")


def test_v1_with_two_controllers_in_one_hierarchy() -> None:
    found = parse(V1)
    assert found.mode == "v1"
    assert found.v1_root("cpu") == found.v1_root("cpuacct") == "/sys/fs/cgroup/cpu,cpuacct"
    assert found.control == "/sys/fs/cgroup/freezer"
    assert found.v1_root("pids") is None


def test_named_hierarchies_and_controllers_we_do_not_use_are_left_alone() -> None:
    assert [root for root in parse(V1).roots if "systemd" in root or "rdma" in root] == []


def test_hybrid_controls_through_v2() -> None:
    found = parse(HYBRID)
    assert (found.mode, found.control) == ("hybrid", "/sys/fs/cgroup/unified")
    assert found.v1_root("memory") == "/sys/fs/cgroup/memory"


def test_the_whole_hierarchy_is_preferred_to_a_view_of_a_part() -> None:
    part = "40 22 0:29 /docker/abc /somewhere/memory rw - cgroup cgroup rw,memory\n"
    assert parse(part + V1).v1_root("memory") == "/sys/fs/cgroup/memory"
    assert parse(part).v1_root("memory") == "/somewhere/memory"


def test_a_second_mount_of_the_same_hierarchy_is_ignored() -> None:
    again = "41 22 0:26 / /mnt/rootfs/sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    assert parse(PURE_V2 + again).v2 == "/sys/fs/cgroup"


def test_spaces_in_mount_points() -> None:
    assert parse("30 22 0:26 / /a\\040b rw - cgroup2 none rw\n").v2 == "/a b"


def test_nothing_mounted() -> None:
    found = parse("22 28 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n")
    assert (found.mode, found.roots, found.control) == ("none", (), None)


@pytest.mark.parametrize("name", [b"\xff", b"\r", b"\x0c", b"\x1c", "\x85".encode(), "\u2028".encode()])
def test_a_mount_can_have_any_bytes_in_its_name(tmp_path: Path, name: bytes) -> None:
    # The kernel writes down as they are all but white space of ASCII and the backslash.
    text = V1.encode() + b"40 22 0:40 / /mnt/%b30 22 0:26 rw - cgroup cgroup rw,memory\n" % name
    (tmp_path / "mountinfo").write_bytes(text)
    found = hierarchies.parse(kernel_lines(str(tmp_path / "mountinfo")))
    assert found.v1_root("memory") == "/sys/fs/cgroup/memory"
