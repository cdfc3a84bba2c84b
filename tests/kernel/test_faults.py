"""Bad input, and kill -9 of everything: the next call tells the truth and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import containerkit as ck
from containerkit import Engine, Image
from containerkit.linux.process import start_time
from containerkit.supervise import asking
from containerkit.supervise.client import spawner
from tests.processes import descendants, kill_monitor
from tests.waiting import eventually


@pytest.mark.parametrize(
    ("command", "options", "error", "words", "code"),
    [
        ("nosuch", {}, ck.RuntimeFailure, "container web: program nosuch: not found in PATH", 127),
        ("bash", {}, ck.RuntimeFailure, 'program bash: not found in PATH (many images have "sh" alone)', 127),
        ("cd /tmp", {}, ck.RuntimeFailure, """it is a shell's own: ["sh", "-c", "cd …"]""", 127),
        ("-it sh", {}, ck.RuntimeFailure, "options are keywords: tty=True", 127),
        ("true", {"cap_add": ["NET_ADMN"]}, ck.InvalidArgument, "did you mean CAP_NET_ADMIN?", None),
        ("true", {"ulimits": {"nofle": 9}}, ck.InvalidArgument, "did you mean RLIMIT_NOFILE?", None),
        ("/bin/nosuch", {}, ck.RuntimeFailure, "program /bin/nosuch: no such file in the image", 127),
        ("/etc/passwd", {}, ck.RuntimeFailure, "program /etc/passwd: not executable", 126),
        ("/etc", {}, ck.RuntimeFailure, "program /etc: not executable", 126),
        ("true", {"user": "nobody2"}, ck.RuntimeFailure, "container web: user nobody2: not in", 125),
        ("true", {"user": "99999999999"}, ck.RuntimeFailure, "out of range", 125),
        ("true", {"workdir": "/etc/passwd"}, ck.RuntimeFailure, "not a directory", 125),
        ("true", {"workdir": "relative"}, ck.InvalidArgument, "workdir 'relative': must be an absolute path", None),
        ("true", {"memory": "lots"}, ck.InvalidArgument, "memory 'lots': not a size", None),
        ("true", {"memory": "1m"}, ck.InvalidArgument, "the minimum is 6m", None),
        ("true", {"cpus": 0}, ck.InvalidArgument, "cpus 0", None),
        ("true", {"cpuset_cpus": "999"}, ck.RuntimeFailure, "cpuset", 125),
        ("true", {"ulimits": {"nosuch": 1}}, ck.InvalidArgument, "rlimit RLIMIT_NOSUCH", None),
        ("true", {"sysctls": {"vm.swappiness": "1"}}, ck.InvalidArgument, "sysctl vm.swappiness", None),
        ("true", {"sysctls": {"kernel.msgmax": "x"}}, ck.RuntimeFailure, "sysctl kernel.msgmax", 125),
        ("true", {"cap_add": ["FLY"]}, ck.InvalidArgument, "FLY", None),
        ("true", {"portz": {80: 80}}, ck.InvalidArgument, "option portz: write ports=", None),
        ("true", {"hostnam": "x"}, ck.InvalidArgument, "did you mean hostname", None),
        ("true", {"security_opt": ["seccomp=/nosuch.json"]}, ck.InvalidArgument, "/nosuch.json", None),
        ("'", {}, ck.InvalidArgument, "command", None),
        (5, {}, ck.InvalidArgument, "command 5: expected a list", None),
        (b"ls", {}, ck.InvalidArgument, "command b'ls': expected a list", None),
        (["ls", 5], {}, ck.InvalidArgument, "argument 5 is not a string", None),
        (["ls", "\udcff"], {}, ck.InvalidArgument, "not Unicode text", None),
        (["ls", "a\0b"], {}, ck.InvalidArgument, "holds a NUL", None),
        ("true", {"env": {"A": "\udcff"}}, ck.InvalidArgument, "env", None),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(
    engine: Engine, image: Image, command: object, options: dict[str, object],
    error: type[ck.ContainerkitError], words: str, code: int | None,
) -> None:  # fmt: skip
    with pytest.raises(error) as caught:
        engine.run("busybox", command, name="web", **options)  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert getattr(caught.value, "exit_code", None) == code
    assert len(engine.containers) == 0 and list(engine.paths.containers.iterdir()) == []
    engine.run("busybox", "true", name="web").remove(force=True)


def test_a_script_whose_interpreter_is_absent(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60") as container:
        container.exec(["sh", "-c", "echo '#!/nope' >/script; chmod +x /script"], check=True)
        with pytest.raises(ck.RuntimeFailure, match="program /script: is there, but its interpreter") as caught:
            container.exec("/script")
        assert caught.value.exit_code == 127


def test_bad_arguments_of_exec_and_logs(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", name="web") as container:
        with pytest.raises(ck.RuntimeFailure, match="container web: user nobody2: not in") as caught:
            container.exec("true", user="nobody2")
        assert caught.value.exit_code == 125
        with pytest.raises(ck.RuntimeFailure, match="container web: chdir /nosuch"):
            container.exec("true", workdir="/nosuch")
        with pytest.raises(ck.RuntimeFailure, match="container web: program nosuch") as caught:
            container.popen("nosuch")
        assert caught.value.exit_code == 127
        for wrong in ({"since": "yesterday"}, {"until": "now"}, {"tail": -1}, {"tail": "all"}):
            with pytest.raises(ck.InvalidArgument, match=f"{next(iter(wrong))} "):
                container.logs(**wrong)


def test_unknown_image(engine: Engine) -> None:
    with pytest.raises(ck.NotFound, match="image nosuch"):
        engine.run("nosuch", "true")
    with pytest.raises(ck.InvalidArgument):
        engine.run("NoSuch", "true")


def test_a_missing_working_directory_is_made(engine: Engine, image: Image) -> None:
    assert engine.call("busybox", "pwd", workdir="/made/for/me").stdout == "/made/for/me\n"


def test_a_failed_start_of_a_created_container_keeps_it(engine: Engine, image: Image) -> None:
    container = engine.create("busybox", "nosuch", name="kept")
    with pytest.raises(ck.RuntimeFailure) as caught:
        container.start()
    assert caught.value.exit_code == 127
    assert container.status == "created"
    container.remove()


def test_a_full_disk(tmp_path: Path, busybox_tar: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", small], check=True)
    try:
        engine = Engine(root=small / "root")
        with pytest.raises(ck.StorageError, match="no space left"):
            for number in range(4):
                (tmp_path / str(number)).mkdir()
                (tmp_path / str(number) / "data").write_bytes(os.urandom(3 << 20))
                Image.import_(tmp_path / str(number), tag=f"big{number}", engine=engine)
        assert not list((small / "root" / "tmp").iterdir())
        engine.close()
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_full_disk_ends_the_log_and_not_the_container(tmp_path: Path, busybox_tar: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", small], check=True)
    try:
        engine = Engine(root=small / "root")
        Image.import_(busybox_tar, tag="busybox", engine=engine)
        container = engine.run("busybox", ["sh", "-c", "dd if=/dev/zero bs=1M count=40; exit 3"])
        assert container.wait(timeout=60) == 3
        container.remove(force=True)
        engine.prune()
        engine.close()
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_read_only_store(tmp_path: Path) -> None:
    frozen = tmp_path / "frozen"
    frozen.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", frozen], check=True)
    try:
        with pytest.raises(ck.StorageError, match="read-only"):
            len(Engine(root=frozen / "root").containers)
    finally:
        subprocess.run(["umount", frozen], check=True)


def test_what_stands_in_the_place_of_passwd_is_not_opened(engine: Engine, image: Image) -> None:
    """A device there would be opened outside the container's cgroup. A fifo shows it: its writer waits for a reader."""
    script = "rm /etc/passwd && mkfifo /etc/passwd && echo up; (echo x >/etc/passwd); echo opened >/opened"
    with engine.run("busybox", ["sh", "-c", script + "; sleep 60"]) as container:
        next(container.log_lines(follow=True))
        assert container.exec("echo fine", user=0).stdout == "fine\n"
        time.sleep(0.2)
        assert not container.exec(["test", "-e", "/opened"])


#: In a process of its own: a descriptor that was just opened may stay open in one that is interrupted then.
INTERRUPTED = """
import random, signal, sys
import containerkit as ck
engine = ck.Engine(*sys.argv[1:])
engine.call("busybox", "true")
signal.signal(signal.SIGALRM, signal.default_int_handler)
for _ in range(100):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.001, 0.02))
        engine.call("busybox", "sleep 30")
    except KeyboardInterrupt:
        print(len(engine.containers), flush=True)
"""


def test_an_interrupted_call_leaves_nothing(engine: Engine, image: Image) -> None:
    places = (engine.paths.root, engine.paths.run)
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, *places], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "0\n" * 100), done.stderr
    assert not any(engine.paths.containers.iterdir())


@pytest.mark.parametrize("verb", ["call", "run"])
def test_one_that_is_interrupted_when_it_has_just_asked_leaves_nothing(
    engine: Engine, image: Image, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def ask(*arguments: Any, **options: Any) -> None:
        kept.append(request(*arguments, **options))
        raise KeyboardInterrupt

    kept: list[Any] = []
    request = asking.request
    monkeypatch.setattr(asking, "request", ask)
    with pytest.raises(KeyboardInterrupt):
        getattr(engine, verb)("busybox", "sleep 30", network="none")
    assert len(engine.containers) == 0 and not any(engine.paths.containers.iterdir())
    kept.pop().channel.close()


def test_a_wait_with_a_timeout_ends_while_somebody_holds_the_lease(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", "sleep 60")
    child = subprocess.Popen(
        [sys.executable, "-c", f"""
import sys, time
from pathlib import Path
from typing import Any
from containerkit.store.leases import Leases
leases = Leases(Path({str(engine.store.leases.path)!r}))
print("ready", flush=True)
while leases.take({container.id!r}) is None: time.sleep(.0001)
print("held", flush=True)
sys.stdin.read()
"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    os.kill(_monitor_pid(container), signal.SIGKILL)
    assert child.stdout.readline() == "held\n"
    began, spent = time.monotonic(), time.process_time()
    with pytest.raises(ck.Timeout):
        container.wait(timeout=0.5)
    assert time.monotonic() - began < 50 and time.process_time() - spent < 0.4
    child.communicate()
    assert container.wait(timeout=60) == 137


def test_a_fork_of_the_users_process_owns_nothing(engine: Engine, image: Image) -> None:
    lease = engine.store.leases.take("a" * 64)
    assert lease is not None
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, b".")
        time.sleep(60)
        os._exit(0)
    os.read(reader, 1)
    for descriptor in (reader, writer, lease):
        os.close(descriptor)
    assert not engine.store.leases.is_held("a" * 64)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_replaced_from_two_threads_at_once(engine: Engine, image: Image) -> None:
    problems: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(4):
                engine.run("busybox", "sleep 60", name="web", replace=True)
        except ck.ContainerkitError as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == [] and len(engine.containers) == 1


def test_what_a_killed_monitor_had_half_written_swallows_nothing(engine: Engine, image: Image) -> None:
    with engine.create("busybox", ["sh", "-c", "echo one; echo two"]) as container:
        container.start().wait(timeout=60)
        log = engine.paths.containers / container.id / "log"
        with log.open("r+b") as file:
            file.truncate(log.stat().st_size - 2)
        container.start().wait(timeout=60)
        assert container.logs().endswith("one\ntwo\n") and "\0" not in container.logs()


def test_the_users_process_lends_nothing_to_containers(engine: Engine, image: Image, tmp_path: Path) -> None:
    script = f"""
import os, containerkit as ck
os.umask(0o077); os.chdir({str(tmp_path)!r})
os.set_inheritable(os.open("held", os.O_CREAT | os.O_RDWR), True)
engine = ck.Engine(root={str(engine.paths.root)!r}, run={str(engine.paths.run)!r})
container = engine.run("busybox", "sleep 60", workdir="/made", user="1000", name="lent")
print(container._record().monitor)
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    monitor = Path(f"/proc/{int(out)}")
    assert os.readlink(monitor / "cwd") == "/"
    assert not any("held" in os.readlink(entry) for entry in (monitor / "fd").iterdir())
    assert engine.containers["lent"].exec("ls -ld / /made").stdout.count("drwxr-xr-x") == 2
    assert engine.containers["lent"].exec("cat /etc/hosts /etc/hostname /etc/resolv.conf").exit_code == 0


def test_a_name_longer_than_any_message(engine: Engine, image: Image) -> None:
    with pytest.raises(ck.RuntimeFailure, match="container .*: program xxx") as caught:
        engine.call("busybox", ["x" * 100_000])
    assert caught.value.exit_code == 126 and len(str(caught.value)) < 6000


def test_the_session_keyring_is_not_ours(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", security_opt=["seccomp=unconfined"]) as container:
        ours = Path("/proc/keys").read_text().splitlines()
        keys = container.exec("cat /proc/1/keys /proc/keys").stdout
        sessions = {line.split()[0] for line in ours if "_ses" in line}
        assert not any(key in keys for key in sessions)


# -- kill -9 ---------------------------------------------------------------------------------------------------------


def _monitor_pid(container: ck.Container) -> int:
    pid = container._record().monitor
    assert pid is not None
    return pid


def test_the_init_is_killed(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60") as container:
        assert container.pid is not None
        os.kill(container.pid, signal.SIGKILL)
        assert container.wait(timeout=60) == 137 and container.status == "exited"


def test_the_monitor_is_killed(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", "sleep 60", name="orphan")
    init = container.pid
    os.kill(_monitor_pid(container), signal.SIGKILL)
    assert container.wait(timeout=60) == 137
    assert container.status == "exited" and "monitor was killed" in container.inspect()["State"]["Error"]
    assert init is not None and start_time(init) is None
    assert container.start().status == "running"
    container.remove(force=True)


def test_the_monitor_of_an_auto_removed_container_is_killed(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", "sleep 60", name="gone", remove=True)
    os.kill(_monitor_pid(container), signal.SIGKILL)
    assert container.wait(timeout=60) == 137
    assert len(engine.containers) == 0
    engine.run("busybox", "true", name="gone").remove(force=True)


def test_what_was_set_aside_and_not_removed_is_swept(engine: Engine, image: Image) -> None:
    left = engine.paths.removed / engine.call("busybox", "cat /etc/hostname").stdout.strip()
    (left / "upper").mkdir(parents=True)
    engine.close()
    assert len(engine.containers) == 0 and not left.exists()


def test_a_name_held_by_a_dead_one_can_be_used_again(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", "sleep 60", name="gone", remove=True)
    kill_monitor(engine, container)
    engine.run("busybox", "true", name="gone").remove(force=True)


def test_the_spawner_is_killed_and_containers_go_on(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60") as container:
        os.kill(spawner.pid, signal.SIGKILL)
        assert container.status == "running" and container.exec("echo on").stdout == "on\n"
        assert engine.call("busybox", "echo again").stdout == "again\n"


SDK = """
import sys, time
import containerkit as ck
engine = ck.Engine(root=sys.argv[1], run=sys.argv[2])
print("ready", flush=True)
{body}
"""


def _sdk(engine: Engine, body: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", SDK.format(body=body), str(engine.paths.root), str(engine.paths.run)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def test_containers_outlive_the_process_that_started_them(engine: Engine, image: Image) -> None:
    body = 'engine.run("busybox", ["sh", "-c", "sleep .3; echo late; exit 6"], name="late"); print("up", flush=True)'
    process = _sdk(engine, body)
    process.wait(timeout=60)
    container = engine.containers["late"]
    assert container.wait(timeout=60) == 6 and container.logs() == "late\n"
    container.remove()


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.005, 0.008, 0.012, 0.02, 0.03, 0.05, 0.08])
def test_the_sdk_process_is_killed_at_some_moment(engine: Engine, image: Image, delay: float) -> None:
    body = 'engine.call("busybox", "true")\nprint("warm", flush=True)\nwhile True: engine.call("busybox", "true")'
    process = _sdk(engine, body)
    assert process.stdout is not None and process.stdout.readline() == "warm\n"
    time.sleep(delay)
    process.kill()
    process.wait()
    assert eventually(lambda: len(engine.containers) == 0) and not list(engine.paths.containers.iterdir())


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.004, 0.006, 0.008, 0.012, 0.02, 0.04])
def test_spawner_and_monitors_are_killed_at_some_moment(engine: Engine, image: Image, delay: float) -> None:
    body = """
import threading
from containerkit.supervise import asking
from containerkit.supervise.client import spawner
spawner.ensure()
print(spawner.pid, flush=True)
for n in range(50):
    try: engine.run("busybox", "sleep 60", name=f"c{n}")
    except ck.ContainerkitError as error: print("error", error, flush=True)
    print("round", flush=True)
    time.sleep(100)
"""
    process = _sdk(engine, body)
    assert process.stdout is not None
    root = int(process.stdout.readline())
    time.sleep(delay)
    for pid in [*descendants(root), root]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    assert process.stdout.readline() != ""
    process.kill()
    process.wait()
    for container in engine.containers:
        assert container.status in ("created", "running", "exited")
        container.remove(force=True)
    assert len(engine.containers) == 0 and not list(engine.paths.containers.iterdir())


def test_a_removal_waits_for_somebody_who_only_looks(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", "true", name="looked")
    container.wait()
    # As another process holds it that has just seen the container run, and looks again.
    lease = engine.store.leases.take(container.id)
    assert lease is not None
    timer = threading.Timer(0.3, os.close, (lease,))
    timer.start()
    container.remove()
    timer.join()
    assert "looked" not in engine.containers


def test_two_processes_start_list_and_remove_twenty_each(engine: Engine, image: Image) -> None:
    body = """
for n in range(20):
    c = engine.run("busybox", "sleep 60", name=f"{NAME}{n}")
    assert c.status == "running"
    assert any(x.name == f"{NAME}{n}" for x in ck.Container.list(engine=engine))
    if n % 2: c.remove(force=True)
for n in range(0, 20, 2): engine.containers[f"{NAME}{n}"].stop(timeout=0).remove()
print("done", flush=True)
"""
    both = [_sdk(engine, f"NAME = {name!r}\n" + body) for name in ("a", "b")]
    for process in both:
        assert process.stdout is not None and process.stdout.readline() == "done\n"
        assert process.wait(timeout=60) == 0
    assert len(engine.containers) == 0
