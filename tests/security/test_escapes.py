"""Ways out of a container that others have found, tried on ours."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image
from containerkit.linux.libc import check, libc
from tests.bundles import Runtime, change, configure, make


def call(engine: Engine, script: str, **options: object) -> ck.Result:
    return engine.call("busybox", ["sh", "-c", script], timeout=30, **options)  # type: ignore[arg-type]


# -- descriptors (CVE-2024-21626) ------------------------------------------------------------------------------------


def test_no_working_directory_is_a_leaked_descriptor(engine: Engine, image: Image) -> None:
    leaked = os.open("/", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        with engine.run("busybox", "sleep 60") as container:
            for number in range(3, max(24, leaked + 1)):
                for path in (f"/proc/self/fd/{number}", f"/proc/self/fd/{number}/../../.."):
                    with pytest.raises(ck.RuntimeFailure):
                        engine.call("busybox", "ls", workdir=path)
                    with pytest.raises(ck.RuntimeFailure):
                        container.exec("ls", workdir=path)
    finally:
        os.close(leaked)


def test_nothing_but_the_streams_is_open(engine: Engine, image: Image) -> None:
    # One more is that of ls itself.
    assert call(engine, "ls /proc/self/fd").stdout.split() == ["0", "1", "2", "3"]
    with engine.run("busybox", "sleep 60") as container:
        assert container.exec("ls /proc/self/fd").stdout.split() == ["0", "1", "2", "3"]
        assert container.exec("ls /proc/1/fd").stdout.split() == ["0", "1", "2"]


# -- /proc/self/exe (CVE-2019-5736) ----------------------------------------------------------------------------------

#: Holds on to the program of every process that comes by, and overwrites it once it is not executed any more.
THIEF = """
while true; do
  for p in /proc/[0-9]*; do
    case "$(readlink $p/exe)" in
      /memfd:containerkit*) echo "$(readlink $p/exe)" >>/seen
        (exec 9<$p/exe; while [ -d $p ]; do true; done; echo evil >/proc/self/fd/9) 2>>/errors & ;;
    esac
  done
done
"""


@pytest.fixture
def interpreter() -> Iterator[None]:
    """The host's interpreter is the same afterwards."""
    path = os.path.realpath(sys.executable)
    before = hashlib.sha256(Path(path).read_bytes()).digest()
    yield
    assert hashlib.sha256(Path(path).read_bytes()).digest() == before


@pytest.mark.parametrize("entry", ["/proc/self/exe", "/script"])
def test_the_host_s_interpreter_is_not_overwritten(engine: Engine, image: Image, interpreter: None, entry: str) -> None:
    with engine.run("busybox", ["sh", "-c", THIEF], name="thief", cap_add=["SYS_PTRACE"]) as thief:
        thief.path("/script").write_text("#!/proc/self/exe\n")
        thief.path("/script").chmod(0o755)
        for _ in range(60):
            # It cannot find its library in there, and ends at once.
            with contextlib.suppress(ck.RuntimeFailure):
                thief.exec([entry])
            with contextlib.suppress(ck.RuntimeFailure):
                engine.call("busybox", [entry], pid="container:thief")
        seen = thief.path("/seen")
        assert seen.exists() and "memfd:containerkit-python" in seen.read_text(), "the attack never got that far"


# -- an image that lies about its directories ------------------------------------------------------------------------


@pytest.mark.parametrize("directory", ["dev", "proc", "sys"])
@pytest.mark.parametrize("target", ["{host}", "../../../../../..{host}", "/inside"])
def test_a_mount_point_that_is_a_link(
    engine: Engine, tmp_path: Path, busybox_tar: Path, directory: str, target: str
) -> None:
    host = tmp_path / "host"
    host.mkdir()
    with tarfile.open(busybox_tar) as tar:
        tar.extractall(tmp_path / "tree", filter="tar")
    place = tmp_path / "tree" / directory
    if place.exists():
        place.rmdir()
    place.symlink_to(target.format(host=host))
    (tmp_path / "tree/inside").mkdir()
    Image.import_(tmp_path / "tree", tag="liar", engine=engine)
    mounted = Path("/proc/self/mountinfo").read_text().count("\n")
    if target == "/inside":
        # A link within the image is the image's affair: what belongs there is there, and as well protected.
        script = "ls -A /inside | wc -l; cat /proc/keys; echo 1 >/proc/sys/kernel/panic"
        result = engine.call("liar", ["sh", "-c", script])
        assert int(result.stdout) > 3 and "Read-only file system" in result.stderr, result
    else:
        with pytest.raises(ck.RuntimeFailure, match=f"/{directory}"):
            engine.call("liar", ["sh", "-c", f"echo made >{host}/made"])
    assert list(host.iterdir()) == []
    assert Path("/proc/self/mountinfo").read_text().count("\n") == mounted


def test_what_masks_is_really_the_null_device(tmp_path: Path, busybox_tar: Path) -> None:
    runtime = Runtime(tmp_path / "containers")
    bundle = configure(make(tmp_path / "bundle", busybox_tar), "cat /proc/keys", maskedPaths=["/proc/keys"])
    (tmp_path / "trap").write_text("")
    script = f'mount --bind {tmp_path}/trap /dev/null && shift && exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", script, "sh", "x", *runtime.words("run", "-b", bundle, "box")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 125 and "/dev/null is not the null device" in done.stderr
    assert (tmp_path / "trap").read_text() == ""


def test_a_mount_point_that_is_swapped_10_000_times(tmp_path: Path, busybox_tar: Path) -> None:
    runtime = Runtime(tmp_path / "containers")
    host = tmp_path / "host"
    (host / "inner").mkdir(parents=True)
    bundle = configure(make(tmp_path / "bundle", busybox_tar), "echo from the container >/swapped/inner/file")
    root = bundle / "rootfs"
    (root / "swapped" / "inner").mkdir(parents=True)
    (root / "other").symlink_to(host)
    change(bundle, lambda config: config["mounts"].append(
        {"destination": "/swapped/inner/deep", "type": "tmpfs", "source": "tmpfs"}
    ))  # fmt: skip
    swaps, ended = 0, threading.Event()

    def swap() -> None:
        nonlocal swaps
        one, two = os.fsencode(root / "swapped"), os.fsencode(root / "other")
        while not ended.is_set():
            check(libc.renameat2(-100, one, -100, two, 2))  # RENAME_EXCHANGE
            swaps += 1

    thread = threading.Thread(target=swap)
    thread.start()
    starts = 0
    while starts < 20 or swaps < 10_000:
        runtime("run", "-b", bundle, f"box{starts}")
        starts += 1
    ended.set()
    thread.join()
    assert [path.name for path in host.rglob("*")] == ["inner"], "something was made outside"


# -- what a container may not reach ----------------------------------------------------------------------------------


def test_hidden_paths_stay_hidden_in_another_s_namespaces(engine: Engine, image: Image) -> None:
    script = (
        "cat /proc/keys /proc/timer_list | wc -c; ls /proc/acpi /sys/firmware | wc -w; echo x >/proc/sys/kernel/panic"
    )
    with engine.run("busybox", "sleep 60", name="one") as one:
        joined = call(engine, script, pid="container:one", ipc="container:one", network="container:one")
        entered = one.exec(["sh", "-c", script])
    for result in (joined, entered):
        assert len(result.stdout.split()) == 2 and result.stdout.split()[0] == "0", result
        assert "Read-only file system" in result.stderr


def test_no_release_agent(engine: Engine, image: Image) -> None:
    # CVE-2022-0492: a program that the kernel would run on the host.
    script = """
    mkdir /tmp/c
    for options in memory memory,release_agent=/evil pids; do
      mount -t cgroup -o $options none /tmp/c 2>/dev/null || continue
      echo mounted
      find /tmp/c -name release_agent
      umount /tmp/c
    done
    find /sys -name release_agent 2>/dev/null
    echo done
    """
    assert call(engine, script).stdout == "done\n"
    words = call(engine, script, cap_add=["SYS_ADMIN"], security_opt=["seccomp=unconfined"]).stdout.split()
    assert set(words) <= {"mounted", "done"} and "done" in words


def test_inheritable_capabilities_are_none(engine: Engine, image: Image) -> None:
    # CVE-2022-24769
    line = "CapInh:\t0000000000000000\n"
    assert call(engine, "grep CapInh /proc/self/status").stdout == line
    assert call(engine, "grep CapInh /proc/self/status", cap_add=["NET_ADMIN"], user="33").stdout == line
    with engine.run("busybox", "sleep 60", privileged=True) as container:
        assert container.exec("grep CapInh /proc/self/status").stdout == line


def test_groups_are_those_of_the_user_alone(engine: Engine, image: Image) -> None:
    # CVE-2022-2989 and others: the groups of whoever started it, or none of those that restrict.
    assert call(engine, "id -G", user="33:33").stdout == "33\n"
    assert call(engine, "id -G", user="33:33", group_add=["50"]).stdout == "33 50\n"
    assert call(engine, "grep Groups /proc/self/status").stdout.split() == ["Groups:", "0"]
    with engine.run("busybox", "sleep 60", user="33:33", group_add=["50"]) as container:
        assert container.exec("id -G").stdout == "33 50\n"
        assert container.exec("id -G", user="44:44").stdout == "44\n"
        script = "touch /tmp/f && chgrp 50 /tmp/f && chmod 604 /tmp/f && cat /tmp/f"
        # A group that may not is kept: without it, others may.
        container.exec(["sh", "-c", script])
        assert not container.exec("cat /tmp/f", user="77:50")


@pytest.mark.parametrize(
    "user", ["-1", "0x0", "+0", "0_0", " 0", "0 ", "٠", "4294967295", "4294967296", "0:-1", ":", "1:x", "a b", "\n0"]
)
def test_a_malformed_user_never_becomes_root(engine: Engine, image: Image, user: str) -> None:
    with engine.run("busybox", "sleep 60", user="33") as container:
        with pytest.raises(ck.ContainerkitError):
            container.exec("id -u", user=user)
        with pytest.raises(ck.ContainerkitError):
            engine.call("busybox", "id -u", user=user)


def test_the_monitor_cannot_be_seen_or_signalled(engine: Engine, image: Image) -> None:
    script = "ls -d /proc/[0-9]*; grep PPid /proc/1/status; kill -9 -1; kill -9 0x7fff 2>/dev/null; echo alive"
    result = call(engine, f"trap '' TERM; {script}", cap_add=["KILL", "SYS_PTRACE"])
    processes = [line for line in result.stdout.split() if line.startswith("/proc/")]
    assert set(processes) <= {"/proc/1", "/proc/2", "/proc/3", "/proc/self"}
    assert "PPid:\t0" in result.stdout and result.stdout.endswith("alive\n")
    with engine.run("busybox", "sleep 60") as container:
        monitor = int(container._record().monitor or 0)
        container.exec("kill -9 -1", user="0")
        assert os.path.exists(f"/proc/{monitor}") and container.status == "running"
