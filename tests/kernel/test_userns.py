"""``userns="remap"``: root in the container, nobody on the host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Container, Engine, Image

FIRST = 0x7000_0000


@pytest.fixture
def box(engine: Engine, image: Image) -> Iterator[Container]:
    with engine.run("busybox", "sleep 60", userns="remap", name="box", stop_timeout=0) as container:
        yield container


def test_root_inside_is_an_ordinary_user_outside(engine: Engine, image: Image, box: Container, tmp_path: Path) -> None:
    status = Path(f"/proc/{box.pid}/status").read_text()
    assert f"Uid:\t{FIRST}\t" in status and f"Gid:\t{FIRST}\t" in status
    assert box.exec("cat /proc/self/uid_map").stdout.split() == ["0", str(FIRST), "65536"]
    assert box.exec("id -u").stdout == "0\n" and box.exec("id -u", user="33").stdout == "33\n"
    # What it makes belongs, on the disk, to the users that it knows.
    box.exec(["sh", "-c", "touch /made; touch /hers; chown 33:44 /hers; chown 1:1 /etc/passwd"], check=True)
    upper = engine.store.snapshots.upper(box.id)
    owners = [
        (found.st_uid, found.st_gid) for found in ((upper / name).stat() for name in ("made", "hers", "etc/passwd"))
    ]
    assert owners == [(0, 0), (33, 44), (1, 1)]
    assert [change.path for change in box.diff()] == ["/etc", "/etc/passwd", "/hers", "/made"]


def test_its_rights_end_where_it_ends(box: Container) -> None:
    script = (
        "mknod /x b 8 0; mount -o remount,rw /proc/sys; echo 1 >/proc/sys/kernel/panic; chown 70000 /tmp; hostname x"
    )
    errors = box.exec(["sh", "-c", script]).stderr
    assert errors.count("not permitted") + errors.count("denied") >= 2 and "Read-only" in errors
    assert "Invalid argument" in errors, "there is no user 70000"


def test_streams_can_be_opened_again_and_terminals_work(engine: Engine, image: Image, box: Container) -> None:
    for user in ("0", "33"):
        result = engine.call(
            "busybox", ["sh", "-c", "echo out >/dev/stdout; echo err >/dev/stderr"], userns="remap", user=user
        )
        assert (result.stdout, result.stderr) == ("out\n", "err\n"), result
        assert box.exec(["sh", "-c", "echo out >/dev/stdout"], user=user).stdout == "out\n"
    with box.popen("tty", tty=True) as process:
        assert process.stdout is not None and process.stdout.read() == b"/dev/pts/0\r\n"


def test_options_hold(engine: Engine, image: Image) -> None:
    files = "/proc/sys/kernel/hostname /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_forward"
    result = engine.call(
        "busybox", ["sh", "-c", f"cat /proc/self/oom_score_adj {files}; touch /x"], userns="remap", read_only=True,
        memory="64m", tmpfs={"/t": ""}, oom_score_adj=500, hostname="box", domainname="example",
        sysctls={"net.ipv4.ip_forward": "1"},
    )  # fmt: skip
    assert result.stdout.split() == ["500", "box", "example", "1"] and "Read-only" in result.stderr


def test_files_in_and_out(box: Container, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in\n")
    box.copy_in(tmp_path / "file", "/root/file")
    box.path("/root/written").write_text("written\n")
    box.path("/root/made").mkdir()
    assert box.exec("stat -c %u /root/file /root/written /root/made").stdout.split() == ["0", "0", "0"]
    box.exec("chown 33:44 /root/file", check=True)
    found = box.path("/root/file").stat()
    assert (found.st_uid, found.st_gid, found.st_size) == (33, 44, 3) and found.st_mtime_ns > 0
    box.copy_out("/root", tmp_path / "plain")
    box.copy_out("/root", tmp_path / "archive", archive=True)
    assert (tmp_path / "plain/file").stat().st_uid == os.geteuid()
    assert (tmp_path / "archive/file").stat().st_uid == 33 and (tmp_path / "archive/written").stat().st_uid == 0
    # This thread is itself again.
    (tmp_path / "own").touch()
    assert (tmp_path / "own").stat().st_uid == 0
    box.kill()
    assert box.path("/root/file").stat().st_uid == 33
    box.copy_in(tmp_path / "archive", "/back", archive=True)
    box.start()
    assert box.exec("stat -c %u /back/file").stdout == "33\n"


def test_pause_update_and_a_second_start(box: Container) -> None:
    box.pause().unpause().update(memory="32m")
    box.exec("touch /kept", check=True)
    box.restart()
    assert box.exec("stat -c %u /kept").stdout == "0\n"


@pytest.mark.parametrize(
    "options", [{"network": "host"}, {"pid": "host"}, {"privileged": True}, {"ipc": "container:box"}]
)
def test_what_does_not_go_together(engine: Engine, image: Image, box: Container, options: dict[str, str]) -> None:
    with pytest.raises(ck.InvalidArgument, match=f"{next(iter(options))}.*userns"):
        engine.call("busybox", "true", userns="remap", **options)  # type: ignore[arg-type]


def test_another_container_s_users_and_namespaces(engine: Engine, image: Image, box: Container) -> None:
    shared = dict.fromkeys(("userns", "pid", "network", "ipc"), "container:box")
    with engine.run("busybox", "sleep 60", name="joined", stop_timeout=0, **shared) as joined:  # type: ignore[arg-type]
        for kind in ("user", "pid", "net", "ipc"):
            assert os.readlink(f"/proc/{joined.pid}/ns/{kind}") == os.readlink(f"/proc/{box.pid}/ns/{kind}")
        assert joined.exec(["sh", "-c", "touch /made; id -u; ps | grep -c sleep"]).stdout.split()[0] == "0"
        assert (engine.store.snapshots.upper(joined.id) / "made").stat().st_uid == 0
        assert f"Uid:\t{FIRST}\t" in Path(f"/proc/{joined.pid}/status").read_text()
        joined.restart()
        assert joined.exec("id -u").stdout == "0\n"
    with pytest.raises(
        ck.InvalidArgument, match='pid namespace: container:box has users of its own .userns="container:box"'
    ):
        engine.run("busybox", "true", pid="container:box")
    with engine.run("busybox", "sleep 60", name="plain"):
        assert engine.call("busybox", "id -u", userns="container:plain").stdout == "0\n"
        result = engine.call("busybox", "readlink /proc/self/ns/cgroup", cgroupns="container:plain")
        assert result.stdout.strip() == os.readlink(f"/proc/{engine.containers['plain'].pid}/ns/cgroup")
