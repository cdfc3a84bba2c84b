"""The runtime alone, on bundles: no store, no spawner, no monitor."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import NAMESPACES, Runtime, configure, make


@pytest.fixture
def bundle(tmp_path: Path, busybox_tar: Path) -> Path:
    return make(tmp_path / "bundle", busybox_tar)


def command(bundle: Path) -> list[str]:
    return Runtime(bundle.parent / "containers").words("run", "-b", bundle, "box")


def run(bundle: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(bundle), capture_output=True, text=True, timeout=60, check=False)


def test_a_bundle(bundle: Path) -> None:
    ended = run(configure(bundle, "hostname; echo $$; echo no >&2; exit 3"))
    assert (ended.stdout, ended.stderr, ended.returncode) == ("bundle\n1\n", "no\n", 3)


def test_a_signal(bundle: Path) -> None:
    # To pid 1 of a namespace only SIGKILL and SIGSTOP come from its own processes: never; so from outside.
    configure(bundle, "echo up; exec sleep 20")
    with subprocess.Popen(command(bundle), stdout=subprocess.PIPE, text=True) as runtime:
        assert runtime.stdout is not None and runtime.stdout.readline() == "up\n"
        (init,) = Path(f"/proc/{runtime.pid}/task/{runtime.pid}/children").read_text().split()
        os.kill(int(init), signal.SIGTERM)  # it has no handler: as pid 1 it is not ended by that
        os.kill(int(init), signal.SIGKILL)
        assert runtime.wait(10) == 137


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda config: config["process"].update(args=["/nosuch"]), 127, "no such file"),
        (lambda config: config["process"].update(args=["/etc/passwd"]), 126, "permission denied"),
        (lambda config: config["process"].update(args=[]), 125, "config.json: process.args"),
        (lambda config: config["root"].update(path="nosuch"), 125, "nosuch"),
        (
            lambda config: config["mounts"].append({"destination": "/x", "type": "nosuchfs"}),
            125,
            "mount nosuchfs on /x: no such device",
        ),
        (lambda config: config["linux"]["namespaces"].append({"type": "mood"}), 125, "mood"),
        (lambda config: config.update(linux=7), 125, "config.json: linux"),
    ],
)
def test_a_bundle_that_cannot_run(bundle: Path, change: Any, code: int, words: str) -> None:
    config = json.loads((configure(bundle, "echo never") / "config.json").read_text())
    change(config)
    (bundle / "config.json").write_text(json.dumps(config))
    ended = run(bundle)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert words in ended.stderr.lower() and ended.stderr.count("\n") == 1, ended.stderr


def test_an_init_that_waits_for_the_word_ends_with_its_parent(bundle: Path) -> None:
    script = f"""
import os, time
from containerkit.runtime import bundle, create
spec = bundle.load({str(configure(bundle, "echo never"))!r})
print(create.create(spec, {str(bundle / "rootfs")!r}, streams=(0, 1, 2)).pid, flush=True)
time.sleep(20)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        init = int(parent.stdout.readline())
        pidfd = os.pidfd_open(init)
        parent.kill()
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(5000), "the init goes on without anybody who knows of it"
    os.close(pidfd)


def test_no_bundle(tmp_path: Path) -> None:
    ended = run(tmp_path)
    assert ended.returncode == 125 and "no such file" in ended.stderr


def test_a_user_namespace(bundle: Path) -> None:
    for path in (bundle / "rootfs", *(bundle / "rootfs").rglob("*")):
        os.chown(path, 100_000, 100_000, follow_symlinks=False)
    maps = [{"containerID": 0, "hostID": 100_000, "size": 65_536}]
    script = "id -u; id -g; cat /proc/self/uid_map; touch /made; echo into >/dev/null && chown 33 /made && echo fine"
    ended = run(configure(bundle, script, (*NAMESPACES, "user"), uidMappings=maps, gidMappings=maps))
    assert ended.stdout.split() == ["0", "0", "0", "100000", "65536", "fine"], ended.stderr
    made = (bundle / "rootfs/made").stat()
    assert (made.st_uid, made.st_gid) == (100_033, 100_000)


def test_limits_hold_where_no_cgroup_is_named(bundle: Path) -> None:
    script = "i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done; exit 0"
    assert "can't fork" in run(configure(bundle, script, resources={"pids": {"limit": 16}})).stderr


def test_limits_in_a_user_namespace(bundle: Path) -> None:
    maps = [{"containerID": 0, "hostID": 100_000, "size": 65_536}]
    path = f"/containerkit-test-{os.getpid()}"
    script = "i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done; exit 0"
    configure(bundle, script, (*NAMESPACES, "user"), uidMappings=maps, gidMappings=maps, cgroupsPath=path,
              resources={"pids": {"limit": 16}})  # fmt: skip
    ended = run(bundle)
    assert "can't fork" in ended.stderr, ended.stderr


def test_a_user_of_a_user_namespace(bundle: Path) -> None:
    maps = [{"containerID": 0, "hostID": 100_000, "size": 65_536}]
    configure(bundle, "id -u; id -G", (*NAMESPACES, "user"), uidMappings=maps, gidMappings=maps)
    config = json.loads((bundle / "config.json").read_text())
    config["process"]["user"] = {"uid": 33, "gid": 33, "additionalGids": [50]}
    (bundle / "config.json").write_text(json.dumps(config))
    ended = run(bundle)
    assert ended.stdout == "33\n33 50\n", ended.stderr


@pytest.mark.parametrize("size", [0, 2**32])
def test_id_maps_that_the_kernel_refuses(bundle: Path, size: int) -> None:
    maps = [{"containerID": 0, "hostID": 100_000, "size": size}]
    path = f"/containerkit-test-{os.getpid()}"
    configure(bundle, "echo never", (*NAMESPACES, "user"), uidMappings=maps, gidMappings=maps, cgroupsPath=path)
    ended = run(bundle)
    assert (ended.returncode, ended.stdout) == (125, "")
    assert ended.stderr == f"containerkit-runtime: user namespace: 0 is 100000 (+{size}): invalid argument\n"


def test_root_of_a_user_namespace_is_nobody_outside(bundle: Path) -> None:
    secret = bundle / "rootfs/secret"
    secret.write_text("of the host's root")
    secret.chmod(0o600)
    maps = [{"containerID": 0, "hostID": 100_000, "size": 65_536}]
    ended = run(configure(bundle, "cat /secret", (*NAMESPACES, "user"), uidMappings=maps, gidMappings=maps))
    assert ended.returncode == 1 and "Permission denied" in ended.stderr


def test_a_time_namespace(bundle: Path) -> None:
    offsets = {"boottime": {"secs": 86_400_000}, "monotonic": {"secs": 86_400_000}}
    ended = run(configure(bundle, "cat /proc/uptime", (*NAMESPACES, "time"), timeOffsets=offsets))
    here = float(Path("/proc/uptime").read_text().split()[0])
    assert 86_400_000 <= float(ended.stdout.split()[0]) - here + 5 <= 86_400_010, ended.stderr


def test_namespaces_that_exist_already_are_joined(bundle: Path) -> None:
    holder = subprocess.Popen(["unshare", "--net", "--uts", "--fork", "--kill-child", "sh", "-c",
                               "hostname joined; ip link add dummy-ck type dummy 2>/dev/null; echo up; exec sleep 20"],
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "up\n"
        (inside,) = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
        configure(bundle, "hostname; readlink /proc/self/ns/net", ("mount", "pid"))
        config = json.loads((bundle / "config.json").read_text())
        config["hostname"] = ""
        config["linux"]["namespaces"] += [
            {"type": kind, "path": f"/proc/{inside}/ns/{name}"} for kind, name in (("network", "net"), ("uts", "uts"))
        ]
        (bundle / "config.json").write_text(json.dumps(config))
        ended = run(bundle)
        assert ended.stdout.split() == ["joined", os.readlink(f"/proc/{inside}/ns/net")], ended.stderr
    finally:
        holder.kill()
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()


def test_limits_hold_and_the_cgroup_goes(bundle: Path) -> None:
    resources = {"pids": {"limit": 16}}
    script = "i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done; exit 0"
    path = f"/containerkit-test-{os.getpid()}"
    ended = run(configure(bundle, script, cgroupsPath=path, resources=resources))
    assert "Resource temporarily unavailable" in ended.stderr or "can't fork" in ended.stderr
