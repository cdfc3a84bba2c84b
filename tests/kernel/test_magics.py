"""Cell magics, in an interactive shell with a real engine: what they build, show, leave behind, and how they fail."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

import containerkit as ck
from containerkit import BuildError, Engine, Image
from containerkit.notebook import runoptions
from containerkit.notebook.magicline import Parser
from containerkit.options import RunOptions

matplotlib.use("agg")


class Cell:
    """What a cell left: its output, and the values that it has shown."""

    def __init__(self, shell: InteractiveShell, code: str) -> None:
        with capture_output() as captured:
            self.error = shell.run_cell(code).error_in_exec  # type: ignore[no-untyped-call]  # IPython has no types
        self.text: str = captured.stdout + captured.stderr
        self.shown: list[dict[str, Any]] = [output.data for output in captured.outputs]


Run = Callable[[str], Cell]


@pytest.fixture
def shell(engine: Engine, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """A shell of the test's own, with the magics; its default engine is the test's."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    ck.set_default_engine(engine)
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    assert Cell(shell, "%load_ext containerkit").error is None
    yield shell
    InteractiveShell.clear_instance()
    ck.set_default_engine(None)


@pytest.fixture
def run(shell: InteractiveShell) -> Run:
    return lambda code: Cell(shell, code)


def test_a_cell_is_built_and_the_report_is_shown_without_what_changes(run: Run, shell: InteractiveShell) -> None:
    texts = []
    for _ in range(2):
        cell = run('%%dockerfile app:1\nFROM busybox AS base\nRUN echo hello > /x\nCMD ["cat", "/x"]\n')
        assert cell.error is None
        (shown,) = cell.shown
        texts.append(shown["text/plain"])
        assert "<th" in shown["text/html"] and "second" not in shown["text/html"]
    assert [line.split() for line in texts[0].splitlines()] == [
        ["STAGE", "STEP", "INSTRUCTION", "CACHE", "BECAUSE"],
        ["base", "1", "RUN", "echo", "hello", ">", "/x", "MISS", "not", "built", "before"],
        ["base", "2", "CMD", '["cat",', '"/x"]'],
    ]
    assert re.search(r"RUN echo hello > /x +HIT$", texts[1], re.M)
    image = shell.user_ns["_image"]
    assert image.tags == ("app:1",) and image.call().stdout == "hello\n"


def test_options_are_those_of_a_build(run: Run, shell: InteractiveShell, tmp_path: Path) -> None:
    (tmp_path / "a b").write_text("from a directory")
    shell.user_ns.update(page="<h1>", raw=b"\0\1", version="7")
    run(
        "%%dockerfile --build-arg V={version} --build-arg 'W=a b' --target one --out mine "
        "--file-var index.html=page --file-var=x/raw=raw\n"
        "FROM busybox AS one\nARG V W\nENV V=$V W=$W\nCOPY . /srv/\nFROM one\nRUN false\n"
    )
    assert "_image" not in shell.user_ns
    mine = shell.user_ns["mine"]
    assert mine.tags == () and {"V=7", "W=a b"} <= set(mine.config.env or ())
    assert mine.call("cat /srv/index.html /srv/x/raw").stdout == "<h1>\0\1"
    text = 'FROM busybox\nCOPY ["a b", "/c"]\nRUN true\n'
    for option, hits in (("", 0), ("", 2), ("--no-cache", 0)):
        cell = run(f"%%dockerfile {option} --context {tmp_path}\n{text}")
        assert cell.shown[0]["text/plain"].count("HIT") == hits
    assert shell.user_ns["_image"].call("cat /c").stdout == "from a directory"


def test_a_step_that_fails_is_an_error_without_a_traceback(run: Run, shell: InteractiveShell) -> None:
    cell = run("%%dockerfile app\nFROM busybox\nRUN echo one > /one\nRUN echo broken >&2; exit 3\n")
    assert isinstance(cell.error, BuildError) and not cell.shown and "_image" not in shell.user_ns
    said = re.sub(r"\x1b\[\d*m", "", cell.text)
    assert said.splitlines() == [
        "BuildError: build: Dockerfile:3: RUN echo broken >&2; exit 3: exit code 3",
        "       1 | FROM busybox",
        "       2 | RUN echo one > /one",
        ">>>    3 | RUN echo broken >&2; exit 3",
        "last log lines:",
        "broken",
        "(import sys; sys.last_value.image is what there was before this step)",
    ]
    assert run("import sys; print(sys.last_value.image.call('cat /one').stdout)").text.strip() == "one"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FROM busybox\nRUNN x\n", "did you mean RUN?"), ("FROM nothere:1\n", "NotFound.*: image nothere:1"),
        ("FROM busybox\nCOPY absent /\n", "absent"), ("", "FROM"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_said_without_a_traceback(run: Run, text: str, words: str) -> None:
    cell = run(f"%%dockerfile\n{text or chr(10)}")
    assert isinstance(cell.error, ck.ContainerkitError)
    assert re.search(words, cell.text) and "Traceback" not in cell.text and ".py" not in cell.text


def test_a_failure_that_is_wanted_lets_the_notebook_go_on(run: Run, shell: InteractiveShell) -> None:
    cell = run(
        "%%dockerfile --no-raise-error\nFROM busybox\nRUN echo <one> && touch /x\nRUN exit 3\n".replace("<one>", "1")
    )
    assert cell.error is None and ">>>    3 | RUN exit 3" in cell.shown[0]["text/plain"]
    assert "&gt;&gt;&gt;    3 | RUN exit 3" in cell.shown[0]["text/html"]
    assert shell.user_ns["_image"].call("ls /x").stdout == "/x\n"
    run("%%dockerfile --no-raise-error\nFROM nothere:1\n")
    assert shell.user_ns["_image"] is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a b", "unrecognized arguments: b"), ("--build-arg V", "--build-arg V: expected NAME=VALUE"),
        ("--file-var =x", "--file-var =x: expected NAME=VALUE"),
        ("--file-var a=absent", "--file-var: absent: expected the name of a variable with text or bytes in it"),
        ("--context /tmp --file-var a=ck", "--context and --file-var: one of them"), ("'a", "no closing quotation"),
        ("--tar x", "unrecognized arguments: --tar"),
    ],
)  # fmt: skip
def test_a_line_that_is_not_understood_is_a_usage_error(run: Run, line: str, words: str) -> None:
    cell = run(f"%%dockerfile {line}\nFROM busybox\n")
    assert words in cell.text and "UsageError: %%dockerfile: " in cell.text and not cell.shown


def test_the_magic_explains_itself(shell: InteractiveShell) -> None:
    found = shell.object_inspect("%%dockerfile")  # type: ignore[no-untyped-call]  # IPython has no types
    assert "--file-var NAME=VARIABLE" in str(found["docstring"])


def test_loading_it_twice_is_fine(run: Run) -> None:
    for code in ("%load_ext containerkit", "%reload_ext containerkit"):
        assert run(code).error is None
    assert run("%%dockerfile\nFROM busybox\n").error is None


# -- %%container -------------------------------------------------------------------------------------------------------


def test_a_cell_is_a_script_in_a_container(run: Run, shell: InteractiveShell, engine: Engine) -> None:
    line = '%%container busybox -m 32m --env "A=b c" -v kept:/kept --out mine'
    cell = run(f'{line}\necho "$A" | tee /kept/x\necho no >&2\n')
    assert cell.error is None and cell.text == "b c\nno\n"
    assert cell.shown[0]["text/plain"] == (
        ">>> mine = ck.call('busybox', ['-c', cell], entrypoint='sh', memory='32m', env=['A=b c'], "
        "volumes=['kept:/kept'])"
    )
    assert "&gt;&gt;&gt; mine" in cell.shown[0]["text/html"]
    assert shell.user_ns["mine"].stdout == "b c\n" and "_result" not in shell.user_ns and not engine.containers
    assert (Path(engine.volumes["kept"].path) / "x").read_text() == "b c\n"


def test_a_script_that_fails_is_an_error_without_a_traceback(run: Run, shell: InteractiveShell) -> None:
    cell = run("%%container busybox\necho before\nexit 3\n")
    assert isinstance(cell.error, ck.ProcessFailed) and cell.error.result.exit_code == 3
    assert "before" in cell.text and "%%container busybox: exit code 3" in cell.text and "Traceback" not in cell.text
    assert shell.user_ns["_result"].exit_code == 3
    assert run("%%container busybox --no-raise-error --quiet\necho x; exit 4\n").text == ""
    assert shell.user_ns["_result"].exit_code == 4
    cell = run("%%container busybox --timeout 1.5\necho so far\nsleep 60\n")
    assert isinstance(cell.error, ck.Timeout) and "so far" in cell.text and "Traceback" not in cell.text
    assert shell.user_ns["_result"].stdout == "so far\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "the following arguments are required: image"), ("busybox --memry 1", "unrecognized arguments: --memry 1"),
        ("busybox --cpus many", "argument --cpus: invalid float value: 'many'"),
        ("busybox --ulimit nofile", "--ulimits nofile: expected NAME=VALUE"),
    ],
)  # fmt: skip
def test_a_container_s_line_that_is_not_understood_is_a_usage_error(run: Run, line: str, words: str) -> None:
    cell = run(f"%%container {line}\ntrue\n")
    assert f"UsageError: %%container: {words}" in cell.text and not cell.shown


def test_every_option_of_run_is_one_of_the_line() -> None:
    parser = Parser("test", "")
    runoptions.add(parser)
    line = (
        "--cap-add CHOWN --cap-add KILL --ulimit nofile=9:10 --ulimit core=0 --sysctl net.a=1 --read-only --cpus 1.5 "
        "--network one --dns 1.1.1.1 --tmpfs /run:size=1m --device-read-bps /dev/sda:1m --shm-size 65536 -p 80:8080 "
        "--stop-timeout 1.5 --restart always --label a=b -e A=1 --pids-limit 9 --healthcheck true -h name -P --rm"
    )
    assert runoptions.given(parser.read(line)) == {
        "cap_add": ["CHOWN", "KILL"], "ulimits": {"nofile": (9, 10), "core": 0}, "sysctls": {"net.a": "1"},
        "read_only": True, "cpus": 1.5, "network": "one", "dns": ["1.1.1.1"], "tmpfs": {"/run": "size=1m"},
        "device_read_bps": {"/dev/sda": "1m"}, "shm_size": 65536, "ports": ["80:8080"], "stop_timeout": 1.5,
        "restart": "always", "labels": {"a": "b"}, "env": ["A=1"], "pids_limit": 9, "healthcheck": "true",
        "hostname": "name", "publish_all": True, "remove": True,
    }  # fmt: skip
    found = {action.dest for action in parser._actions}
    assert found == set(RunOptions.__annotations__)
    assert runoptions.given(parser.read("--network a --network b --tmpfs /x")) == {
        "network": ["a", "b"], "tmpfs": ["/x"],
    }  # fmt: skip


# -- %ck ---------------------------------------------------------------------------------------------------------------


def test_commands_are_carried_out_and_show_their_python(run: Run, shell: InteractiveShell, engine: Engine) -> None:
    for line, python in [
        ("run --name web -m 32m busybox sleep 600", "ck.run('busybox', ['sleep', '600'], memory='32m', name='web')"),
        ("run --name app busybox sh -c 'echo one; echo two; sleep 600'",
         "ck.run('busybox', ['sh', '-c', 'echo one; echo two; sleep 600'], name='app')"),
        ("ps", "ck.containers.frame()"),
        ("exec web echo hello", "ck.containers['web'].exec(['echo', 'hello'])"),
        ("stats web", "ck.containers.stats('web')"),
        ("kill web --signal TERM", "ck.containers['web'].kill(signal='TERM')"),
        ("stop web app --timeout 0.1", "[ck.containers[name].stop(timeout=0.1) for name in ('web', 'app')]"),
        ("stop web --timeout 0", "ck.containers['web'].stop(timeout=0.0)"),
        ("start web", "ck.containers['web'].start()"),
        ("rm app", "ck.containers['app'].remove()"),
        ("rm web --force", "ck.containers['web'].remove(force=True)"),
        ("ps --all", "ck.containers.frame(all=True)"),
        ("images", "ck.images.frame()"), ("volumes", "ck.volumes.frame()"), ("networks", "ck.networks.frame()"),
    ]:  # fmt: skip
        cell = run(f"value = %ck {line}")
        assert cell.error is None, (line, cell.text)
        assert cell.shown[0]["text/plain"] == f">>> {python}"
        value = shell.user_ns["value"]
        if line == "ps":
            assert list(value["name"]) == ["app", "web"]
        if line.startswith("exec"):
            assert value.stdout == "hello\n"
        if line.startswith("stats"):
            assert value.loc["web", "memory_limit_bytes"] == 32 << 20
    assert not engine.containers and list(shell.user_ns["value"]["name"]) == ["bridge", "host", "none"]


def test_logs_are_printed(run: Run, engine: Engine) -> None:
    engine.run("busybox", ["sh", "-c", "echo one; echo two"], name="talker").wait()
    cell = run("%ck logs talker --tail 1")
    assert cell.text == "two\n"
    assert cell.shown[0]["text/plain"] == ">>> print(ck.containers['talker'].logs(tail=1), end='')"


def test_commands_that_fail_say_why(run: Run, engine: Engine) -> None:
    cell = run("%ck stop absent")
    assert isinstance(cell.error, ck.NotFound) and "absent" in cell.text and "Traceback" not in cell.text
    assert "UsageError: %ck: argument COMMAND: invalid choice: 'sto'" in run("%ck sto x").text
    assert "UsageError: %ck stop: the following arguments are required: CONTAINER" in run("%ck stop").text
    assert "%ck run" in run("%ck").text


def test_strange_names_stay_names(run: Run, engine: Engine) -> None:
    cell = run("""%ck rm "x'].remove() or print('oh')" """)
    assert isinstance(cell.error, ck.NotFound) and "oh\n" not in cell.text.splitlines()[:1]


# -- %%ck_profile ------------------------------------------------------------------------------------------------------


def test_a_cell_is_measured(run: Run, shell: InteractiveShell, engine: Engine) -> None:
    engine.run("busybox", "sleep 600", name="before")
    code = "import time\nweb = ck.run('busybox', 'sleep 600', name='web')\ntime.sleep(2)\nweb.name\n"
    run("import containerkit as ck")
    cell = run(f"%%ck_profile --interval 0.05 --out mine\n{code}")
    assert cell.error is None, cell.text
    python, table, figure = (shown["text/plain"] for shown in cell.shown[:3])
    assert python == ">>> with ck.record(interval=0.05) as mine: …"
    assert "CPU SECONDS" in table and "before" in table and "web" in table
    assert "Figure" in figure and cell.shown[0] != cell.shown[-1]
    assert [one.name for one in shell.user_ns["mine"]] == ["before", "web"] and shell.user_ns["_"] == "web"
    count = len(shell.user_ns["mine"]["web"])
    time.sleep(0.2)
    assert len(shell.user_ns["mine"]["web"]) == count > 3
    run("%%ck_profile web --no-plot\npass\n")
    assert [one.name for one in shell.user_ns["_recordings"]] == ["web"]


def test_an_error_in_a_measured_cell_is_the_cell_s(run: Run, engine: Engine) -> None:
    cell = run("%%ck_profile\nx = 1\nx / 0\n")
    assert isinstance(cell.error, ZeroDivisionError) and "x / 0" in cell.text
    assert "record containers" not in {thread.name for thread in threading.enumerate()}
    assert isinstance(run("%%ck_profile absent\npass\n").error, ck.NotFound)


# -- completion, help --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "some", "other"),
    [
        ("%ck st", {"start", "stop", "stats"}, "run"), ("%ck ", {"ps", "images"}, "web-1"),
        ("%ck stop w", {"web-1", "web-2"}, "db"), ("%ck stop web-1 w", {"web-1", "web-2"}, "db"),
        ("%ck stop --t", {"--timeout"}, "--force"), ("%ck rmi ", {"busybox", "team/app:1.2"}, "web-1"),
        ("%ck run --mem", {"--memory", "--memory-swap"}, "--name"), ("%%container bus", {"busybox"}, "web-1"),
        ("%%container --vol", {"--volume", "--volumes-from"}, "--name"), ("%%ck_profile d", {"db"}, "web-1"),
        ("%%dockerfile --bu", {"--build-arg"}, "--target"),
        ("%ck absent w", set(), "web-1"), ("%ck ps w", set(), "web-1"),
    ],
)  # fmt: skip
def test_the_line_is_completed(
    shell: InteractiveShell, engine: Engine, image: Image, line: str, some: set[str], other: str
) -> None:
    image.tag("team/app:1.2")
    for name in ("web-1", "web-2", "db"):
        engine.create("busybox", "true", name=name)
    _, found = shell.complete(None, line, len(line))
    assert some <= set(found) and other not in found


def test_a_tag_is_completed_after_its_colon(shell: InteractiveShell, image: Image) -> None:
    image.tag("team/app:1.2")
    line = "%%container team/app:1"
    begun, found = shell.complete(None, line, len(line))
    assert {line[: -len(begun)] + word for word in found} == {"%%container team/app:1.2"}


def test_each_magic_explains_itself(shell: InteractiveShell) -> None:
    for name, words in {
        "%%container": "--memory VALUE", "%ck": "%ck stop", "%%ck_profile": "--interval SECONDS",
    }.items():  # fmt: skip
        found = shell.object_inspect(name)  # type: ignore[no-untyped-call]  # IPython has no types
        assert words in str(found["docstring"])
