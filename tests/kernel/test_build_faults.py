"""Builds with bad input, full disks, and others at work beside them: an error or the right image, nothing left."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from containerkit import BuildError, Container, Engine, Image, InvalidArgument, NotFound, StorageError, Timeout
from tests.engines import on_a_small_disk
from tests.waiting import eventually


def build(engine: Engine, text: str | bytes, **options: object) -> Image:
    return Image.from_dockerfile(text, engine=engine, progress=None, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", [b"\xef\xbb\xbfFROM busybox\r\nRUN echo a > /a\r\n", b"from busybox\n\n# c\nrun echo a \\\n# c\n\n > /a"]
)
def test_a_file_of_another_system_is_built(engine: Engine, image: Image, text: bytes) -> None:
    assert build(engine, text).call("cat /a").stdout == "a\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"FROM busybox\nRUN \0", "Dockerfile:2"),
        (b"FROM busybox\nRUN \xff\xfe", "Dockerfile:2"),
        (b"", "no FROM"),
        (b"FROM busybox\nCOPY nothere /x", "nothere: not in the context"),
        (b"FROM busybox\nADD git@example.com:a/b.git /x", "git"),
        (b"FROM busybox\nCOPY --chown=nobodyatall /etc /x", "."),
        (b"FROM busybox\nUSER nobodyatall\nRUN true", "nobodyatall"),
        (b"FROM busybox\nRUN [\"/nothere\"]", "/nothere"),
        (b"FROM busybox\nWORKDIR /bin/busybox/x\n", "no directory"),
        (b"FROM scratch\nRUN echo\n", "sh"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(engine: Engine, image: Image, text: bytes, words: str) -> None:
    with pytest.raises((BuildError, NotFound), match=words):
        build(engine, text)
    assert not [*engine.containers] and not os.listdir(engine.paths.tmp)


def test_a_line_of_a_megabyte(engine: Engine, image: Image) -> None:
    assert build(engine, f"FROM busybox\nLABEL a={'x' * (1 << 20)}\n").labels["a"][:3] == "xxx"


def test_names_of_every_kind_are_copied(engine: Engine, image: Image, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    for name in (b"a b", b"a\nb", b"\xff\xfe", "ä".encode(), b"-x", b"$x", b"*"):
        with open(os.fsencode(context) + b"/" + name, "wb") as file:
            file.write(name)
    made = build(
        engine, "FROM busybox\nCOPY . /c/\nRUN cd /c && cat ./* | wc -c > /n && ls | wc -l >> /n\n", context=context
    )
    assert made.call("cat /n").stdout.split() == ["15", "7"]


def test_many_files_are_found_in_the_cache_without_being_read(engine: Engine, image: Image, tmp_path: Path) -> None:
    context = tmp_path / "context"
    for number in range(5000):
        (context / str(number // 500)).mkdir(parents=True, exist_ok=True)
        (context / str(number // 500) / str(number)).write_text(str(number))
    text = "FROM busybox\nCOPY . /all\nRUN find /all -type f | wc -l > /n\n"
    assert build(engine, text, context=context).call("cat /n").stdout.strip() == "5000"
    assert [step.outcome for step in build(engine, text, context=context).explain()] == ["hit", "hit"]
    (context / "3" / "1501").write_text("another")
    assert build(engine, text, context=context).explain()[0].because == ("files in 3 changed",)


def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "small").write_bytes(os.urandom(1000))
    (context / "large").write_bytes(os.urandom(6 << 20))
    with on_a_small_disk(tmp_path, "5m") as engine:
        build(engine, "FROM scratch\nCOPY small /\n", context=context, tag="small")
        with pytest.raises((StorageError, BuildError), match="no space left"):
            build(engine, "FROM scratch\nCOPY small large /\n", context=context)
        assert not os.listdir(engine.paths.tmp)
        assert [one.tags for one in engine.images] == [("small:latest",)]
        build(engine, "FROM scratch\nCOPY small /other\n", context=context)


def test_a_base_that_is_removed_meanwhile_stays_for_the_build(engine: Engine, image: Image) -> None:
    done: list[Image] = []
    text = "FROM busybox\nRUN until [ -e /go ]; do sleep 0.05; done; echo a > /a\nRUN echo b > /b\n"
    thread = threading.Thread(target=lambda: done.append(build(engine, text, tag="made", timeout=120)))
    thread.start()
    while not (running := [one for one in engine.containers if one.status == "running"]):
        assert thread.is_alive()
    Image.get("busybox", engine=engine).remove(force=True)
    engine.prune(all=True)
    running[0].exec("touch /go", check=True)
    thread.join()
    assert done[0].call("cat /a /b").stdout == "a\nb\n"


def test_what_a_step_writes_does_not_fill_the_disk(engine: Engine, image: Image) -> None:
    caught: list[BuildError] = []
    wait = "until [ -e /go ]; do sleep 0.05; done"
    text = f"FROM busybox\nRUN yes | head -c 200000000; seq 30; {wait}; printf rest; exit 3\n"

    def work() -> None:
        with pytest.raises(BuildError) as error:
            build(engine, text, timeout=120)
        caught.append(error.value)

    thread = threading.Thread(target=work)
    thread.start()
    while not (running := [one for one in engine.containers if one.status == "running"]):
        assert thread.is_alive()
    while running[0].logs(tail=1) != "30\n":
        assert thread.is_alive()
        time.sleep(0.5)
    logs = engine.paths.containers / running[0].id
    assert sum(path.stat().st_size for path in logs.glob("log*")) <= 8 << 20
    running[0].exec("touch /go", check=True)
    thread.join()
    assert caught[0].exit_code == 3 and caught[0].log.splitlines() == [*map(str, range(12, 31)), "rest"]


def test_two_builds_of_the_same_at_once(engine: Engine, image: Image) -> None:
    done: list[str] = []
    text = "FROM busybox\nRUN sleep 0.5; echo a > /a\nRUN --mount=type=cache,target=/c,sharing=locked echo x >> /c/n\n"
    threads = [
        threading.Thread(target=lambda: done.append(build(engine, text).call("cat /a").stdout)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == ["a\n", "a\n"]


def test_a_step_can_be_looked_into_while_it_runs(engine: Engine, image: Image) -> None:
    text = "FROM busybox\nRUN echo here > /here; while [ ! -e /go ]; do sleep 0.05; done\n"
    thread = threading.Thread(target=lambda: build(engine, text, timeout=60))
    thread.start()
    running: list[Container] = []
    while not running:
        running = [one for one in engine.containers if one.status == "running"]
        assert thread.is_alive()
    while not running[0].exec("test -e /here"):
        assert thread.is_alive()
    running[0].exec("touch /go")
    thread.join()
    assert not [*engine.containers]


def test_a_container_of_a_build_that_is_killed_is_a_failed_step(engine: Engine, image: Image) -> None:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            build(engine, "FROM busybox\nRUN sleep 100\n", timeout=60)
        except (BuildError, Timeout) as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not (running := [one for one in engine.containers if one.status == "running"]):
        assert thread.is_alive()
    running[0].kill()
    thread.join()
    assert isinstance(caught[0], BuildError) and caught[0].exit_code == 137


def test_a_passphrase_as_a_build_argument_is_warned_of(engine: Engine, image: Image) -> None:
    report = build(engine, "FROM busybox\nARG PASSWORD\n").explain()
    assert any("SecretsUsedInArgOrEnv" in warning for warning in report.warnings)


def test_a_build_argument_that_cannot_be_is_refused(engine: Engine, image: Image) -> None:
    with pytest.raises(InvalidArgument, match="SOURCE_DATE_EPOCH"):
        build(engine, "FROM busybox\nRUN true\n", build_args={"SOURCE_DATE_EPOCH": "yesterday"})


def test_a_step_ends_with_its_build_though_a_fork_of_that_lives_on(engine: Engine, image: Image) -> None:
    code = (
        "import os, sys, threading, time, containerkit as ck\n"
        "engine = ck.Engine(root=sys.argv[1], run=sys.argv[2])\n"
        "how = {'engine': engine, 'progress': None}\n"
        "text = 'FROM busybox\\nRUN sleep 1000\\n'\n"
        "threading.Thread(target=ck.Image.from_dockerfile, args=(text,), kwargs=how).start()\n"
        "while not [one for one in engine.containers if one.status == 'running']:\n"
        "    time.sleep(0.01)\n"
        "if pid := os.fork():\n"
        "    print(pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    command = [sys.executable, "-c", code, str(engine.paths.root), str(engine.paths.run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        forked = int(process.stdout.readline())
        try:
            assert len(engine.containers) == 1
            process.kill()
            assert eventually(lambda: not [*engine.containers]) and not os.listdir(engine.paths.containers)
            os.kill(forked, 0)
        finally:
            os.kill(forked, 9)


def test_an_interrupt_ends_what_runs(engine: Engine, image: Image) -> None:
    code = (
        "import sys, containerkit as ck\n"
        "engine = ck.Engine(root=sys.argv[1], run=sys.argv[2])\n"
        "try:\n"
        "    ck.Image.from_dockerfile(sys.argv[3], engine=engine, progress=None)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', len(engine.containers))\n"
    )
    place = engine.paths
    text = "FROM busybox AS a\nRUN sleep 100\nFROM busybox\nRUN sleep 100\nCOPY --from=a /bin /x\n"
    command = [sys.executable, "-c", code, str(place.root), str(place.run), text]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while len([one for one in engine.containers if one.status == "running"]) < 2:
        assert process.poll() is None
    process.send_signal(2)
    out, _ = process.communicate(timeout=60)
    assert out == "interrupted 0\n"
