"""Options: what people write, what the machine gets, and what is refused."""

from __future__ import annotations

import inspect
import warnings

import pytest

import containerkit as ck
from containerkit import options
from containerkit.errors import InvalidArgument
from containerkit.options import Settings, readers, settings


@pytest.mark.parametrize(
    ("text", "count"),
    [(64, 64), ("64", 64), ("64b", 64), ("1k", 1024), ("64m", 64 << 20), ("64M", 64 << 20), ("64mb", 64 << 20),
     ("512KiB", 512 << 10), ("1.5g", 3 << 29), ("-1", -1)],
)  # fmt: skip
def test_sizes(text: int | str, count: int) -> None:
    assert options.size(text) == count


@pytest.mark.parametrize("text", ["", "m", "64x", "6 4m", "1e3", "--1", "64mm", "٦٤", "9" * 400])
def test_what_is_not_a_size(text: str) -> None:
    with pytest.raises(InvalidArgument, match="not a size"):
        options.size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [(2, 2.0), (0.5, 0.5), ("2s", 2.0), ("1m30s", 90.0), ("300ms", 0.3), ("1h2m", 3720.0)]
)
def test_durations(text: float | str, seconds: float) -> None:
    assert options.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["9999999999g", 2**63, 10**400])
def test_more_bytes_than_there_can_be(value: int | str) -> None:
    with pytest.raises(InvalidArgument, match="more bytes than there can be"):
        options.size(value)


@pytest.mark.parametrize(
    "text", ["", "soon", "1x", "1m 30s", -1, float("nan"), True, float("inf"), 10**400, "9999999999h", "9" * 400 + "s"]
)
def test_what_is_not_a_duration(text: float | str) -> None:
    with pytest.raises(InvalidArgument):
        options.duration(text)


def test_a_command_is_split_as_a_shell_splits() -> None:
    assert options.command("echo 'a b' $HOME") == ("echo", "a b", "$HOME")
    assert options.command(["echo", "a b"]) == ("echo", "a b")
    assert options.command(None) is None
    with pytest.raises(InvalidArgument, match="no closing quotation"):
        options.command("echo 'a")
    with pytest.raises(InvalidArgument, match="argument 3 is not a string"):
        options.command(["sleep", 3])  # type: ignore[list-item]  # what a person types


def test_settings_are_written_down_and_read_again() -> None:
    given = settings(
        "sh -c x",
        {"env": {"A": "1"}, "memory": "64m", "ulimits": {"nofile": 99}, "tmpfs": ["/run"], "cap_drop": ["ALL"]},
    )
    assert given.memory == 64 << 20 and given.ulimits == {"nofile": (99, 99)} and given.env == ("A=1",)
    assert Settings.read(given.written()) == given
    assert "memory_swap" not in given.written()


def test_a_string_that_was_meant_for_a_shell_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"^command 'ls \| wc': no shell runs: \| is an argument") as caught:
        assert settings("ls | wc", {}).command == ("ls", "|", "wc")
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert settings("sh -c 'ls | wc'", {}).command == ("sh", "-c", "ls | wc")
        assert settings(["echo", "|"], {}).command == ("echo", "|")


def test_limits_are_also_said_as_on_a_command_line() -> None:
    found = settings(None, {"cpus": "1.5", "pids_limit": "100", "ulimits": ["nofile=10:20", "core=0"]})
    assert (found.cpus, found.pids_limit, found.ulimits) == (1.5, 100, {"nofile": (10, 20), "core": (0, 0)})


def test_env_files(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "env"
    path.write_text("# a comment\n\nA=1\nB=two words\n")
    assert settings(None, {"env_file": path, "env": ["A=2"]}).env == ("A=1", "B=two words", "A=2")
    with pytest.raises(InvalidArgument, match="env_file"):
        settings(None, {"env_file": path.with_name("absent")})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"memry": "1g"}, "option memry: unknown (did you mean memory?)"),
        ({"memory": "1m"}, "memory '1m': the minimum is 6m"),
        ({"memory_swap": "1g"}, "memory_swap: is memory and swap together"),
        ({"memory": "64m", "memory_swap": "32m"}, "cannot be below it"),
        ({"memory": "64m", "memory_reservation": "1g"}, "cannot be above"),
        ({"cpus": 1, "cpu_quota": 1000}, "cpus: cannot be combined"),
        ({"cpus": -1}, "cpus -1"),
        ({"pids_limit": "many"}, "pids_limit 'many'"),
        ({"env": {"": "x"}}, "write NAME=value"),
        ({"env": ["A"]}, "write NAME=value"),
        ({"labels": ["a=b"]}, "labels"),
        ({"name": "-x"}, "name '-x'"),
        ({"name": "x"}, "name 'x'"),
        ({"user": "a b"}, "user 'a b'"),
        ({"hostname": "a b"}, "hostname 'a b'"),
        ({"tmpfs": ["run"]}, "must be an absolute path"),
        ({"ulimits": {"nofile": (1, 2, 3)}}, "expected a whole number or"),
        ({"remove": "yes"}, "remove 'yes': expected True or False"),
        ({"cap_add": "ALL"}, "cap_add 'ALL': expected a list, ['ALL']"),
        ({"env": "A=1"}, """env 'A=1': expected a mapping like {"A": "1"}, or a list like ["A=1"]"""),
        ({"env": {"A": None}}, "env A: None is no value; leave it out"),
        ({"memory": "512"}, """memory '512': the minimum is 6m (512 are bytes; write "512m")"""),
        ({"cpus": "many"}, "cpus 'many': expected a number of cores"),
        ({"ulimits": ["nofile"]}, "ulimits 'nofile': expected \"nofile=1024:2048\""),
        ({"restart": "on-failure:" + "9" * 5000}, "expected no, on-failure"),
        ({"restart": "on-failure:²"}, "expected no, on-failure"),
        ({"log_options": {"max_file": "9" * 5000}}, "expected a whole number from 1 to 1000"),
        ({"net_cls_classid": float("inf")}, "expected a number below"),
        ({"ulimits": {"nofile": 2**63}}, "expected a whole number or"),
        ({"cpuset_cpus": "٣"}, "cpuset_cpus"),
        ({"cpuset_cpus": "0-" + "9" * 5000}, "cpuset_cpus"),
        ({"stop_signal": "9" * 5000}, "unknown; see signal(7)"),
        ({"device_cgroup_rules": ["c ٣:1 r"]}, "write it as"),
        ({"tmpfs": {80: ""}}, "must be an absolute path"),
        ({"tmpfs": {"/a": 5}}, "expected options"),
        ({"env_file": "a\0b"}, "env_file"),
        ({"env_file": 5}, "env_file"),
    ],
)
def test_what_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        settings(None, given)
    assert words in str(caught.value)


def test_every_option_is_read_and_shown() -> None:
    names = set(options.RunOptions.__annotations__)
    assert names - {"replace", "env_file", "pull", "platform"} == set(readers.READERS)
    for function in (ck.run, ck.call, ck.Engine.create, ck.Container.create, ck.Image.run):
        assert names <= set(inspect.signature(function).parameters), function
        assert "cpuset_cpus" in (function.__doc__ or "")


def test_every_option_of_a_build_is_shown_and_explained_in_a_line() -> None:
    names = list(options.BuildOptions.__annotations__)
    for function in (ck.build, ck.Engine.build, ck.Image.build, ck.Image.from_dockerfile, ck.Chain.build):
        parameters = inspect.signature(function).parameters
        assert [*parameters][-len(names) :] == names, function
        assert (parameters["progress"].default, parameters["no_cache"].default, parameters["tag"].default) == (
            "auto", False, None,
        )  # fmt: skip
        for name in names:
            assert f"\n``{name}``: " in (function.__doc__ or "")
    assert {"context", "dockerfile", "contexts"} <= set(inspect.signature(ck.build).parameters)
    assert "dockerfile" not in inspect.signature(ck.Image.from_dockerfile).parameters


def test_options_of_build_steps_are_those_of_run() -> None:
    of_run = options.RunOptions.__annotations__
    for name, hint in options.StepOptions.__annotations__.items():
        assert of_run[name].__forward_arg__ == hint.__forward_arg__, name
