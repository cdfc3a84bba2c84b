"""How x-rays and steps look: plain values drawn, nothing of a kernel in it."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

import containerkit as ck
from containerkit.linux import capabilities, procfs, seccomp_compiler
from containerkit.oci.runtime_spec import Seccomp, SeccompArg, SeccompSyscall
from containerkit.reading import top
from containerkit.results import Plan, Step
from containerkit.runtime.gate import GO, Gate
from containerkit.stepping.values import Difference, Stepped, World
from containerkit.xray.reading import _counted
from containerkit.xray.values import (
    CapabilityView,
    CgroupView,
    IdRange,
    LayerView,
    LinkView,
    MountView,
    NamespaceView,
    SeccompView,
    XRay,
)

EVIL = "<script>alert(1)</script>"
SEEN = XRay(
    EVIL, "running", EVIL,
    namespaces=(NamespaceView("mount", 7, "own"), NamespaceView("user", 1, "host", ("db",)),
                NamespaceView("network", 9, "shared", ("db", EVIL))),
    cgroups=(CgroupView("memory", 1, f"/m/{EVIL}", {"memory.limit_in_bytes": "1048576"}, {"memory_bytes": 524288}),
             CgroupView("freezer", 1, "/f/x", {}, {})),
    mounts=(MountView("/", "overlay", "overlay", EVIL, False, ("rw",)), MountView("/sys", "sysfs", "", "", True, ())),
    layers=(LayerView(1, "sha256:1", "/l", 2048, False, EVIL), LayerView(2, "", "/u", None, True)),
    capabilities=CapabilityView(("CAP_KILL",), ("CAP_KILL", "CAP_CHOWN"), ("CAP_SYS_ADMIN",)),
    seccomp=SeccompView("filter", 60, 10, 30),
    network=(LinkView("eth0", 2, "veth", ("10.0.0.2/24",), "", "ckab", 17, "ck0", EVIL),),
    ids=(IdRange("uid", 0, 100000, 65536),),
    missing={"processes": EVIL},
)  # fmt: skip


def test_an_x_ray_is_drawn_and_strangers_words_are_escaped() -> None:
    drawn = SEEN._repr_html_()
    assert "<script" not in drawn and "&lt;script&gt;" in drawn and drawn == SEEN._repr_html_()
    for words in (
        "1 of 3 its own", "shared with db, ", "host&#x27;s", "limit_in_bytes = 1.0 MiB", "width:50.0%", "read-only",
        "the container&#x27;s own, writable", "2.0 KiB", "2 of 3 kept", "10 conditional", "eth0 #2", "ckab #17",
        "100000 – 165535", "processes: ",
    ):  # fmt: skip
        assert words in drawn, words
    assert "style=" in drawn and "<style" not in drawn and "id=" not in drawn


def test_parts_are_rows_and_frames() -> None:
    assert [str(one) for one in SEEN.namespaces] == ["own", "host's", f"shared with db, {EVIL}"]
    assert SEEN.frame("namespaces")["inode"].tolist() == [7, 1, 9]
    assert SEEN.frame("capabilities").to_numpy().tolist() == [
        ["CAP_KILL", True, True], ["CAP_CHOWN", False, True], ["CAP_SYS_ADMIN", False, False],
    ]  # fmt: skip
    assert SEEN.rows("seccomp") == [{"mode": "filter", "allowed": 60, "conditional": 10, "denied": 30}]
    with pytest.raises(ck.InvalidState, match="processes"):
        SEEN.rows("processes")
    assert "8 namespaces" not in repr(SEEN) and "3 namespaces (1 own), 2 mounts, 2 layers" in repr(SEEN)


STEP = Step(3, "container", "Mount", f"mount {EVIL}", 1_500_000, ("openat2", "mount"))
BEFORE = World({"container": "created"}, {"mounts": ("/", "/old"), "pid": "1"})
AFTER = World({"container": "created"}, {"mounts": ("/", EVIL), "pid": "1", "links": ("lo",)})


def test_a_step_tells_what_it_has_changed() -> None:
    stepped = Stepped(STEP, BEFORE, AFTER)
    assert stepped.changes == (
        Difference("inside", "mounts", "- /old", f"+ {EVIL}"), Difference("inside", "links", "", "lo"),
    )  # fmt: skip
    assert Stepped(STEP, BEFORE, BEFORE).changes == ()
    assert list(stepped.frame()["what"]) == ["mounts", "links"]
    assert repr(Stepped(STEP, BEFORE, BEFORE)) == f"3. Mount (container): mount {EVIL}"
    drawn = stepped._repr_html_()
    assert "<script" not in drawn and "1.50 ms" in drawn and "openat2, mount" in drawn and "<b>lo</b>" in drawn
    assert "no process yet" in Stepped(STEP, World(), World())._repr_html_()


def test_a_plan_is_told_with_calls_and_what_it_cost() -> None:
    plan = Plan((Step(1, "host", "Clone", "clone3", 3_000_000, ("clone3",)), STEP))
    assert plan.nanoseconds == 4_500_000 and plan.rows()[0]["calls"] == "clone3"
    drawn = plan._repr_html_()
    assert "2 operations, 4.5 ms" in drawn and "3000 µs" in drawn and "width:40px" in drawn and "<script" not in drawn
    assert "openat2, mount" in repr(plan)


def test_a_gate_lets_one_operation_through_for_each_word() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        done = []
        ours.send(GO)
        ours.send(GO)
        for one in Gate(theirs.fileno()).through(("a", "b")):
            done.append(one)
        assert done == ["a", "b"]
        first, second, third = (ours.recv(4096) for _ in range(3))
        assert b'"cost": null' in first and b'"cost": null' not in second and b'"pid"' in third
        walk = Gate(theirs.fileno()).through(("c",))
        ours.shutdown(socket.SHUT_RDWR)
        with pytest.raises(ck.RuntimeFailure, match="given up"):
            next(walk)


def test_an_init_whose_parent_has_ended_waits_no_longer() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, child:
        parent.send(b"mapped")  # not yet read: no reason to end
        parent.close()
        with pytest.raises(ck.RuntimeFailure, match="given up"):
            next(Gate(theirs.fileno(), child.fileno()).through(("a",)))


def test_proc_is_read_of_this_process() -> None:
    assert procfs.namespaces("self")["mount"] == os.stat("/proc/self/ns/mnt").st_ino
    assert "/" in [line.target for line in procfs.mounts("self")] and "lo" in procfs.links("self")
    assert procfs.status("self")["Pid"] == str(os.getpid()) and procfs.id_map("self", "uid")[0][2] > 0
    line = r"1 2 0:3 / /a\040b rw,nosuid shared:4 master:1 - tmpfs no\134ne rw,size=1k"
    mount = procfs._mount(line)
    assert (mount.target, mount.source, mount.propagation) == ("/a b", "no\\ne", "shared:4 master:1")
    assert mount.options == ("rw", "nosuid", "size=1k")


def test_calls_are_those_of_this_machine() -> None:
    assert {"read", "execve", "clone3"} <= seccomp_compiler.calls() and "nosuch" not in seccomp_compiler.calls()
    rules = (
        SeccompSyscall(("read", "write", "nosuch"), "SCMP_ACT_ALLOW"), SeccompSyscall(("read",), "SCMP_ACT_ALLOW"),
        SeccompSyscall(("clone", "write"), "SCMP_ACT_ALLOW", args=(SeccompArg(0, 1, "SCMP_CMP_EQ"),)),
    )  # fmt: skip
    count = len(seccomp_compiler.calls())
    assert _counted("filter", Seccomp("SCMP_ACT_ERRNO", syscalls=rules)) == SeccompView("filter", 2, 1, count - 3)
    denied = (SeccompSyscall(("read", "write"), "SCMP_ACT_ERRNO"),)
    assert _counted(None, Seccomp("SCMP_ACT_ALLOW", syscalls=denied)) == SeccompView(None, count - 2, 0, 2)


def test_a_process_that_has_ended_has_no_mounts() -> None:
    ended = subprocess.Popen(["true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # it is still there, as a zombie
    with pytest.raises(ProcessLookupError):
        procfs.mounts(ended.pid)
    ended.wait()


@pytest.mark.parametrize("name", [r"\r", r"\rNSpid:\t7", r"\rCapEff:\t0", r"\377"])
def test_a_process_cannot_say_by_its_name_what_its_status_says(name: str) -> None:
    script = f"printf '{name}' >/proc/$$/comm && echo && read wait"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"\n"
        found = procfs.status(child.pid)
        assert found["NSpid"].split()[0] == str(child.pid) and "Name" in found
        assert capabilities.read(child.pid) == capabilities.read("self")
        assert top._container_pid(child.pid) == child.pid
        child.communicate()
