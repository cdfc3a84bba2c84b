"""Images said step by step in Python: what comes of them, when they are built, and that a Dockerfile says the same."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from containerkit import BuildError, Chain, Engine, Healthcheck, Image, InvalidArgument, NotFound


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a file and a directory."""
    place = tmp_path / "here"
    (place / "src" / "inner").mkdir(parents=True)
    (place / "app.txt").write_text("app\n")
    (place / "src" / "one.txt").write_text("one\n")
    (place / "src" / "inner" / "two.txt").write_text("two\n")
    monkeypatch.chdir(place)
    return place


def outcomes(image: Image) -> list[str]:
    return [step.outcome for step in image.explain() if step.outcome != "config"]


def again(chain: Chain) -> Image:
    """The same from the Dockerfile."""
    return Image.from_dockerfile(
        chain.to_dockerfile(), context=chain.context, contexts=chain.contexts, engine=chain.engine, progress=False
    )


def env(image: Image) -> tuple[str, ...]:
    """Its variables, but for the PATH that it began with."""
    return tuple(one for one in image.config.env or () if not one.startswith("PATH="))


def count(engine: Engine) -> int:
    return len(Image.list(engine=engine))


def test_each_instruction_is_in_the_image(image: Image, here: Path) -> None:
    made = (
        image.with_env(GREETING="hello $USER", NUMBER=1)
        .with_workdir("/srv/app")
        .with_shell(["/bin/sh", "-euc"])
        .with_run('echo "$GREETING" > greeting')
        .with_run(["sh", "-c", "echo $0 > exec", "a b"])
        .with_copy("app.txt", "./", chown="web:staff", chmod=0o640)
        .with_label({"a b": 'c "d" $e'}, stage="test")
        .with_expose(80, "53/udp")
        .with_volume("/data", Path("/var/log"))
        .with_user("1000:1000")
        .with_stopsignal("SIGQUIT")
        .with_healthcheck("true", interval="5s", retries=2)
        .with_onbuild("RUN echo $HOME")
        .with_entrypoint(["cat"])
        .with_cmd(["greeting", "exec"])
    )
    assert isinstance(made, Image)
    assert made.call().stdout == "hello $USER\na b\n"
    config = made.config
    assert {"GREETING=hello $USER", "NUMBER=1"} <= set(config.env or ())
    assert (config.working_dir, config.user, config.stop_signal) == ("/srv/app", "1000:1000", "SIGQUIT")
    assert config.shell == ("/bin/sh", "-euc")
    assert made.labels == {"a b": 'c "d" $e', "stage": "test"}
    assert set(config.exposed_ports or ()) == {"80/tcp", "53/udp"}
    assert set(config.volumes or ()) == {"/data", "/var/log"}
    assert (config.entrypoint, config.cmd) == (("cat",), ("greeting", "exec"))
    assert config.on_build == ("RUN echo $HOME",)
    check = config.healthcheck
    assert check is not None and (check.test, check.interval, check.retries) == (("CMD-SHELL", "true"), 5 * 10**9, 2)
    assert made.call(["/srv/app/app.txt"], user="0").stdout == "app\n"
    assert made.call(["-c", "%U:%G %a", "app.txt"], entrypoint="stat", user="0").stdout == "web:staff 640\n"
    assert again(made).id == made.id


def test_nothing_is_built_before_it_is_asked_for(engine: Engine, image: Image) -> None:
    before = count(engine)
    chain = image.with_run("echo x > /x").with_run("false")
    repr(chain)
    chain._repr_html_()
    chain.to_dockerfile()
    assert count(engine) == before and not engine.store.buildsteps.list()
    with pytest.raises(BuildError):
        _ = chain.id


def test_a_chain_stays_as_it_is(image: Image) -> None:
    first = image.with_env(A="1")
    second, third = first.with_env(A="2"), first.with_env(B="3")
    assert [env(one) for one in (first, second, third)] == [("A=1",), ("A=2",), ("A=1", "B=3")]
    assert env(image) == ()


def test_what_is_built_of_the_beginning_is_there_for_the_rest(image: Image) -> None:
    first = image.with_run("echo a > /a")
    assert outcomes(first) == ["miss"]
    assert outcomes(first.with_run("echo b > /b")) == ["hit", "miss"]
    assert outcomes(image.with_run("echo a > /a").with_run("echo b > /b")) == ["hit", "hit"]


def test_several_threads_ask_for_one_build(image: Image) -> None:
    chain = image.with_run("date +%N > /when; sleep 0.3")
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: chain.id, range(4)))) == 1
    assert outcomes(chain) == ["miss"]


def test_equal_chains_are_equal(image: Image) -> None:
    one, other = (image.with_run("echo a > /a").with_cmd("cat /a") for _ in range(2))
    assert one == other and hash(one) == hash(other)
    assert one != image.with_run("echo a > /a")
    assert one == Image.get(one.id, engine=image.engine)


def test_build_gives_it_names_and_build_again_carries_nothing_out(engine: Engine, image: Image) -> None:
    chain = image.with_run("date +%N > /when")
    made = chain.build(tag=["app:1", "app:2"], progress=False)
    assert made.tags == chain.tags == ("app:1", "app:2")
    assert Image.get("app:1", engine=engine) == chain
    assert outcomes(chain.build()) == ["hit"]
    assert outcomes(chain.build(no_cache=True)) == ["miss"]
    # What was built last is what it is.
    assert chain.id != made.id


def test_a_chain_whose_image_was_removed_is_built_again(image: Image) -> None:
    chain = image.with_run("echo a > /a").with_cmd("cat /a")
    before = chain.id
    chain.remove()
    assert chain.call().stdout == "a\n"
    assert chain.id == before


def test_a_chain_is_taken_wherever_an_image_is(engine: Engine, image: Image, tmp_path: Path) -> None:
    chain = image.with_copy({"x": "x\n"}, "/")
    assert engine.call(chain, "cat /x").stdout == "x\n"
    assert [change.path for change in image.diff(chain)] == ["/x"]
    chain.tag("app:3").save(tmp_path / "app.tar")
    with chain.run("sleep 100") as container:
        assert container.image == chain


def test_commands_of_several_lines_are_one_script(image: Image) -> None:
    script = (
        "set -e\nfor i in 1 2; do\n  echo \"line $i\" >> /out  # <<EOF 'x'\ndone\nEOF=1\ncat <<E >> /out\n$HOME\nE\n"
    )
    chain = image.with_run(script).with_cmd(["cat", "/out"])
    assert chain.call().stdout == "line 1\nline 2\n/root\n"
    assert again(chain).id == chain.id


HARD = ["$HOME", '"', "'", "\\", "a  b", " a ", "${x:-y}", "#x", "`ls`", "é☃", "[1]", "--x", "<<EOF", "x\\", "a\tb"]


def test_values_are_what_they_are_in_the_dockerfile_too(image: Image) -> None:
    chain = image.with_env({f"V{number}": value for number, value in enumerate(HARD)})
    for value in HARD:
        chain = chain.with_label({value: value}).with_run(["echo", value]).with_volume(f"/{value}")
    chain = chain.with_workdir(f"/{HARD[4]}$x'\"\\").with_cmd(HARD)
    assert env(chain) == tuple(f"V{number}={value}" for number, value in enumerate(HARD))
    assert chain.labels == {value: value for value in HARD}
    assert chain.config.cmd == tuple(HARD)
    assert set(chain.config.volumes or ()) == {f"/{value}" for value in HARD}
    assert again(chain).id == chain.id


# -- files -----------------------------------------------------------------------------------------------------------


def test_paths_are_those_of_the_current_directory_when_they_are_said(
    image: Image, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = image.with_copy("app.txt", "/a").with_copy(["src", here / "app.txt"], "/all/").with_cmd("cat /a; ls /all")
    assert "COPY app.txt /a\nCOPY src app.txt /all/\n" in chain.to_dockerfile()
    assert chain.context == str(here) and chain.contexts.keys() == {"busybox"}
    monkeypatch.chdir("/")
    assert chain.call().stdout == "app\napp.txt\ninner\none.txt\n"
    assert again(chain).id == chain.id


def test_files_from_several_directories(image: Image, here: Path, tmp_path: Path) -> None:
    for name in ("project", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(name)
    chain = (
        image.with_copy("app.txt", "/")
        .with_copy(tmp_path / "project", "/project")
        .with_copy("../other/name", "/other")
        .with_cmd("cat /app.txt /project/name /other")
    )
    assert chain.call().stdout == "app\nprojectother"
    assert again(chain).id == chain.id
    assert len(chain.contexts) == 3


def test_wildcards_of_text_and_none_of_paths(image: Image, here: Path) -> None:
    (here / "a*").write_text("star\n")
    (here / "$b '[x]").write_text("odd\n")
    assert image.with_copy("a*", "/d/").call("ls /d").stdout == "a*\napp.txt\n"
    assert image.with_copy(Path("a*"), "/d/").call("ls /d").stdout == "a*\n"
    odd = image.with_copy(here / "$b '[x]", "/$d '/")
    assert odd.call(["cat", "/$d '/$b '[x]"]).stdout == "odd\n"
    assert again(odd).id == odd.id


def test_a_changed_file_is_another_image(image: Image, here: Path) -> None:
    first = image.with_copy("app.txt", "/")
    id = first.id
    (here / "app.txt").write_text("changed\n")
    second = image.with_copy("app.txt", "/")
    assert second.explain()[0].because == ("file app.txt changed",)
    # What was built is what it was.
    assert first.id == id != second.id


def test_what_is_left_out(image: Image, here: Path) -> None:
    (here / ".dockerignore").write_text("src/inner\n")
    assert image.with_copy("src", "/d").call("ls /d").stdout == "one.txt\n"
    assert image.with_copy(".", "/d", exclude=["*.txt", ".*"]).call("ls -A /d").stdout == "src\n"
    assert image.with_copy("src/one.txt", "/d/", parents=True).call("find /d -type f").stdout == "/d/src/one.txt\n"


@pytest.mark.parametrize(
    "contents",
    [
        {"a.txt": "a\n", "b": "$HOME 'x'\n"},
        {"no-end": "x", "empty": "", "bytes": b"\0\xff", "in/a/directory": "y\n"},
        {"crlf": "a\r\nb\r\n", "EOF": "EOF\n"},
    ],
)
def test_contents_become_files(image: Image, contents: dict[str, str | bytes]) -> None:
    chain = image.with_copy(contents, "/d", chmod=0o600)
    for name, content in contents.items():
        data = content.encode() if isinstance(content, str) else content
        assert chain.call(["cat", f"/d/{name}"]).stdout_bytes == data
    assert chain.call(f"stat -c %a /d/{next(iter(contents))}").stdout == "600\n"
    assert again(chain).id == chain.id


def test_short_text_is_written_into_the_dockerfile(image: Image) -> None:
    chain = image.with_copy({"a.ini": "x = $1\n"}, "/etc/a/")
    assert chain.to_dockerfile() == 'FROM busybox\nCOPY <<"a.ini" /etc/a/\nx = $1\na.ini\n'


def test_files_of_another_image(engine: Engine, image: Image) -> None:
    other = image.with_run("echo other > /o").build(tag="other")
    chain = image.with_copy("/o", "/o", from_=other)
    assert "COPY --from=other /o /o\n" in chain.to_dockerfile()
    assert chain.call("cat /o").stdout == "other\n"
    # It is that image, whatever its name means meanwhile.
    image.tag("other")
    assert outcomes(image.with_copy("/o", "/o", from_=other)) == ["hit"]
    with pytest.raises(BuildError, match="/o"):
        image.with_copy("/o", "/o", from_="other").build()


def test_files_of_another_chain_are_of_a_stage(image: Image, here: Path) -> None:
    tool = image.with_copy("app.txt", "/in").with_run("cat /in /in > /out")
    data = image.with_copy("/out", "/twice", from_=tool).with_run("cat /twice /twice > /four")
    chain = image.with_copy("/out", "/", from_=tool).with_copy("/four", "/", from_=data).with_cmd("cat /out /four")
    assert chain.to_dockerfile().count("FROM busybox AS stage-") == 2
    assert chain.call().stdout == "app\n" * 6
    assert again(chain).id == chain.id
    assert outcomes(tool) == ["hit"] * 2
    assert chain.explain().misses == 6
    # A longer chain says the same of its beginning.
    assert outcomes(chain.with_copy("app.txt", "/").with_copy("/in", "/", from_=tool)) == ["hit"] * 6 + ["miss"] * 2


def test_add_unpacks_and_takes_its_directory_as_the_context(image: Image, here: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "files.tar.gz", "w:gz") as archive:
        archive.add(here / "app.txt", "packed.txt")
    chain = image.with_add(tmp_path / "files.tar.gz", "/d/")
    assert chain.call("cat /d/packed.txt").stdout == "app\n"
    assert image.with_add(tmp_path / "files.tar.gz", "/d/", unpack=False).call("ls /d").stdout == "files.tar.gz\n"
    assert again(chain).id == chain.id
    with pytest.raises(InvalidArgument, match="ADD takes them from nowhere else"):
        image.with_copy("app.txt", "/").with_add(tmp_path / "files.tar.gz", "/")


def test_mounts_of_commands(image: Image, here: Path) -> None:
    wheels = image.with_run("mkdir /w; echo wheel > /w/a")
    chain = (
        image.with_run("echo $$ >> /c/n; cp /c/n /n", mounts=["type=cache,target=/c,id=fluent"])
        .with_run(
            "cat /w/a /s/one.txt > /all",
            mounts=[{"type": "bind", "from": wheels, "source": "/w", "target": "/w"}, "source=src,target=/s"],
        )
        .with_run("cp /run/secrets/s /s", mounts=[{"type": "secret", "id": "s", "required": True}], network="none")
    )
    assert chain.build(secrets={"s": b"hush"}).call("cat /all /s").stdout == "wheel\none\nhush"
    assert chain.call("cat /all").stdout == "wheel\none\n"


# -- the plan --------------------------------------------------------------------------------------------------------


def test_the_plan_says_what_the_cache_has(image: Image, here: Path) -> None:
    chain = image.with_run("echo a > /a").with_copy("app.txt", "/").with_env(A="1").with_run("cat /app.txt")
    assert [step.outcome for step in chain.plan()] == ["miss", "unknown", "config", "unknown"]
    chain.with_cmd("x").build()
    assert [step.outcome for step in chain.plan()] == ["hit", "hit", "config", "hit"]
    (here / "app.txt").write_text("new\n")
    plan = chain.plan()
    assert [step.outcome for step in plan] == ["hit", "miss", "config", "unknown"]
    assert plan[1].because == ("file app.txt changed",)
    shown = repr(chain)
    assert shown.splitlines()[0] == "Image, not built yet"
    assert shown.splitlines()[2].split() == ["FROM", "busybox"]
    assert [line.split()[0] for line in shown.splitlines()[3:]] == ["1", "2", "3", "4"]
    for said in (shown, chain._repr_html_()):
        assert "HIT" in said and "MISS" in said and "not known" in said and "file app.txt changed" in said


def test_a_linked_copy_is_known_whatever_is_below(image: Image, here: Path) -> None:
    image.with_copy("app.txt", "/", link=True).build()
    chain = image.with_run("echo x > /x").with_copy("app.txt", "/", link=True)
    assert [step.outcome for step in chain.plan()] == ["miss", "hit"]


def test_the_plan_of_stages(image: Image) -> None:
    tool = image.with_run("echo a > /a")
    chain = image.with_run("echo b > /b").with_copy("/a", "/", from_=tool)
    assert [step.outcome for step in chain.plan()] == ["miss", "miss", "unknown"]
    tool.build()
    image.with_run("echo b > /b").build()
    assert [step.outcome for step in chain.plan()] == ["hit", "hit", "miss"]
    assert "STAGE" in repr(chain).splitlines()[1]


def test_the_plan_after_the_build_is_how_it_went(image: Image) -> None:
    chain = image.with_run("echo a > /a")
    chain.build()
    assert repr(chain).splitlines()[0] == f"Image(sha256:{chain.short_id})"
    assert "MISS" in repr(chain) and "not built before" in repr(chain)


def test_a_plan_that_cannot_be_is_shown_with_the_reason(image: Image, here: Path) -> None:
    assert "FAILED" in repr(image.with_copy("absent", "/")) and "absent" in repr(image.with_copy("absent", "/"))
    gone = image.with_add("http://127.0.0.1:9/x", "/")
    assert [step.outcome for step in gone.plan()] == ["unknown"]
    # Nobody is asked for an image that is not here.
    afar = image.with_copy("/x", "/", from_="127.0.0.1:9/absent").with_run("x")
    assert [step.outcome for step in afar.plan()] == ["unknown", "unknown"]


def test_the_plan_on_an_image_that_was_removed(image: Image) -> None:
    chain = image.with_run("echo a > /a").with_env(A="1")
    image.remove()
    assert [step.outcome for step in chain.plan()] == ["unknown", "config"]
    with pytest.raises(NotFound, match=image.short_id):
        chain.build()


# -- errors ----------------------------------------------------------------------------------------------------------


def test_a_healthcheck_in_all_its_forms(image: Image) -> None:
    made = image.with_healthcheck(["wget", "-q", "a b"], start_period="1m30s", timeout=1.5)
    check = made.config.healthcheck
    assert check is not None and check.test == ("CMD", "wget", "-q", "a b")
    assert (check.start_period, check.timeout) == (90 * 10**9, 15 * 10**8)
    check = image.with_healthcheck(Healthcheck("true", retries=4), interval=7).config.healthcheck
    assert check is not None and (check.interval, check.retries) == (7 * 10**9, 4)
    check = made.with_healthcheck(None).config.healthcheck
    assert check is not None and check.test == ("NONE",)


def test_an_error_names_the_step_and_the_call(image: Image) -> None:
    chain = image.with_env(A="1").with_run("echo working; exit 3")
    with pytest.raises(
        BuildError, match=r"build: step 2 \(with_run\): RUN echo working; exit 3: exit code 3"
    ) as caught:
        chain.run()
    assert (caught.value.exit_code, caught.value.log) == (3, "working")
    assert caught.value.image is not None and env(caught.value.image) == ("A=1",)


def test_a_file_that_is_not_there(image: Image, here: Path) -> None:
    with pytest.raises(BuildError, match=r"step 1 \(with_copy\): COPY absent /: .*absent"):
        image.with_copy("absent", "/").build()


def test_what_cannot_be_said_is_refused_at_the_call(image: Image) -> None:
    calls: list[Callable[[], Chain]] = [
        lambda: image.with_env(A="a\nb"),
        lambda: image.with_env({"a=b": "c"}),
        lambda: image.with_env(),
        lambda: image.with_run(""),
        lambda: image.with_run([]),
        lambda: image.with_run("a\0b"),
        lambda: image.with_run("x", mounts=["type=caches,target=/c"]),
        lambda: image.with_run("x", network="bridge0"),
        lambda: image.with_cmd("a\nb"),
        lambda: image.with_copy([], "/"),
        lambda: image.with_copy({}, "/"),
        lambda: image.with_copy({"a": "a"}, "/", from_=image),
        lambda: image.with_copy("a", "/", from_=7),  # type: ignore[arg-type]  # that is what is tried
        lambda: image.with_copy(["a", "b"], "/c"),
        lambda: image.with_expose("http"),
        lambda: image.with_stopsignal("FOO"),
        lambda: image.with_healthcheck("true", intervall=1),
        lambda: image.with_onbuild("FROM x"),
        lambda: image.with_volume(),
        lambda: image.with_shell([]),
        lambda: image.with_workdir(""),
    ]
    for wrong in calls:
        with pytest.raises(InvalidArgument):
            wrong()
    with pytest.raises(NotFound):
        Image(image.engine, "sha256:" + "0" * 64).with_env(A="1")


# -- Dockerfiles of images that are there ----------------------------------------------------------------------------


def test_the_dockerfile_of_an_image_that_was_built(image: Image, here: Path) -> None:
    chain = (
        image.with_env(A="x  y", B="$1")
        .with_workdir("/srv")
        .with_run("echo $A > out")
        .with_run("echo 1\necho 2\n")
        .with_copy("app.txt", "/")
        .with_user("web")
        .with_label(l="a b")
        .with_expose(80)
        .with_healthcheck("true", interval=5)
        .with_onbuild("RUN x")
        .with_entrypoint(["cat"])
        .with_cmd(["a b"])
    )
    text = chain.build(tag="app").to_dockerfile()
    assert text.splitlines()[:2] == ["# app:latest, from its history and its config", "FROM busybox:latest"]
    assert "# COPY app.txt /\n" in text
    found = Image.from_dockerfile(text, engine=image.engine, progress=False)
    assert found.config == chain.config
    assert outcomes(found)[:3] == ["hit"] * 3


def test_the_dockerfile_of_an_image_that_was_imported(image: Image) -> None:
    lines = image.to_dockerfile().splitlines()
    assert lines[0] == "# busybox:latest, from its history and its config"
    assert lines[1] == "FROM scratch" and lines[2].startswith("# ")
    made = Image.from_dockerfile(image.to_dockerfile(), engine=image.engine, progress=False)
    # What begins with nothing begins in the root.
    assert made.config == replace(image.config, working_dir="/")
