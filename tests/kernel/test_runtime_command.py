"""``containerkit-runtime``: the command line of OCI runtimes, on bundles."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import NAMESPACES, Runtime, change, configure, make
from tests.waiting import eventually

SCHEMAS = Path(__file__).parents[2].parent / "shared" / "reference" / "runtime-spec"


@pytest.fixture
def bundle(tmp_path: Path, busybox_tar: Path) -> Path:
    return make(tmp_path / "bundle", busybox_tar)


@pytest.fixture
def runtime(nothing_is_left: None, tmp_path: Path) -> Iterator[Runtime]:
    """The command, whose containers are gone in the end."""
    runtime = Runtime(tmp_path / "containers")
    yield runtime
    for id in runtime.ok("list", "-q").split():
        runtime.ok("delete", "--force", id)


def wait_for(runtime: Runtime, id: str, status: str) -> None:
    assert eventually(lambda: runtime.state(id)["status"] == status), runtime.state(id)


def matches(schema: str, found: object) -> None:
    if not SCHEMAS.is_dir():
        pytest.skip("no ../shared/reference: the specification's schemas are not on this machine")
    from jsonschema import Draft4Validator
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT4

    registry: Registry[Any] = Registry().with_resources(
        (path.name, Resource.from_contents(json.loads(path.read_text()), DRAFT4)) for path in SCHEMAS.glob("*.json")
    )
    Draft4Validator(json.loads((SCHEMAS / schema).read_text()), registry=registry).validate(found)


# -- life ------------------------------------------------------------------------------------------------------------


def test_a_life_in_steps(runtime: Runtime, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    configure(bundle, "echo started; exec sleep 60")
    with out.open("w") as file:
        done = subprocess.run(
            runtime.words("create", "-b", bundle, "--pid-file", tmp_path / "pid", "box"), stdout=file, timeout=60
        )
    assert done.returncode == 0 and out.read_text() == ""
    state = runtime.state("box")
    matches("state-schema.json", state)
    assert (state["status"], state["bundle"]) == ("created", str(bundle))
    assert state["pid"] == int((tmp_path / "pid").read_text())
    runtime.ok("start", "box")
    assert runtime.state("box")["status"] == "running"
    assert [one["id"] for one in json.loads(runtime.ok("list", "--format", "json"))] == ["box"]
    assert runtime.ok("list").splitlines()[1].split()[:3] == ["box", str(state["pid"]), "running"]
    assert json.loads(runtime.ok("ps", "--format", "json", "box")) == [state["pid"]]
    assert "sleep 60" in runtime.ok("ps", "box")
    refused = runtime("delete", "box")
    assert refused.returncode == 1 and "box: cannot delete: it is running" in refused.stderr
    runtime.ok("kill", "box", "KILL")
    wait_for(runtime, "box", "stopped")
    assert out.read_text() == "started\n"
    assert "cannot kill: it is stopped" in runtime("kill", "box").stderr
    runtime.ok("delete", "box")
    assert "box: does not exist" in runtime("state", "box").stderr
    runtime.ok("delete", "--force", "box")


def test_run_is_its_program(runtime: Runtime, bundle: Path) -> None:
    done = runtime("run", "-b", configure(bundle, "cat; echo no >&2; exit 7"), "box", input="said\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, "said\n", "no\n")
    assert runtime.ok("list", "-q") == ""


def test_run_detached_and_another_configuration(runtime: Runtime, bundle: Path) -> None:
    configure(bundle, "exec sleep 60")
    (bundle / "config.json").rename(bundle / "other.json")
    runtime.detached("run", "-d", "-b", bundle, "--config", "other.json", "box")
    assert runtime.state("box")["status"] == "running"
    assert "box: there is one with that id" in runtime("run", "-b", bundle, "-f", "other.json", "box").stderr
    runtime.ok("delete", "-f", "box")


def test_signals_to_run_go_on(runtime: Runtime, bundle: Path) -> None:
    configure(bundle, "trap 'echo got it; exit 3' USR1; echo up; while true; do sleep 0.1; done")
    with subprocess.Popen(runtime.words("run", "-b", bundle, "box"), stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None and run.stdout.readline() == "up\n"
        run.send_signal(signal.SIGUSR1)
        assert (run.stdout.read(), run.wait(10)) == ("got it\n", 3)


def test_what_cannot_be_executed_is_known_when_it_is_created(runtime: Runtime, bundle: Path, tmp_path: Path) -> None:
    configure(bundle, "never")
    for program, words in (("nosuch", "no such file or directory"), ("/etc", "permission denied")):
        change(bundle, lambda config, program=program: config["process"].update(args=[program]))  # type: ignore[misc]
        log = tmp_path / "log"
        done = runtime("--log", log, "--log-format", "json", "create", "-b", bundle, "box")
        assert done.returncode == 1 and words in done.stderr.lower()
        (line,) = log.read_text().splitlines()
        assert json.loads(line)["level"] == "error" and words in json.loads(line)["msg"]
        log.unlink()
        assert runtime.ok("list", "-q") == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--systemd-cgroup", "list"), "systemd-cgroup: this runtime makes cgroups itself"),
        (("--cgroup-manager", "systemd", "list"), "use the cgroup manager cgroupfs"),
        (("state", "nosuch"), "container nosuch: does not exist"),
        (("create", "-b", "/nosuch", "box"), "bundle /nosuch: no such file"),
        (("run", "../box"), "container '../box': an id is made of"),
        (("kill", "box", "SIGNOPE"), "SIGNOPE"),
        (("frobnicate",), "invalid choice"),
        (("exec", "nosuch"), "no command"),
    ],
)
def test_mistakes(runtime: Runtime, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = runtime(*arguments, cwd=tmp_path)
    assert done.returncode not in (0, 2) and words in done.stderr, done.stderr


def test_what_crun_takes_is_taken(runtime: Runtime) -> None:
    runtime.ok("--debug", "--cgroup-manager", "disabled", "--rootless", "false", "--criu", "criu", "list")
    assert "containerkit-runtime version" in runtime.ok("--version")


def test_create_is_killed(runtime: Runtime, bundle: Path) -> None:
    configure(bundle, "echo never")
    change(
        bundle, lambda config: config.update(hooks={"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "20"]}]})
    )
    with subprocess.Popen(runtime.words("create", "-b", bundle, "box")) as create:
        while not list(runtime.root.glob("box/start")):
            time.sleep(0.01)
        time.sleep(0.2)
        children = Path(f"/proc/{create.pid}/task/{create.pid}/children").read_text().split()
        create.kill()
    for child in children:  # the hook is nobody's: it would sleep on
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)
    wait_for(runtime, "box", "stopped")
    runtime.ok("delete", "box")


def test_pause_update_events(runtime: Runtime, bundle: Path) -> None:
    configure(bundle, "i=0; while true; do i=$((i+1)); done", resources={"memory": {"limit": 64 << 20}})
    runtime.detached("run", "-d", "-b", bundle, "box")
    runtime.ok("pause", "box")
    assert runtime.state("box")["status"] == "paused"
    used = [json.loads(runtime.ok("events", "--stats", "box"))["data"] for _ in range(2)]
    assert used[0]["cpu"]["usage"]["total"] == used[1]["cpu"]["usage"]["total"] > 0
    assert used[0]["memory"]["usage"]["limit"] == 64 << 20 and used[0]["pids"]["current"] == 1
    runtime.ok("resume", "box")
    runtime.ok("update", "--memory", str(32 << 20), "--pids-limit", "5", "box")
    runtime.ok("update", "-r", "-", "box", input=json.dumps({"cpu": {"shares": 512}}))
    now = json.loads(runtime.ok("events", "--stats", "box"))["data"]
    assert now["memory"]["usage"]["limit"] == 32 << 20 and now["pids"]["limit"] == 5
    assert "cannot resume: it is running" in runtime("resume", "box").stderr


def test_features_and_spec(runtime: Runtime, bundle: Path, tmp_path: Path) -> None:
    matches("features-schema.json", json.loads(runtime.ok("features")))
    runtime.ok("spec", "-b", bundle)
    config = json.loads((bundle / "config.json").read_text())
    matches("config-schema.json", config)
    assert "is there already" in runtime("spec", "-b", bundle).stderr
    change(bundle, lambda config: config["process"].update(terminal=False, args=["cat", "/proc/mounts"]))
    mounts = runtime.ok("run", "-b", bundle, "box")
    assert " /sys/fs/cgroup" in mounts and "/proc/sys proc ro" in mounts


# -- exec ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def box(runtime: Runtime, bundle: Path) -> str:
    """A container that runs."""
    runtime.detached("run", "-d", "-b", configure(bundle, "exec sleep 60"), "box")
    return "box"


def test_exec(runtime: Runtime, box: str) -> None:
    options = ("--env", "A=b", "--cwd", "/tmp", "--user", "33:44", "-g", "50")
    done = runtime("exec", *options, box, "sh", "-c", "echo $A; pwd; id -u; id -G; cat; exit 9", input="in\n")
    assert (done.returncode, done.stdout) == (9, "b\n/tmp\n33\n44 50\nin\n"), done.stderr
    assert runtime("exec", box, "nosuch").returncode == 127
    assert runtime.ok("exec", box, "hostname") == "bundle\n"


@pytest.mark.parametrize("user", ["root", "-1", "0:x", "4294967295", "1:2:3", "0x0"])
def test_exec_with_a_malformed_user_never_becomes_root(runtime: Runtime, box: str, user: str) -> None:
    done = runtime("exec", f"--user={user}", box, "id", "-u")
    assert done.returncode == 125 and done.stdout == "" and user in done.stderr


def test_exec_of_a_process_file_detached(runtime: Runtime, box: str, tmp_path: Path) -> None:
    given = {
        "args": ["sh", "-c", "echo ran >/ran; exec sleep 50"],
        "cwd": "/",
        "env": ["PATH=/bin"],
        "user": {"uid": 0, "gid": 0},
    }
    (tmp_path / "process.json").write_text(json.dumps(given))
    runtime.detached("exec", "-d", "-p", tmp_path / "process.json", "--pid-file", tmp_path / "pid", box)
    pid = int((tmp_path / "pid").read_text())
    assert pid in json.loads(runtime.ok("ps", "-f", "json", box))
    assert "sleep 50" in runtime.ok("ps", box)


def test_exec_affinity(runtime: Runtime, box: str, tmp_path: Path) -> None:
    given = {
        "args": ["grep", "Cpus_allowed_list", "/proc/self/status"], "cwd": "/", "env": ["PATH=/bin"],
        "execCPUAffinity": {"initial": "0", "final": "1"},
    }  # fmt: skip
    (tmp_path / "process.json").write_text(json.dumps(given))
    assert runtime.ok("exec", "-p", tmp_path / "process.json", box).split()[-1] == "1"


@contextlib.contextmanager
def console(path: Path) -> Iterator[list[int]]:
    """Listen on a console socket: the masters that come."""
    masters: list[int] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def take() -> None:
        connection, _ = listener.accept()
        with connection:
            masters.extend(socket.recv_fds(connection, 100, 1)[1])

    thread = threading.Thread(target=take)
    thread.start()
    yield masters
    thread.join(60)
    listener.close()
    for master in masters:
        os.close(master)


def read_until(descriptor: int, word: bytes) -> bytes:
    data = b""
    while word not in data:
        data += os.read(descriptor, 1000)
    return data


def test_a_terminal_over_a_console_socket(runtime: Runtime, bundle: Path, tmp_path: Path) -> None:
    configure(bundle, "tty; stty size; read line; echo got $line; exec sleep 60")
    change(bundle, lambda config: config["process"].update(terminal=True, consoleSize={"height": 33, "width": 99}))
    assert "without --console-socket" in runtime("create", "-b", bundle, "box").stderr
    with console(tmp_path / "console") as masters:
        runtime.detached("create", "-b", bundle, "--console-socket", tmp_path / "console", "box")
        runtime.ok("start", "box")
        assert eventually(lambda: masters) and b"/dev/" in read_until(masters[0], b"33 99")
        os.write(masters[0], b"hello\n")
        read_until(masters[0], b"got hello")
    with console(tmp_path / "console2") as masters:
        where = ("-d", "-t", "--console-socket", tmp_path / "console2")
        runtime.detached("exec", *where, "box", "sh", "-c", "tty; sleep 1")
        assert eventually(lambda: masters) and read_until(masters[0], b"/dev/pts/")
    configure(bundle, "true")
    refused = runtime("run", "-b", bundle, "--console-socket", tmp_path / "console", "two")
    assert "the process has no terminal" in refused.stderr


def test_a_terminal_in_the_foreground(runtime: Runtime, bundle: Path) -> None:
    configure(bundle, "tty; read line; echo got $line; exit 5")
    change(bundle, lambda config: config["process"].update(terminal=True))
    master, slave = os.openpty()
    with subprocess.Popen(runtime.words("run", "-b", bundle, "box"), stdin=slave, stdout=slave, stderr=slave) as run:
        os.close(slave)
        read_until(master, b"/dev/")
        os.write(master, b"typed\n")
        read_until(master, b"got typed")
        assert run.wait(10) == 5
    os.close(master)


def test_descriptors_are_given_and_no_others(runtime: Runtime, bundle: Path) -> None:
    configure(bundle, "ls /proc/self/fd; cat <&3; cat <&4")
    pipes = [os.pipe() for _ in range(3)]
    for index, (_, writer) in enumerate(pipes):
        os.write(writer, f"pipe {index}\n".encode())
        os.close(writer)
    script = f'exec "$@" 3<&{pipes[0][0]} 4<&{pipes[1][0]} 9<&{pipes[2][0]}'
    words = ["bash", "-c", script, "bash", *runtime.words("run", "--preserve-fds", "2", "-b", bundle, "box")]
    done = subprocess.run(words, capture_output=True, text=True, pass_fds=[r for r, _ in pipes], timeout=60)
    for reader, _ in pipes:
        os.close(reader)
    assert done.stdout.splitlines() == ["0", "1", "2", "3", "4", "5", "pipe 0", "pipe 1"], done
    refused = runtime("run", "--preserve-fds", "2", "-b", bundle, "box")
    assert refused.returncode == 125 and "descriptor 3 is not open" in refused.stderr


# -- config.json -----------------------------------------------------------------------------------------------------


def test_hooks_at_their_moments_and_in_their_namespaces(runtime: Runtime, bundle: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    told.touch()
    script = tmp_path / "hook"
    script.write_text(
        f'#!/bin/sh\necho "$1 $(cat) $(readlink /proc/self/ns/mnt) $(test -e /here && echo inside)" >>{told}\n'
    )
    script.chmod(0o755)
    (bundle / "rootfs/here").touch()
    (bundle / "rootfs/hook").write_text('#!/bin/sh\necho "$1 $(cat) $(readlink /proc/self/ns/mnt) inside" >/told\n')
    (bundle / "rootfs/hook").chmod(0o755)
    configure(bundle, "readlink /proc/self/ns/mnt; cat /told; exec sleep 60")

    def hooks(config: dict[str, Any]) -> None:
        kinds = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
        config["hooks"] = {kind: [{"path": str(script), "args": ["hook", kind]}] for kind in kinds}
        config["hooks"]["startContainer"] = [
            {"path": "/hook", "args": ["hook", "startContainer"], "env": ["PATH=/bin"]}
        ]
        config["annotations"] = {"org.example": "yes"}

    change(bundle, hooks)
    with (tmp_path / "out").open("w") as out:
        subprocess.run(runtime.words("create", "-b", bundle, "box"), check=True, stdout=out, timeout=60)
    lines = told.read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["prestart", "createRuntime", "createContainer"]
    state = json.loads(lines[1][lines[1].index("{") : lines[1].rindex("}") + 1])
    matches("state-schema.json", state)
    pid = runtime.state("box")["pid"]
    assert (state["id"], state["status"], state["pid"], state["annotations"]) == (
        "box",
        "creating",
        pid,
        {"org.example": "yes"},
    )
    ours = os.readlink("/proc/self/ns/mnt")
    theirs = os.readlink(f"/proc/{pid}/ns/mnt")
    assert [ours in line for line in lines] == [True, True, False] and theirs in lines[2]
    assert not any("inside" in line for line in lines), "createContainer's program is the host's"
    runtime.ok("start", "box")
    assert eventually(lambda: (tmp_path / "out").read_text().count(theirs) == 2)
    runtime.ok("delete", "-f", "box")
    assert [line.split()[0] for line in told.read_text().splitlines()][3:] == ["poststart", "poststop"]
    seen = (tmp_path / "out").read_text()
    assert seen.startswith(theirs) and "startContainer" in seen and theirs in seen.splitlines()[1]


def test_a_hook_that_fails_or_hangs(runtime: Runtime, bundle: Path) -> None:
    configure(bundle, "echo never")
    hook: dict[str, Any] = {"path": "/bin/sh", "args": ["sh", "-c", "echo why >&2; exit 3"]}
    change(bundle, lambda config: config.update(hooks={"createRuntime": [hook]}))
    done = runtime("run", "-b", bundle, "box")
    assert done.returncode == 125 and "createRuntime hook /bin/sh: exit code 3: why" in done.stderr and not done.stdout
    hook.update(args=["sh", "-c", "sleep 20"], timeout=1)
    for kind in ("createContainer", "createRuntime"):
        change(bundle, lambda config, kind=kind: config.update(hooks={kind: [hook]}))  # type: ignore[misc]
        done = runtime("run", "-b", bundle, "box")
        assert f"{kind} hook /bin/sh: not ended after 1 s" in done.stderr and not done.stdout
    change(bundle, lambda config: config.update(hooks={"poststart": [{"path": "/nosuch"}]}))
    done = runtime("run", "-b", bundle, "box")
    assert (done.returncode, done.stdout) == (0, "never\n") and "warning: poststart hook /nosuch" in done.stderr


def test_mount_options_of_every_kind(runtime: Runtime, bundle: Path, tmp_path: Path) -> None:
    outer = bundle / "shared"
    (outer / "inner").mkdir(parents=True)
    (outer / "file").touch()
    os.chown(outer / "file", 1000, 1000)
    (bundle / "rootfs/etc/below").write_text("from below\n")
    script = (
        "grep ' /rro' /proc/mounts; cat /etc/below; touch /etc/new && echo writable; stat -c %u /mapped/file /rro/file"
    )
    configure(bundle, script)
    maps = [{"containerID": 0, "hostID": 5000, "size": 1000}, {"containerID": 1000, "hostID": 7, "size": 1}]
    mapped = {"uidMappings": maps, "gidMappings": maps}

    def mounts(config: dict[str, Any]) -> None:
        config["mounts"] += [
            # Relative sources are the bundle's.
            {"destination": "/rro", "type": "none", "source": "shared", "options": ["rbind", "rro", "rnosuid"]},
            {"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "mode=755"]},
            {"destination": "/mapped", "type": "bind", "source": "shared", "options": ["idmap"], **mapped},
        ]  # fmt: skip

    change(bundle, mounts)
    with mounted_tmpfs(outer / "inner"):
        lines = runtime.ok("run", "-b", bundle, "box").splitlines()
    rro = [line.split()[1:4] for line in lines if " /rro" in line]
    assert [place for place, _, _ in rro] == ["/rro", "/rro/inner"]
    assert all({"ro", "nosuid"} <= set(options.split(",")) for _, _, options in rro)
    assert lines[-4:] == ["from below", "writable", "7", "1000"]
    assert not (bundle / "rootfs/etc/new").exists()


@contextlib.contextmanager
def mounted_tmpfs(path: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.mark.parametrize(
    ("wanted", "shown"), [("shared", "shared:"), ("slave", "master:"), ("unbindable", "unbindable"), ("private", "")]
)
def test_the_root_s_propagation(runtime: Runtime, bundle: Path, wanted: str, shown: str) -> None:
    configure(
        bundle,
        "grep ' / / ' /proc/self/mountinfo || grep ' / ' /proc/self/mountinfo | head -1",
        rootfsPropagation=wanted,
    )
    fields = runtime.ok("run", "-b", bundle, "box").splitlines()[0].partition(" - ")[0].split()[6:]
    if wanted == "slave":
        assert not any(field.startswith("shared") for field in fields)
    else:
        assert [field.startswith(shown) for field in fields] == ([True] if shown else [])


def test_scheduling_and_personality(runtime: Runtime, bundle: Path) -> None:
    configure(
        bundle,
        "uname -m; cut -d' ' -f19,41 /proc/self/stat; cat /proc/self/io >/dev/null; ionice -p $$",
        personality={"domain": "LINUX32"},
    )
    change(bundle, lambda config: config["process"].update(
        scheduler={"policy": "SCHED_BATCH", "nice": 5}, ioPriority={"class": "IOPRIO_CLASS_IDLE", "priority": 0}
    ))  # fmt: skip
    lines = runtime.ok("run", "-b", bundle, "box").splitlines()
    if os.uname().machine == "x86_64":
        assert lines[0] == "i686"
    assert lines[1] == "5 3" and "idle" in lines[2], lines


def test_devices_are_denied_but_for_the_default_ones(runtime: Runtime, bundle: Path) -> None:
    script = "echo x >/dev/null && echo null; mknod /tmp/mem c 1 1 && cat /tmp/mem 2>&1 | head -c 100"
    configure(bundle, script, resources={"devices": [{"allow": False, "access": "rwm"}]})
    lines = runtime.ok("run", "-b", bundle, "box").splitlines()
    assert lines[0] == "null" and "not permitted" in lines[1]


def test_a_process_outside_decides_on_system_calls(runtime: Runtime, bundle: Path, tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "agent"))
    listener.listen()

    def agent() -> None:
        connection, _ = listener.accept()
        with connection:
            data, descriptors, _, _ = socket.recv_fds(connection, 65536, 1)
        told.append(json.loads(data))
        answer_one(descriptors[0])
        os.close(descriptors[0])

    thread = threading.Thread(target=agent)
    thread.start()
    seccomp = {
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(tmp_path / "agent"), "listenerMetadata": "meta",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    }  # fmt: skip
    configure(bundle, "mkdir /tmp/made; echo $?; exec sleep 60", seccomp=seccomp)
    with (tmp_path / "out").open("w") as out:
        subprocess.run(runtime.words("create", "-b", bundle, "box"), check=True, stdout=out, stderr=out, timeout=60)
    runtime.ok("start", "box")
    thread.join(60)
    assert not thread.is_alive()
    listener.close()
    (found,) = told
    assert (found["fds"], found["metadata"], found["state"]["id"]) == (["seccompFd"], "meta", "box")
    assert found["pid"] == runtime.state("box")["pid"]
    assert eventually(lambda: "1\n" in (tmp_path / "out").read_text())
    assert "Text file busy" in (tmp_path / "out").read_text(), "errno 26 is what the agent answered"


def answer_one(descriptor: int) -> None:
    """Receive one notification (seccomp_unotify(2)) and answer it with ETXTBSY."""
    import fcntl
    import struct

    received = bytearray(80)
    fcntl.ioctl(descriptor, 0xC0502100, received)  # SECCOMP_IOCTL_NOTIF_RECV
    (id,) = struct.unpack_from("Q", received)
    fcntl.ioctl(descriptor, 0xC0182101, bytearray(struct.pack("QqiI", id, 0, -26, 0)))  # SECCOMP_IOCTL_NOTIF_SEND


def test_a_cgroup_of_a_relative_path_and_one_for_who_names_none(runtime: Runtime, bundle: Path) -> None:
    configure(bundle, "exec sleep 60", cgroupsPath=f"containerkit-test-{os.getpid()}/below")
    runtime.detached("run", "-d", "-b", bundle, "one")
    runtime.detached("run", "-d", "-b", configure(bundle, "exec sleep 60"), "two")
    groups = [Path(f"/proc/{runtime.state(id)['pid']}/cgroup").read_text() for id in ("one", "two")]
    assert f"/containerkit-test-{os.getpid()}/below" in groups[0] and "/containerkit-two" in groups[1]
    for id in ("one", "two"):
        runtime.ok("delete", "-f", id)
    for directory in Path("/sys/fs/cgroup").glob(f"*/containerkit-test-{os.getpid()}"):
        directory.rmdir()


def test_kill_everyone(runtime: Runtime, bundle: Path) -> None:
    namespaces = tuple(kind for kind in NAMESPACES if kind != "pid")
    configure(bundle, "sleep 61 & sleep 62 & exec sleep 63", namespaces)
    runtime.detached("run", "-d", "-b", bundle, "box")
    while len(json.loads(runtime.ok("ps", "-f", "json", "box"))) < 3:
        time.sleep(0.02)
    runtime.ok("kill", "--all", "box", "KILL")
    wait_for(runtime, "box", "stopped")
    runtime.ok("delete", "box")
