"""run, call, create: what a started program finds, and what comes back."""

from __future__ import annotations

import os
import threading
import time

import pytest

import containerkit as ck
from containerkit import Engine, Image
from tests.waiting import eventually

DOCKER_CAPABILITIES = "00000000a80425fb"


def call(engine: Engine, command: object, **options: object) -> ck.Result:
    return engine.call("busybox", command, **options)  # type: ignore[arg-type]


def test_call_returns_output_and_exit_code(engine: Engine, image: Image) -> None:
    result = call(engine, ["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (result.exit_code, result.stdout, result.stderr, bool(result)) == (7, "out\n", "err\n", False)
    assert 0 < result.duration < 60
    assert len(engine.containers) == 0


def test_a_string_is_split_as_a_shell_splits_and_no_shell_runs(engine: Engine, image: Image) -> None:
    assert call(engine, "echo 'a b' $HOME '*'").stdout == "a b $HOME *\n"


def test_output_is_exact_bytes(engine: Engine, image: Image) -> None:
    data = bytes(range(256)) * 1000
    assert call(engine, "cat", input=data).stdout_bytes == data


def test_lines_keep_the_order_of_both_streams(engine: Engine, image: Image) -> None:
    lines = call(engine, ["sh", "-c", "echo 1; sleep .5; echo 2 >&2; sleep .5; printf 3"]).lines
    assert [(line.stream, line.text) for line in lines] == [("stdout", "1"), ("stderr", "2"), ("stdout", "3")]
    assert lines[0].time < lines[1].time < lines[2].time


def test_100_mb_of_output_is_neither_lost_nor_held_in_memory(engine: Engine, image: Image) -> None:
    before = _resident()
    result = call(engine, "dd if=/dev/zero bs=1M count=100", timeout=60)
    assert _resident() - before < 30 << 20
    assert sum(len(chunk.data) for chunk in result.chunks() if chunk.stream == 1) == 100 << 20


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_container_is_pid_1_in_namespaces_of_its_own(engine: Engine, image: Image) -> None:
    script = "echo $$; hostname; for n in mnt uts ipc pid net cgroup; do readlink /proc/self/ns/$n; done"
    pid, hostname, *namespaces = call(engine, ["sh", "-c", script], hostname="box").stdout.split()
    assert (pid, hostname) == ("1", "box")
    ours = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "uts", "ipc", "pid", "net", "cgroup")]
    assert len(namespaces) == 6 and not set(ours) & set(namespaces)


def test_docker_s_capabilities_seccomp_and_masks_hold(engine: Engine, image: Image) -> None:
    status = call(engine, "grep -E ^(CapInh|CapPrm|CapEff|CapBnd|NoNewPrivs|Seccomp): /proc/self/status").stdout
    found = dict(line.split(":\t") for line in status.splitlines())
    held = int(found["CapBnd"], 16)
    assert held & ~int(DOCKER_CAPABILITIES, 16) == 0 and bin(held).count("1") >= 13
    assert int(found["CapInh"], 16) == 0 and found["Seccomp"] == "2" and found["NoNewPrivs"] == "0"
    assert call(engine, "cat /proc/kcore").stdout_bytes == b""
    assert "Read-only file system" in call(engine, ["sh", "-c", "echo 1 >/proc/sys/kernel/panic"]).stderr
    assert not call(engine, "mount -t tmpfs x /mnt")
    assert not call(engine, "unshare -m true")


def test_privileged_can_mount(engine: Engine, image: Image) -> None:
    assert call(engine, ["sh", "-c", "mkdir /m && mount -t tmpfs x /m"], privileged=True)


def test_no_new_privileges(engine: Engine, image: Image) -> None:
    result = call(engine, "grep -E ^(NoNewPrivs|Seccomp): /proc/self/status", security_opt=["no-new-privileges"])
    assert result.stdout.split() == ["NoNewPrivs:", "1", "Seccomp:", "2"]


def test_no_descriptor_of_the_host_is_open(engine: Engine, image: Image) -> None:
    # 3 is the directory that ls itself reads.
    assert call(engine, "ls /proc/self/fd").stdout.split() == ["0", "1", "2", "3"]
    with open(os.devnull) as leaked:
        os.set_inheritable(leaked.fileno(), True)
        assert call(engine, "ls /proc/self/fd").stdout.split() == ["0", "1", "2", "3"]


def test_user_groups_and_working_directory(engine: Engine, image: Image) -> None:
    result = call(
        engine, ["sh", "-c", "id -u; id -g; id -G; pwd; echo $HOME"], user="web", workdir="/tmp", group_add=["7"]
    )
    uid, gid, groups, *rest = result.stdout.splitlines()
    assert (uid, gid, sorted(groups.split()), rest) == ("33", "33", ["33", "50", "7"], ["/tmp", "/var/www"])
    assert call(engine, "id -u", user="1234:77").stdout == "1234\n"


def test_environment(engine: Engine, image: Image) -> None:
    result = call(engine, "env", env={"A": "1", "PATH": "/bin"}, hostname="box")
    assert dict(line.split("=", 1) for line in result.stdout.splitlines()) == {
        "A": "1", "PATH": "/bin", "HOME": "/root", "HOSTNAME": "box",
    }  # fmt: skip


def test_devices_and_shared_memory(engine: Engine, image: Image) -> None:
    script = "echo x >/dev/null; head -c 3 /dev/zero | wc -c; echo -n hi >/dev/shm/a; cat /dev/shm/a; df -k /dev/shm"
    out = call(engine, ["sh", "-c", script], shm_size="8m").stdout
    assert "3" in out and "hi" in out and " 8192 " in out


def test_ulimits_and_sysctls(engine: Engine, image: Image) -> None:
    result = call(
        engine,
        ["sh", "-c", "ulimit -n; ulimit -Hn; cat /proc/sys/kernel/msgmax"],
        ulimits={"nofile": (99, 100)},
        sysctls={"kernel.msgmax": 4096},
    )
    assert result.stdout.split() == ["99", "100", "4096"]


def test_read_only_root_with_a_tmpfs(engine: Engine, image: Image) -> None:
    script = "touch /x || echo no; touch /run/x && echo yes; touch /dev/shm/y && echo too"
    assert call(engine, ["sh", "-c", script], read_only=True, tmpfs=["/run"]).stdout.split() == ["no", "yes", "too"]


def test_network_none_has_loopback_up_and_host_is_the_host(engine: Engine, image: Image) -> None:
    assert "127.0.0.1" in call(engine, "ip addr show lo", network="none").stdout
    assert call(engine, "ls /sys/class/net", network="none").stdout.split() == ["lo"]
    theirs = call(engine, "readlink /proc/self/ns/net", network="host").stdout.strip()
    assert theirs == os.readlink("/proc/self/ns/net")


def test_a_terminal(engine: Engine, image: Image) -> None:
    result = call(engine, ["sh", "-c", "tty; test -t 1 && echo terminal; echo $TERM"], tty=True)
    assert result.stdout.split() == ["/dev/pts/0", "terminal", "xterm"]


def test_writes_go_to_the_container_s_own_layer(engine: Engine, image: Image) -> None:
    with engine.run("busybox", ["sh", "-c", "echo mine >/etc/motd; rm /etc/passwd; sleep 60"]) as first:
        assert eventually(lambda: first.exec("cat /etc/motd").stdout == "mine\n")
        assert not first.exec("cat /etc/passwd")
        assert not call(engine, "cat /etc/motd") and call(engine, "cat /etc/passwd")


def test_memory_limit_ends_the_program_and_is_told(engine: Engine, image: Image) -> None:
    result = call(
        engine, ["sh", "-c", "x=$(dd if=/dev/zero bs=1M count=64 | tr '\\0' x); echo $x | wc -c"], memory="16m"
    )
    assert result.oom_killed and result.exit_code != 0
    with engine.run("busybox", "sleep 60", memory="16m") as container:
        assert container.stats().memory_limit_bytes == 16 << 20
        assert not container.oom_killed


def test_pids_limit_holds(engine: Engine, image: Image) -> None:
    result = call(engine, ["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait"], pids_limit=5)
    assert "fork" in result.stderr.lower()


def test_timeout_ends_the_process_tree_and_keeps_the_output(engine: Engine, image: Image) -> None:
    began = time.monotonic()
    with pytest.raises(ck.Timeout, match="still running after 1.5 s") as caught:
        call(engine, ["sh", "-c", "echo begun; (setsid sleep 60 &) ; sleep 60"], timeout=1.5)
    assert time.monotonic() - began < 50
    assert caught.value.result is not None and caught.value.result.stdout == "begun\n"
    assert len(engine.containers) == 0


def test_check_raises_with_the_output(engine: Engine, image: Image) -> None:
    with pytest.raises(ck.ProcessFailed, match="exit code 3") as caught:
        call(engine, ["sh", "-c", "echo sorry >&2; exit 3"], check=True)
    assert "sorry" in str(caught.value) and caught.value.result.exit_code == 3


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 5", 5), ("kill -9 $$; sleep 1", 0), ("sh -c 'kill -9 $$'; exit $?", 137), ("kill -15 $$", 0)],
)
def test_exit_codes(engine: Engine, image: Image, script: str, code: int) -> None:
    # pid 1 of a namespace is immune to signals from inside.
    assert call(engine, ["sh", "-c", script]).exit_code == code


def test_runs_from_many_threads_at_once(engine: Engine, image: Image) -> None:
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(call(engine, f"echo {n}").stdout.strip())) for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results, key=int) == [str(n) for n in range(20)]
