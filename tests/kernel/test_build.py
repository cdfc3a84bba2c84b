"""Dockerfiles become images: stages, steps, the cache and what it says, and what goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from containerkit import BuildError, Engine, Image, InvalidArgument, NotFound, Timeout, Unsupported
from containerkit.progress import Shown
from tests.waiting import eventually

ALL = """\
FROM busybox
ARG V=1
ENV A=$V B="x y"
WORKDIR /srv/app
RUN echo $V $A > out; touch /x
RUN ["sh", "-c", "id -u > /id"]
LABEL "a b"=c
EXPOSE 80
USER 1000:1000
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=5s CMD true
ENTRYPOINT ["cat"]
CMD ["out"]
"""


@pytest.fixture
def build(engine: Engine, image: Image) -> Builder:
    return Builder(engine)


class Builder:
    """Builds in the test's engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __call__(self, text: str, **options: object) -> Image:
        return Image.from_dockerfile(text, engine=self.engine, progress=None, **options)  # type: ignore[arg-type]


def await_file(path: str) -> str:
    """A command that ends well as soon as there is that file, and with an error after a minute."""
    return f"for _ in $(seq 600); do test -e {path} && break; sleep 0.1; done; test -e {path}"


def outcomes(image: Image) -> list[str]:
    return [step.outcome for step in image.explain() if step.outcome != "config"]


def test_each_instruction_is_in_the_image(build: Builder) -> None:
    image = build(ALL, tag="all")
    assert image.tags == ("all:latest",)
    assert image.call().stdout == "1 1\n"
    config = image.config
    assert (config.cmd, config.entrypoint, config.working_dir) == (("out",), ("cat",), "/srv/app")
    assert {"A=1", "B=x y"} <= set(config.env or ())
    assert (config.user, config.stop_signal, dict(config.exposed_ports or {})) == (
        "1000:1000",
        "SIGQUIT",
        {"80/tcp": {}},
    )
    assert image.labels == {"a b": "c"}
    assert config.healthcheck is not None and config.healthcheck.test == ("CMD-SHELL", "true")
    # A line of history for each instruction, a layer for each that changed files.
    steps = image.history()
    assert [step["created_by"].split()[0] for step in reversed(steps)][-12:] == [
        "ARG", "ENV", "WORKDIR", "RUN", "RUN", "LABEL", "EXPOSE", "USER", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT",
        "CMD",
    ]  # fmt: skip
    assert len(image.layers) == 1 + 3


def test_a_second_build_is_the_same_image_and_carries_nothing_out(build: Builder) -> None:
    first, second = build(ALL), build(ALL)
    assert first.id == second.id
    assert outcomes(first) == ["miss"] * 3
    assert outcomes(second) == ["hit"] * 3


def test_a_miss_says_what_has_changed(build: Builder) -> None:
    build(ALL)
    report = build(ALL, build_args={"V": "2"}).explain()
    run = report[3]
    assert run.instruction.startswith("RUN echo")
    assert run.because == ("arg V changed", "env A changed")
    assert report.hits == 1 and report.misses == 2
    assert list(report.frame()["outcome"]) == [step.outcome for step in report]


def test_a_build_is_compared_with_the_last_one_of_its_dockerfile_and_context(build: Builder, tmp_path: Path) -> None:
    context = tmp_path / "context"
    for name in ("a", "b"):
        (context / name).mkdir(parents=True)
        (context / name / "Dockerfile").write_text(f"FROM busybox\nARG V\nRUN echo {name}$V > /x\n")

    def because(name: str, **options: object) -> tuple[str, ...]:
        how = {"dockerfile": f"{name}/Dockerfile", "engine": build.engine, "progress": None, **options}
        made = Image.build(context, **how)  # type: ignore[arg-type]
        report: list[tuple[str, ...]] = [step.because for step in made.explain()]
        return report[-1]

    assert because("a") == because("b") == ("not built before",)
    assert because("a", build_args={"V": "1"}, tag="other") == ("arg V added",)
    (context / "b" / "Dockerfile").write_text("FROM busybox\nARG V\nRUN echo another > /x\n")
    assert because(str(context / "b"), dockerfile=context / "b" / "Dockerfile") == ("another instruction",)


def test_no_cache_carries_out_every_step(build: Builder) -> None:
    first, second = build(ALL), build(ALL, no_cache=True)
    assert outcomes(second) == ["miss"] * 3
    assert first.layers[:1] == second.layers[:1]


def test_the_cache_goes_by_contents_not_by_names(build: Builder) -> None:
    """The same files below and the same command: whatever the stage, the tag, or the labels are called."""
    build("FROM busybox AS one\nLABEL a=1\nRUN echo x > /x\n")
    assert outcomes(build("FROM busybox AS two\nLABEL b=2\nCMD true\nRUN echo x > /x\n", tag="other")) == ["hit"]


def test_a_stage_by_another_name_is_the_same_stage(build: Builder) -> None:
    text = """\
FROM busybox AS one
RUN echo x > /x; mkdir /d; echo y > /d/y
FROM busybox
COPY --from=one /x /copied
RUN --mount=from=one,target=/m cat /m/x > /mounted
RUN --mount=type=cache,target=/c,from=one,source=/d cat /c/y > /cached
"""
    first = build(text)
    for name in ("two", "0"):
        again = build(text.replace("=one", f"={name}").replace("AS one", "AS two"))
        assert outcomes(again) == ["hit"] * 4 and again.id == first.id
    assert first.call("cat /copied /mounted /cached").stdout == "x\nx\ny\n"
    # Other files, and the name that they were found by before.
    assert outcomes(build(text.replace("echo x", "echo z"))) == ["miss"] * 4


def test_the_cache_is_there_for_other_processes_and_after_the_images(build: Builder) -> None:
    build(ALL, tag="gone").remove()
    build.engine.close()
    assert outcomes(build(ALL)) == ["hit"] * 3


def test_stages_that_nobody_needs_are_not_built(build: Builder) -> None:
    image = build("FROM busybox AS broken\nRUN false\nFROM busybox AS good\nRUN echo good > /good\n")
    assert [step.stage for step in image.explain()] == ["good"]
    with pytest.raises(BuildError, match="RUN false: exit code 1"):
        build("FROM busybox AS broken\nRUN false\nFROM busybox AS good\nRUN echo good > /good\n", target="broken")


def test_independent_stages_run_side_by_side(build: Builder) -> None:
    text = "FROM busybox\nCOPY --from=s1 /s1 /\nCOPY --from=s2 /s2 /\n"
    for own, other in (("s1", "s2"), ("s2", "s1")):
        run = f"touch /{own} /c/{own}; {await_file(f'/c/{other}')}"
        text = f"FROM busybox AS {own}\nRUN --mount=type=cache,target=/c {run}\n" + text
    assert build(text).call("ls /s1 /s2").stdout == "/s1\n/s2\n"


def test_a_stage_on_a_stage_has_its_files_and_variables(build: Builder) -> None:
    image = build("FROM busybox AS one\nARG A=1\nENV E=2\nRUN echo one > /one\nFROM one\nRUN echo $A $E > /two\n")
    assert image.call("cat /one /two").stdout == "one\n1 2\n"


def test_args_before_from_choose_the_base(build: Builder) -> None:
    assert build("ARG BASE=nothere\nFROM $BASE\nCMD echo hi\n", build_args={"BASE": "busybox"}).call().stdout == "hi\n"


def test_a_trigger_runs_in_the_build_on_top_of_its_image_and_only_there(build: Builder) -> None:
    base = build("FROM busybox\nONBUILD RUN echo triggered > /t\nONBUILD ENV A=1\n", tag="base")
    assert base.config.on_build == ("RUN echo triggered > /t", "ENV A=1")
    assert base.call("ls /t").exit_code
    image = build("FROM base\nRUN echo $A >> /t\n", tag="child")
    assert image.call("cat /t").stdout == "triggered\n1\n"
    assert image.config.on_build is None
    assert build("FROM child\nRUN true\n").call("cat /t").stdout == "triggered\n1\n"


def test_what_a_run_writes_into_a_volume_is_dropped(build: Builder) -> None:
    image = build("FROM busybox\nRUN mkdir /data && echo before > /data/f\nVOLUME /data\nRUN echo after > /data/f\n")
    assert image.call("cat /data/f").stdout == "before\n"
    assert not [*build.engine.volumes]


def test_the_image_s_own_health_check_and_entry_point_do_not_disturb_a_run(build: Builder) -> None:
    image = build('FROM busybox\nENTRYPOINT ["false"]\nHEALTHCHECK CMD false\nRUN echo fine > /f\n')
    assert image.call("/f", entrypoint="cat").stdout == "fine\n"


def test_a_run_that_changes_nothing_is_no_layer(build: Builder, image: Image) -> None:
    assert build("FROM busybox\nRUN true\n").layers == image.layers


def test_mounts_of_a_run_leave_nothing_in_the_image(build: Builder) -> None:
    text = """\
FROM busybox
RUN --mount=type=secret,id=key cat /run/secrets/key > /length && wc -c < /length > /n && rm /length
RUN --mount=type=secret,id=key,env=KEY test ${#KEY} = 4
RUN --mount=type=cache,target=/cache echo x >> /cache/lines; wc -l < /cache/lines > /lines
RUN --mount=type=tmpfs,target=/tmpfs touch /tmpfs/a; mount | grep -q "on /tmpfs type tmpfs"
"""
    image = build(text, secrets={"key": b"hush"})
    assert image.call("cat /n /lines").stdout.split() == ["4", "1"]
    assert image.call("ls -d /run/secrets /cache /tmpfs").exit_code
    blobs = b"".join(path.read_bytes() for path in (build.engine.paths.root / "blobs").rglob("*") if path.is_file())
    assert b"hush" not in blobs
    # A cache stays from build to build.
    again = build(text, secrets={"key": b"hush"}, no_cache=True)
    assert again.call("cat /lines").stdout.strip() == "2"


def test_a_secret_is_no_part_of_the_key_but_its_absence_is_an_error(build: Builder) -> None:
    text = "FROM busybox\nRUN --mount=type=secret,id=key,required true && touch /x\n"
    build(text, secrets={"key": "/etc/hostname"})
    assert outcomes(build(text, secrets={"key": b"other"})) == ["hit"]
    with pytest.raises(BuildError, match="secret key: required, and not given"):
        build(text, no_cache=True)


def test_what_cannot_be_is_refused(build: Builder) -> None:
    for text, words in (
        ("FROM busybox\nRUN --mount=type=ssh true\n", "agents are not forwarded"),
        ("FROM busybox\nRUN --security=insecure true\n", "no more rights"),
        ("FROM nothere:1\nRUN true\n", "nothere:1"),
    ):
        with pytest.raises((BuildError, Unsupported, NotFound, InvalidArgument), match=words):
            build(text)


def test_network_none_is_none(build: Builder) -> None:
    image = build("FROM busybox\nRUN --network=none ls /sys/class/net > /links\n")
    assert image.call("cat /links").stdout.split() == ["lo"]


def test_a_script_with_its_own_interpreter(build: Builder) -> None:
    image = build(
        "FROM busybox\nRUN <<EOF\n#!/bin/cat\nhello\nEOF\nRUN <<EOF\necho one > /one\necho two >> /one\nEOF\n"
    )
    assert image.call("cat /one").stdout == "one\ntwo\n"


def test_every_error_of_a_file_is_told_at_once_with_its_line(build: Builder) -> None:
    with pytest.raises(BuildError) as caught:
        build("FROM busybox\nRUNN x\nMAINTANIER me\n")
    assert [problem.location.first for problem in caught.value.problems] == [2, 3]
    assert "did you mean MAINTAINER?" in str(caught.value) and ">>>    3 | MAINTANIER me" in str(caught.value)


def test_a_failed_step_says_where_and_offers_what_there_was_before(build: Builder) -> None:
    with pytest.raises(BuildError) as caught:
        build("FROM busybox\nRUN echo fine > /fine\nRUN echo going wrong; exit 7\nRUN echo never\n")
    error = caught.value
    assert error.exit_code == 7
    assert ">>>    3 | RUN echo going wrong; exit 7" in str(error) and error.log == "going wrong"
    assert error.image is not None and error.image.call("cat /fine").stdout == "fine\n"
    assert error.report is not None and [step.outcome for step in error.report] == ["miss", "failed"]
    # What went well needs not be done again.
    assert outcomes(build("FROM busybox\nRUN echo fine > /fine\n")) == ["hit"]


def test_a_build_that_takes_too_long_is_ended(build: Builder) -> None:
    began = time.monotonic()
    with pytest.raises(Timeout, match="not finished after 1 s"):
        build("FROM busybox\nRUN echo begun; sleep 1000\n", timeout=1)
    assert time.monotonic() - began < 100
    assert not [*build.engine.containers]


def test_the_end_of_the_output_is_shown_line_by_line(build: Builder) -> None:
    with pytest.raises(BuildError) as caught:
        build("FROM busybox\nRUN seq 1 30; echo wrong >&2; printf rest; exit 1\n")
    lines = caught.value.log.splitlines()
    assert len(lines) == 20 and sorted(lines)[:4] == ["13", "14", "15", "16"] and {"wrong", "rest"} <= {*lines}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("USER nobody-knows\nRUN true", "Dockerfile:3: RUN true: user nobody-knows"),
        ('RUN ["/bin/absent"]', 'Dockerfile:2: RUN ["/bin/absent"]: program /bin/absent: no such file'),
    ],
)
def test_what_cannot_be_started_is_said_without_the_name_of_a_container(build: Builder, text: str, words: str) -> None:
    with pytest.raises(BuildError) as caught:
        build(f"FROM busybox\n{text}\n")
    assert words in str(caught.value) and "build-" not in str(caught.value)


def test_a_fork_bomb_is_held_by_the_limit_of_pids(build: Builder) -> None:
    with pytest.raises(BuildError):
        build("FROM busybox\nRUN f() { f | f & }; f; sleep 0.2; false\n", pids_limit=32, timeout=60)
    assert not [*build.engine.containers]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_cahce", "option no_cahce: unknown (did you mean no_cache?)"),
        ("dockerfiel", "option dockerfiel: unknown (did you mean dockerfile?)"),
        ("memroy", "option memroy: unknown (did you mean memory?)"),
        ("xyzzy", "option xyzzy: unknown"),
        ("privileged", "option privileged: builds take add_hosts, cap_add, "),
    ],
)
def test_options_that_builds_have_not_are_named(engine: Engine, name: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        engine.build({"Dockerfile": "FROM scratch"}, **{name: True})  # type: ignore[arg-type]  # what is wrong
    assert words in str(caught.value)


def test_a_text_has_no_dockerfile_beside_it(build: Builder) -> None:
    with pytest.raises(InvalidArgument, match="option dockerfile: unknown$"):
        build("FROM scratch", dockerfile="x")


def test_times_are_not_later_than_source_date_epoch(build: Builder) -> None:
    text = "FROM busybox\nARG SOURCE_DATE_EPOCH\nWORKDIR /w\nRUN echo x > f\n"
    first = build(text, build_args={"SOURCE_DATE_EPOCH": "1000000000"}, no_cache=True)
    time.sleep(1.1)
    second = build(text, build_args={"SOURCE_DATE_EPOCH": "1000000000"}, no_cache=True)
    assert first.id == second.id
    assert first.call("stat -c %Y /w /w/f").stdout.split() == ["1000000000"] * 2
    assert first.created.timestamp() == 1000000000


def test_contexts_of_their_own_name(build: Builder, image: Image, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a").write_text("a\n")
    (tmp_path / "docs" / "left-out").write_text("")
    (tmp_path / "docs" / ".dockerignore").write_text("left-out\n")
    other = build("FROM busybox\nRUN echo base > /base\n")
    text = """\
FROM Base AS one
COPY --from=docs . /d/
COPY --from=Given b /d/
RUN --mount=from=given,target=/m cat /m/b /base > /all
"""
    contexts: dict[str, object] = {"docs": tmp_path / "docs", "given": {"b": "b\n"}, "Base": other}
    made = build(text.replace("Base", "base"), contexts=contexts)
    assert made.call("ls -A /d").stdout == ".dockerignore\na\nb\n"
    assert made.call("cat /all").stdout == "b\nbase\n"
    # By content, as all others.
    assert outcomes(build(text.replace("Base", "base"), contexts={**contexts, "given": {"b": "b\n", "c": ""}})) == [
        "hit", "hit", "miss",
    ]  # fmt: skip


def test_a_context_goes_before_a_stage_of_its_name(build: Builder) -> None:
    text = "FROM busybox AS one\nRUN false\nFROM busybox\nCOPY --from=one /x /\n"
    assert build(text, contexts={"one": {"x": "x\n"}}).call("cat /x").stdout == "x\n"
    text = "FROM busybox AS one\nRUN false\nFROM one\nRUN echo x > /x\n"
    base = build("FROM busybox\nCMD cat /x\n")
    assert build(text, contexts={"one": base}).call().stdout == "x\n"
    with pytest.raises(InvalidArgument, match="FROM one: a context of that name was given, which is no image"):
        build(text, contexts={"one": {}})


def test_what_is_no_context(build: Builder, tmp_path: Path) -> None:
    for name in ("", "a b", "7", "$x"):
        with pytest.raises(InvalidArgument, match="no name that COPY --from"):
            build("FROM busybox\n", contexts={name: {}})
    with pytest.raises(NotFound, match="absent: not found"):
        build("FROM busybox\n", contexts={"a": tmp_path / "absent"})


CODE = """\
import sys, containerkit as ck
engine = ck.Engine(root=sys.argv[1], run=sys.argv[2])
ck.Image.from_dockerfile(sys.stdin.read(), engine=engine, progress=None, tag="killed")
"""


@pytest.mark.parametrize("moment", [0.05, 0.1, 0.2, 0.3, 0.5])
def test_kill_9_of_a_build_leaves_nothing(build: Builder, moment: float) -> None:
    engine = build.engine
    text = "FROM busybox\nWORKDIR /w\n" + "".join(f"RUN echo {n} > f{n}; sleep 0.05\n" for n in range(20))
    before = len([*engine.images])
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, engine.paths.root, engine.paths.run], stdin=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.close()
    assert eventually(lambda: os.listdir(engine.paths.containers))
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    engine.close()  # the next use sweeps
    assert eventually(lambda: not [*engine.containers] and not os.listdir(engine.paths.containers))
    assert len([*engine.images]) == before and not os.listdir(engine.paths.tmp)
    assert build(text).call("cat f19").stdout == "19\n"


def test_what_builds_keep_is_seen_and_pruned(build: Builder) -> None:
    build(ALL, tag="one").remove()
    cache = build.engine.build_cache
    assert sorted(step.instruction.split()[0] for step in cache) == ["RUN", "RUN", "WORKDIR"]
    assert list(cache.frame()["instruction"]) == [step.instruction for step in cache]
    cache.prune(max_age="1h", max_size="1g")
    assert len(cache) == 3
    build("FROM busybox\nRUN echo newer > /newer\n").remove()
    cache.prune(max_size=7)
    # A directory alone takes no room.
    assert [step.instruction for step in cache if step.size] == ["RUN echo newer > /newer"]
    assert cache.prune().space_reclaimed > 0
    assert not len(cache) and cache.size == 0
    assert outcomes(build(ALL)) == ["miss"] * 3


def test_the_cache_keeps_within_its_bounds_by_itself(tmp_path: Path, build: Builder) -> None:
    small = Engine(build.engine.paths.root, build.engine.paths.run, configuration={"build_cache_size": "2k"})
    for number in range(4):
        Builder(small)(f"FROM busybox\nRUN head -c 1000 /dev/zero > /{number}\n").remove()
    assert [step.instruction[-1] for step in small.build_cache] == ["3", "2"]
    small.close()


def test_caches_of_commands_are_pruned_but_for_those_in_use(build: Builder) -> None:
    build("FROM busybox\nRUN --mount=type=cache,target=/c echo x > /c/f\n")
    cache = build.engine.build_cache
    assert cache.mounts_size() > 0
    cache.prune(mounts=True)
    assert not os.listdir(build.engine.paths.build_caches)


def test_a_cache_travels_with_an_image(build: Builder, tmp_path: Path) -> None:
    build(ALL, tag="app:cache", inline_cache=True).save(tmp_path / "app.tar", format="oci")
    engine = build.engine
    for image in [*engine.images]:
        if "busybox:latest" not in image.tags:
            image.remove(force=True)
    engine.build_cache.prune()
    Image.load(tmp_path / "app.tar", engine=engine, progress=None)
    assert outcomes(build(ALL, cache_from="app:cache")) == ["hit"] * 3
    assert outcomes(build(ALL.replace("touch /x", "touch /y"), cache_from="app:cache")) == ["hit", "miss", "miss"]
    assert outcomes(build(ALL, cache_from="nothere:cache")) == ["hit"] * 3


def test_a_variable_that_nobody_has_set_is_warned_of_once(build: Builder) -> None:
    warnings = build("FROM busybox\nENV A=$PATHH B=$PATH\nCOPY <<E /x\n$NONE\nE\n").explain().warnings
    assert not any("$PATH " in warning for warning in warnings)
    assert sum("$PATHH is not set (did you mean" in warning for warning in warnings) == 1


# -- progress --------------------------------------------------------------------------------------------------------


class Seen(Shown):
    """Keeps what a build tells, and which lines were on view while their step ran."""

    def draw(self) -> None:
        pass

    @property
    def states(self) -> dict[str, dict[str, str]]:
        return {part.title: {key: item.state for key, item in part.items.items()} for part in self.parts}


def test_who_waits_sees_stages_with_steps_and_what_they_write(build: Builder) -> None:
    text = "FROM busybox AS one\nRUN echo 1; echo 2 >&2; printf 3\nENV A=1\nFROM one\nRUN <<EOF\necho x > /x\nEOF\n"
    first, second = Seen(), Seen()
    for seen, outcome in ((first, "MISS"), (second, "HIT")):
        Image.from_dockerfile(text, tag="app", engine=build.engine, progress=seen)
        assert seen.states == {
            "stage one": {
                "FROM busybox": "done", "1/2 RUN echo 1; echo 2 >&2; printf 3": outcome, "2/2 ENV A=1": "done",
            },
            "stage 1": {"1/1 RUN <<EOF": outcome},
        }  # fmt: skip
    step = first.parts[0].items["1/2 RUN echo 1; echo 2 >&2; printf 3"]
    assert sorted(step.lines) == ["1", "2", "3"] and step.seconds > 0
    assert [part.summary for part in first.parts] == ["1 step carried out, 0 from the cache"] * 2
    assert second.summary == "built app: 0 steps carried out, 2 from the cache"


def test_the_first_step_that_fails_ends_the_others_and_is_the_only_one_that_is_said_to_have_failed(
    build: Builder,
) -> None:
    seen, began = Seen(), time.monotonic()
    mount = "--mount=type=cache,target=/c"
    text = f"FROM busybox AS slow\nRUN {mount} touch /c/slow; sleep 1000\n"
    text += f"FROM busybox AS bad\nRUN {mount} {await_file('/c/slow')} && echo so; exit 4\nFROM busybox\n"
    with pytest.raises(BuildError, match="exit code 4"):
        Image.from_dockerfile(
            text + "COPY --from=slow / /s\nCOPY --from=bad / /x\n", engine=build.engine, progress=seen
        )
    assert time.monotonic() - began < 800
    (failed,) = [part for part in seen.parts if part.is_failed]
    assert failed.title == "stage bad" and [*failed.items.values()][-1].last_lines == ["so"]
    assert [*seen.states["stage slow"].values()][-1] == "ended"
    assert seen.states["stage 2"]["1/2 COPY --from=slow / /s"] == "ended"
    assert all(part.is_over for part in seen.parts) and seen.summary == "build Dockerfile: failed"


def test_a_base_that_is_not_there_has_failed(build: Builder) -> None:
    seen = Seen()
    with pytest.raises(NotFound):
        Image.from_dockerfile("FROM localhost:1/x\nRUN true\n", engine=build.engine, progress=seen)
    assert seen.states["stage 0"] == {"FROM localhost:1/x": "failed"} and seen.parts[0].summary == "not built"


def test_a_secret_that_is_a_variable_is_written_down_nowhere(build: Builder) -> None:
    root = build.engine.paths.root
    wait = "while [ ! -e /go ]; do sleep 0.05; done"
    text = f"FROM busybox\nRUN --mount=type=secret,id=key,env=KEY test ${{#KEY}} = 14 && {wait}\n"
    thread = threading.Thread(target=lambda: build(text, secrets={"key": b"very-hush-hush"}, timeout=60))
    thread.start()
    while not (running := [one for one in build.engine.containers if one.status == "running"]):
        assert thread.is_alive()
    # Another process looks: one that closes a database's file loses the locks that it has on it.
    look = ["grep", "-rlF", "very-hush-hush", str(root)]
    while_it_runs = subprocess.run(look, capture_output=True, text=True, check=False).stdout
    running[0].exec("touch /go", check=True)
    thread.join()
    after = subprocess.run(look, capture_output=True, text=True, check=False).stdout
    assert not while_it_runs and not after


def test_a_link_is_used_again_on_top_of_something_else(build: Builder) -> None:
    text = "FROM busybox\nCOPY --link f /f\nRUN rm /f\nCOPY --link f /f\nRUN cat /f > /seen\n"
    assert build(text, context={"f": "x\n"}).call("cat /seen").stdout == "x\n"


def test_what_a_command_can_see_is_part_of_its_key(build: Builder) -> None:
    text = "FROM busybox\nARG HTTP_PROXY\nRUN echo $HTTP_PROXY > /p; cat /etc/hosts > /h\n"
    one = build(text, build_args={"HTTP_PROXY": "a"}, add_hosts={"other": "10.0.0.1"})
    for proxy, host, memory, outcome in (
        ("b", "10.0.0.1", None, "miss"), ("a", "10.0.0.2", None, "miss"), ("a", "10.0.0.1", "64m", "hit"),
    ):  # fmt: skip
        made = build(text, build_args={"HTTP_PROXY": proxy}, add_hosts={"other": host}, memory=memory)
        assert outcomes(made) == [outcome]
    assert one.call("cat /p").stdout == "a\n"


def test_the_mode_of_a_directory_that_is_copied_twice_is_part_of_the_key(build: Builder, tmp_path: Path) -> None:
    inner = tmp_path / "context" / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "f").write_text("x")
    text = "FROM busybox\nCOPY a a/b /to/\n"
    build(text, context=tmp_path / "context")
    inner.chmod(0o700)
    assert outcomes(build(text, context=tmp_path / "context")) == ["miss"]


def test_one_command_mounts_a_cache_twice(build: Builder) -> None:
    mounts = "--mount=type=cache,id=c,target=/a,sharing=locked --mount=type=cache,id=c,target=/b"
    image = build(f"FROM busybox\nRUN {mounts} echo x > /a/f && cat /b/f > /seen\n", timeout=30)
    assert image.call("cat /seen").stdout == "x\n"


def test_who_waits_for_a_cache_gives_up_in_time(build: Builder) -> None:
    mount = "--mount=type=cache,id=c,target=/c,sharing=locked"
    thread = threading.Thread(target=lambda: build(f"FROM busybox\nRUN {mount} sleep 3\n"))
    thread.start()
    while not [*build.engine.containers]:
        assert thread.is_alive()
    with pytest.raises(Timeout):
        build(f"FROM busybox\nRUN {mount} true\n", timeout=0.5)
    thread.join()


def test_no_cache_takes_no_others_either(build: Builder, tmp_path: Path) -> None:
    build(ALL, tag="app:cache", inline_cache=True)
    assert outcomes(build(ALL, cache_from="app:cache", no_cache=True)) == ["miss"] * 3


def test_a_stage_that_only_a_trigger_needs_is_built(build: Builder) -> None:
    build(
        "FROM busybox\nONBUILD COPY --from=made /x /x\nONBUILD RUN --mount=from=made,target=/m cat /m/x > /y\n",
        tag="base",
    )
    text = "FROM busybox AS below\nRUN echo x > /x\nFROM below AS made\nRUN echo y >> /x\nFROM base\nRUN true\n"
    made = build(text)
    assert made.call("cat /x /y").stdout == "x\ny\n" * 2
    assert [step.stage for step in made.explain() if step.outcome == "miss"] == ["below", "made", "2", "2", "2"]
    assert outcomes(build(text)) == ["hit"] * 5


def test_stages_that_need_each_other_by_triggers_are_refused(build: Builder) -> None:
    build("FROM busybox\nONBUILD COPY --from=one /x /x\n", tag="base")
    with pytest.raises(BuildError, match="stage one: takes files from itself"):
        build("FROM base AS one\nRUN true\n")
    build("FROM busybox\nONBUILD COPY --from=two /x /x\n", tag="other")
    with pytest.raises(BuildError, match="stage (one|two): needs (one|two), which needs (one|two)"):
        build("FROM other AS one\nFROM base AS two\nFROM busybox\nCOPY --from=two / /\n")
    with pytest.raises(BuildError, match="stage two: needs one, which needs two"):
        build("FROM base AS two\nFROM busybox AS one\nCOPY --from=two / /\n")


def test_a_workdir_that_cannot_be_leaves_the_state_before_it(build: Builder) -> None:
    with pytest.raises(BuildError) as caught:
        build("FROM busybox\nWORKDIR /w\nWORKDIR /bin/busybox/x\n")
    assert caught.value.image is not None and caught.value.image.config.working_dir == "/w"


def test_output_without_an_end_of_line_is_cut(build: Builder) -> None:
    with pytest.raises(BuildError) as caught:
        build("FROM busybox\nRUN head -c 3000000 /dev/zero | tr '\\0' x; false\n")
    assert caught.value.log == "x" * (64 << 10)


def test_a_base_that_is_not_there_is_named_with_its_line(build: Builder) -> None:
    with pytest.raises(NotFound, match=r"^Dockerfile:2: FROM nothere:1: image nothere:1"):
        build("ARG A=nothere\nFROM $A:1\n")
    with pytest.raises(InvalidArgument, match="build_args .*: expected a mapping"):
        build("FROM busybox\n", build_args=["A=1"])
    assert build("FROM busybox\nARG A\nENV B=$A\n", build_args={"A": 1}).config.env is not None
