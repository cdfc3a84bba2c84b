"""What is set for all calls: files, variables, a mapping; and what is wrong in them, by its name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import containerkit
from containerkit import Engine, configuration
from containerkit.configuration import Configuration, Log
from containerkit.errors import ContainerkitError, InvalidArgument
from containerkit.options import LogOptions, settings
from containerkit.store.paths import Paths


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine and a home without any configuration."""
    for name in [name for name in os.environ if name.startswith(("CONTAINERKIT_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(configuration, "_SYSTEM", str(tmp_path / "etc/config.toml"))
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# -- files -----------------------------------------------------------------------------------------------------------


def test_without_a_file_everything_is_as_it_always_is() -> None:
    assert Configuration.load() == Configuration() == Configuration().updated({})


def test_everything_in_the_docstring_is_understood(home: Path) -> None:
    text = (configuration.__doc__ or "").partition("::\n")[2].partition("\nLists in")[0]
    write(home / "etc/config.toml", "\n".join(line[4:] for line in text.splitlines()))
    found = Configuration.load()
    assert (found.root, found.run, found.platform, found.bridge) == (
        "/var/lib/containerkit", "/run/containerkit", "linux/amd64", "ck0",
    )  # fmt: skip
    assert found.log == Log(10 << 20, 3)
    assert found.registries.insecure == ("registry.lan:5000", "10.0.0.0/8")
    assert found.registries.additional == ("registry.lan:5000",)
    assert found.registries.certs == ("/etc/containerkit/certs.d", "/etc/docker/certs.d")
    assert found.registries.mirrors == {"docker.io": ("https://mirror.lan",)}
    assert found.registries.realms == {"registry.lan:5000": ("tokens.example.com",)}


def test_a_person_s_file_wins_member_by_member(home: Path) -> None:
    write(
        home / "etc/config.toml",
        """
        root = "/system"
        bridge = "br-system"
        [log]
        max_size = "1m"
        max_file = 7
        [registries]
        insecure = ["system.lan"]
        additional = ["system.lan"]
        [registries.mirrors]
        "docker.io" = ["https://system.lan"]
        "quay.io" = ["https://system.lan"]
        """,
    )
    write(
        home / ".config/containerkit/config.toml",
        """
        root = "/mine"
        log.max_size = 131072
        registries.insecure = []
        registries.mirrors."docker.io" = ["https://mine.lan", "http://other.lan"]
        """,
    )
    found = Configuration.load()
    assert (found.root, found.bridge, found.log) == ("/mine", "br-system", Log(131_072, 7))
    assert found.registries.insecure == () and found.registries.additional == ("system.lan",)
    assert found.registries.mirrors == {
        "docker.io": ("https://mine.lan", "http://other.lan"), "quay.io": ("https://system.lan",),
    }  # fmt: skip
    assert found.registries.certs == Configuration().registries.certs


def test_where_the_files_are(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / "etc/config.toml", 'bridge = "system"')
    write(home / "xdg/containerkit/config.toml", 'run = "/xdg"')
    write(home / ".config/containerkit/config.toml", 'run = "/home"')
    assert (Configuration.load().run, Configuration.load().bridge) == ("/home", "system")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    assert (Configuration.load().run, Configuration.load().bridge) == ("/xdg", "system")
    # One file instead of the two.
    monkeypatch.setenv("CONTAINERKIT_CONFIG", str(write(home / "one.toml", 'run = "/one"')))
    assert (Configuration.load().run, Configuration.load().bridge) == ("/one", "")


def test_a_file_that_is_named_has_to_be_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINERKIT_CONFIG", str(home / "absent.toml"))
    with pytest.raises(ContainerkitError, match=f"^configuration {home}/absent.toml: no such file or directory"):
        Configuration.load()
    monkeypatch.setenv("CONTAINERKIT_CONFIG", str(home))
    with pytest.raises(ContainerkitError, match=f"^configuration {home}: is a directory"):
        Configuration.load()


@pytest.mark.parametrize(
    "data", [b"root =", b"root = 'x", b"[log", b"root = 'x'\nroot = 'y'", b"\xff", b"a = " + b"[" * 5000]
)
def test_a_damaged_file_is_named(home: Path, data: bytes) -> None:
    (home / "etc").mkdir()
    (home / "etc/config.toml").write_bytes(data)
    with pytest.raises(InvalidArgument, match=f"^configuration {home}/etc/config.toml: .") as raised:
        Configuration.load()
    assert len(str(raised.value)) < 300


def test_a_file_is_utf_8_whatever_the_locale_is(home: Path) -> None:
    (home / "etc").mkdir()
    (home / "etc/config.toml").write_bytes('root = "/tmp/Wärme"'.encode())
    script = "from containerkit.configuration import Configuration; print(ascii(Configuration.load().root))"
    environment = {
        "PYTHONPATH": str(Path(containerkit.__file__).parents[1]), "CONTAINERKIT_CONFIG": f"{home}/etc/config.toml",
        "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "'/tmp/W\\xe4rme'\n"


# -- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('rot = "x"', r"rot: unknown \(did you mean root\?\)"),
        ("[registries]\ninsecur = []", r"registries.insecur: unknown \(did you mean registries.insecure\?\)"),
        ("[log]\nsize = 1", r"log.size: unknown \(did you mean log.max_size\?\)"),
        (
            "zzz = 1",
            r"zzz: unknown \(known are root, run, platform, bridge, bridge_address, bridge_mtu, .*, log, registries\)",
        ),
        ("root = 1", "root: expected a text, found 1"),
        ("bridge = ['x']", "bridge: expected a text, found .'x'."),
        ("log = 5", "log: expected a table, found 5"),
        ("registries = 'x'", "registries: expected a table, found 'x'"),
        ("[[registries]]", "registries: expected a table, found .{}."),
        ("registries.insecure = 'x'", "registries.insecure: expected a list of texts, found 'x'"),
        ("registries.insecure = ['x', 5]", "registries.insecure: expected a list of texts"),
        ("registries.mirrors = ['x']", "registries.mirrors: expected a table"),
        ("registries.mirrors.'docker.io' = 'x'", "registries.mirrors.docker.io: expected a list of texts, found 'x'"),
        ("registries.realms.r = {}", "registries.realms.r: expected a list of texts"),
        ("log.max_size = 'big'", "log max_size 'big': not a size"),
        ("log.max_size = true", "log max_size True: not a size"),
        ("log.max_size = 100", "log max_size 100: at least 65536 bytes"),
        ("log.max_size = -2", "log max_size -2: at least"),
        ("log.max_file = 0", "log max_file 0: expected a whole number from 1 to 1000"),
        ("log.max_file = 1001", "log max_file 1001: expected a whole number"),
        ("log.max_file = true", "log max_file True: expected a whole number"),
        ("log.max_file = 1.5", "log max_file 1.5: expected a whole number"),
        ("log.max_file = []", r"log max_file \[\]: expected a whole number"),
        ("platform = 'a/b/c/d'", "platform 'a/b/c/d': write os/architecture"),
        ("platform = 7", "platform: expected a text, found 7"),
        ("bridge_mtu = '²'", "bridge_mtu: expected a text with a number of bytes"),
        (f"bridge_mtu = '{'9' * 5000}'", "bridge_mtu: expected a text with a number of bytes"),
        ("build_cache_age = '9999999999h'", "build_cache_age '9999999999h': not a duration|cannot be negative"),
        (f"root = ['{'x' * 9000}']", "root: expected a text, found .'x{60,78}$"),
    ],
)
def test_what_cannot_be_right_is_named_with_its_file(home: Path, text: str, words: str) -> None:
    path = write(home / ".config/containerkit/config.toml", text)
    with pytest.raises(InvalidArgument, match=f"^configuration {path}: {words}"):
        Configuration.load()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rot": "x"}, r"^configuration: rot: unknown \(did you mean root\?\)$"),
        (
            {"registries": {"mirors": {}}},
            r"^configuration: registries.mirors: unknown \(did you mean registries.mirrors",
        ),
        ({5: "x"}, "^configuration: 5: unknown"),
        ("root", "^configuration: expected a table, found 'root'$"),
        ({"log": None}, "^configuration: log: expected a table, found None$"),
    ],
)
def test_what_is_wrong_in_an_engine_s_configuration_is_named(given: Any, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        Engine(configuration=given)


# -- variables -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "text", "given"),
    [
        ("ROOT", "/r", {"root": "/r"}),
        ("RUN", "/r", {"run": "/r"}),
        ("PLATFORM", "arm64", {"platform": "arm64"}),
        ("BRIDGE", "ck7", {"bridge": "ck7"}),
        ("LOG_MAX_SIZE", "1m", {"log": {"max_size": 1 << 20}}),
        ("LOG_MAX_SIZE", "-1", {"log": {"max_size": -1}}),
        ("LOG_MAX_FILE", "9", {"log": {"max_file": 9}}),
        ("INSECURE_REGISTRIES", "a.lan, 10.0.0.0/8,", {"registries": {"insecure": ["a.lan", "10.0.0.0/8"]}}),
        ("ADD_REGISTRIES", "a.lan:5000", {"registries": {"additional": ["a.lan:5000"]}}),
        ("CERTS", "/a,/b", {"registries": {"certs": ["/a", "/b"]}}),
        (
            "MIRRORS",
            "docker.io=https://a.lan/x?y=z, docker.io=http://b.lan,quay.io=https://c.lan",
            {"registries": {"mirrors": {"docker.io": ["https://a.lan/x?y=z", "http://b.lan"], "quay.io": ["https://c.lan"]}}},
        ),
    ],
)  # fmt: skip
def test_every_variable_sets_its_member(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, given: dict[str, Any]
) -> None:
    write(home / "etc/config.toml", 'root = "/file"\nlog.max_file = 2\nregistries.additional = ["file.lan"]')
    before = Configuration.load()
    monkeypatch.setenv(f"CONTAINERKIT_{variable}", text)
    assert Configuration.load() == before.updated(given) != before
    monkeypatch.setenv(f"CONTAINERKIT_{variable}", "")
    assert Configuration.load() == before


def test_every_variable_is_documented() -> None:
    assert all(f"CONTAINERKIT_{name}" in (configuration.__doc__ or "") for name in configuration._VARIABLES)


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("LOG_MAX_FILE", "many", "log max_file many: expected a whole number"),
        ("LOG_MAX_SIZE", "big", "log max_size 'big': not a size"),
        ("PLATFORM", "a/b/c/d", "platform 'a/b/c/d': write"),
        ("MIRRORS", "https://mirror.lan", "'https://mirror.lan': write registry=https://mirror"),
    ],
)
def test_what_is_wrong_in_a_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, words: str
) -> None:
    monkeypatch.setenv(f"CONTAINERKIT_{variable}", text)
    with pytest.raises(InvalidArgument, match=f"^configuration CONTAINERKIT_{variable}: {words}"):
        Configuration.load()


# -- places ----------------------------------------------------------------------------------------------------------


def test_an_engine_is_where_its_configuration_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINERKIT_ROOT", str(home / "variable"))
    write(home / "etc/config.toml", 'run = "/file"')
    assert Engine().paths == Paths(home / "variable", Path("/file"))
    # What is given wins, and what is given as a mapping replaces files and variables.
    assert Engine(home / "root").paths == Paths(home / "root", home / "root/run")
    assert Engine(home / "root", home / "run").paths == Paths(home / "root", home / "run")
    given = {"root": "/given", "run": "/given/run"}
    assert Engine(configuration=given).paths == Paths(Path("/given"), Path("/given/run"))
    assert Engine(configuration={}).paths.root == Paths.default(Configuration()).root != home / "variable"


def test_places_are_found_from_home_and_stay_when_the_directory_changes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    assert Engine(configuration={"root": "~/store", "run": "run"}).paths == Paths(home / "store", home / "run")


# -- log limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "given", "expected"),
    [
        ({}, None, LogOptions()),
        ({}, {"max_file": 5}, LogOptions(max_file=5)),
        ({"max_size": "1m"}, None, LogOptions(1 << 20, 3)),
        ({"max_size": "1m", "max_file": 9}, None, LogOptions(1 << 20, 9)),
        ({"max_size": "1m", "max_file": 9}, {"max_file": 5}, LogOptions(1 << 20, 5)),
        ({"max_size": "1m", "max_file": 9}, {"max-size": "2m"}, LogOptions(2 << 20, 9)),
        ({"max_size": "1m", "max_file": 9}, {}, LogOptions(1 << 20, 9)),
        ({"max_size": "1m", "max_file": 9}, LogOptions(), LogOptions()),  # all of it is said
        ({"max_size": "-1"}, None, LogOptions(-1, 3)),
    ],
)
def test_log_limits_are_the_configuration_s_where_nobody_says_another(
    log: dict[str, Any], given: Any, expected: LogOptions
) -> None:
    found = Configuration().updated({"log": log}).log.options(given)
    assert settings(None, {"log_options": found}).log_options == expected


def test_what_is_no_log_option_is_refused_as_ever() -> None:
    for wrong in ("x", ["x"], {"size": 1}):
        with pytest.raises(InvalidArgument, match="^log_options"):
            settings(None, {"log_options": Log(1 << 20, 2).options(wrong)})
