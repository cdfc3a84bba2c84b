"""Logins where docker and podman keep them: read, written, forgotten, and never shown."""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from containerkit.configuration import Registries
from containerkit.errors import ContainerkitError, InvalidArgument, RegistryError
from containerkit.registry import client, credentials
from containerkit.registry.credentials import Credentials, erase, find, store
from containerkit.registry.sessions import Session

SECRET = "correct horse: battery"
ADA = Credentials("ada", SECRET)


def pair(user: str = "ada", password: str = SECRET) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own: nobody's logins are read or changed."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(credentials, "_RUN", str(tmp_path / "run-containers"))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def docker(home: Path) -> Path:
    """Docker's file."""
    (home / ".docker").mkdir()
    return home / ".docker/config.json"


def write(path: Path, **data: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def read(path: Path) -> Any:
    return json.loads(path.read_text())


# -- reading ---------------------------------------------------------------------------------------------------------


def test_without_files_nobody_is_known() -> None:
    assert find("docker.io") is None and find("registry.lan", "a/b") is None and not erase("registry.lan")


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("registry.lan:5000", "registry.lan:5000"),
        ("https://registry.lan:5000", "registry.lan:5000"),
        ("https://registry.lan:5000/", "registry.lan:5000"),
        ("http://registry.lan/v1/", "registry.lan"),
        ("https://registry.lan/v2", "registry.lan"),
        ("registry.lan/v1/", "registry.lan"),
        ("[fd00::1]:5000", "[fd00::1]:5000"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("docker.io", "docker.io"),
        ("https://registry-1.docker.io/v2/", "docker.io"),
    ],
)
def test_every_key_that_docker_has_written_is_read(docker: Path, key: str, registry: str) -> None:
    write(docker, auths={"other.lan": {"auth": pair("eve")}, key: {"auth": pair()}})
    assert find(registry) == ADA and find("another.lan") is None


def test_tokens_that_docker_keeps_beside_its_login_are_no_login(docker: Path) -> None:
    key = "https://index.docker.io/v1/"
    write(docker, auths={key: {"auth": pair()}, key + "access-token": {"auth": pair("token")}})
    assert find("docker.io") == ADA


def test_the_plain_name_counts_where_there_are_several_keys(docker: Path) -> None:
    for auths in (
        {"registry.lan": {"auth": pair()}, "https://registry.lan/v1/": {"auth": pair("eve")}},
        {"https://registry.lan/v1/": {"auth": pair("eve")}, "registry.lan": {"auth": pair()}},
        {"registry.lan": {"auth": pair()}, "https://registry.lan": {}},
        {"registry.lan": {}, "https://registry.lan": {"auth": pair()}},
    ):
        write(docker, auths=auths)
        assert find("registry.lan") == ADA


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"auth": pair()}, ADA),
        ({"auth": pair()[:9] + "\n" + pair()[9:] + "\n"}, ADA),  # as base64(1) folds it
        ({"auth": pair("ada", "")}, Credentials("ada", "")),
        ({"auth": base64.b64encode(b"ada:pw\0\0").decode()}, Credentials("ada", "pw")),
        ({"username": "ada", "password": SECRET}, ADA),
        ({"username": "ada", "password": None}, Credentials("ada", "")),
        ({"auth": pair("<token>", ""), "identitytoken": "t"}, Credentials("<token>", "", "t")),
        ({"identitytoken": "t"}, Credentials("", "", "t")),
        ({}, None),
        ({"auth": ""}, None),
        ({"email": "x"}, None),
        ("nonsense", None),
        (None, None),
    ],
)
def test_forms_of_an_entry(docker: Path, entry: Any, expected: Credentials | None) -> None:
    write(docker, auths={"registry.lan": entry})
    assert find("registry.lan") == expected


def test_podman_s_logins_are_for_parts_of_a_registry_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "runtime"))
    known = {"quay.io": "all", "quay.io/team": "team", "quay.io/team/app": "app", "quay.io/team/v1": "v1"}
    auths = {key: {"auth": pair(user)} for key, user in known.items()}
    write(home / "runtime/containers/auth.json", auths=auths)
    users = {path: getattr(find("quay.io", path), "username", None) for path in
             ("", "other/x", "team/x", "team", "team/app", "team/app/x", "team/app2", "team/v1")}  # fmt: skip
    assert users == {
        "": "all", "other/x": "all", "team/x": "team", "team": "team", "team/app": "app", "team/app/x": "app",
        "team/app2": "team", "team/v1": "v1",
    }  # fmt: skip


def test_files_are_asked_in_order(home: Path, docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [
        write(home / ".config/containers/auth.json", auths={"r.lan": {"auth": pair("config")}}),
        write(Path(credentials._RUN, str(os.getuid()), "auth.json"), auths={"r.lan": {"auth": pair("run")}}),
        write(docker, auths={"r.lan": {"auth": pair("docker")}}),
        write(home / "named.json", auths={"r.lan": {"auth": pair("named")}}),
    ]
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(places[-1]))
    for expected in ("named", "docker", "run", "config"):
        found = find("r.lan")
        assert found is not None and found.username == expected
        write(places.pop(), auths={"else.lan": {"auth": pair()}})
    assert find("r.lan") is None
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "other"))
    write(home / "other/config.json", auths={"r.lan": {"auth": pair("other")}})
    assert getattr(find("r.lan"), "username", None) == "other"


# -- writing ---------------------------------------------------------------------------------------------------------


def test_a_login_is_written_where_docker_reads_it(home: Path) -> None:
    file = home / ".docker/config.json"
    assert store("registry.lan:5000", ADA) == str(file)
    assert read(file) == {"auths": {"registry.lan:5000": {"auth": pair()}}}
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700
    store("docker.io", ADA)
    assert read(file)["auths"]["https://index.docker.io/v1/"] == {"auth": pair()}
    assert find("registry.lan:5000") == find("docker.io") == ADA
    assert os.listdir(file.parent) == ["config.json"]


def test_everything_else_in_the_file_stays(docker: Path) -> None:
    other = {"other.lan": {"auth": "eDp5", "email": "e"}}
    before = {"HttpHeaders": {"a": "b"}, "auths": other, "proxies": {"default": {}}, "ü": ["\ud800"]}
    write(docker, **{**before, "auths": {**other, "https://registry.lan/v1/": {"auth": pair("old")}}})
    docker.chmod(0o644)
    store("registry.lan", ADA)
    assert read(docker) == {**before, "auths": {**other, "registry.lan": {"auth": pair()}}}
    assert list(read(docker)) == list(before)
    assert docker.stat().st_mode & 0o777 == 0o600
    assert erase("registry.lan") and not erase("registry.lan")
    assert read(docker) == before


def test_a_file_that_the_environment_names_is_written(
    home: Path, docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(home / "deep/er/auth.json"))
    assert store("registry.lan", ADA) == str(home / "deep/er/auth.json")
    assert find("registry.lan") == ADA and not docker.exists()
    monkeypatch.delenv("REGISTRY_AUTH_FILE")
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "other"))
    assert store("registry.lan", ADA) == str(home / "other/config.json")


def test_a_link_stays_a_link(home: Path, docker: Path) -> None:
    real = write(home / "dotfiles/docker.json", detachKeys="x")
    docker.symlink_to("../dotfiles/docker.json")
    store("registry.lan", ADA)
    assert docker.is_symlink() and read(real) == {"detachKeys": "x", "auths": {"registry.lan": {"auth": pair()}}}
    real.unlink()
    store("registry.lan", ADA)  # one that points to nothing yet
    assert docker.is_symlink() and real.exists()


def test_a_file_is_written_whole_or_not_at_all(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = write(docker, auths={"other.lan": {"auth": "eDp5"}}).read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("fsync", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(ContainerkitError, match=rf"^credentials {docker}: no space left on device"):
                store("registry.lan", ADA)
        assert docker.read_bytes() == before and os.listdir(docker.parent) == ["config.json"]


def test_logins_side_by_side_are_all_kept(docker: Path) -> None:
    threads = [threading.Thread(target=store, args=(f"r{number}.lan", ADA)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(docker)["auths"]) == 12


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it changes another user's file")
def test_root_leaves_a_file_to_its_owner(docker: Path) -> None:
    write(docker)
    os.chown(docker, 1234, 5678)
    store("registry.lan", ADA)
    assert (docker.stat().st_uid, docker.stat().st_gid) == (1234, 5678)


def test_a_logout_is_one_everywhere(home: Path, docker: Path) -> None:
    write(docker, auths={"https://registry.lan/v1/": {"auth": pair()}, "registry.lan/team": {"auth": pair()}})
    write(home / ".config/containers/auth.json", auths={"registry.lan": {"auth": pair()}})
    assert erase("registry.lan") and find("registry.lan") is None
    assert find("registry.lan", "team/app") == ADA  # a login of its own


# -- helpers ---------------------------------------------------------------------------------------------------------

HELPER = """#!/bin/sh
cd {place} || exit 2
read -r text
case "$1" in
store) server=$(printf %s "$text" | sed 's/.*"ServerURL": *"\\([^"]*\\)".*/\\1/');;
*) server=$text;;
esac
echo "$1 $server" >>log
file=$(printf %s "$server" | tr / _)
case "$1" in
get) [ -e "$file" ] || {{ echo "credentials not found in native keychain"; exit 1; }}; cat "$file";;
store) printf %s "$text" >"$file";;
erase) rm "$file";;
esac
"""


@pytest.fixture
def keychain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where ``docker-credential-fake`` keeps what it is given; its ``log`` says what it was asked."""
    (tmp_path / "keychain").mkdir()
    program(tmp_path, monkeypatch, "fake", HELPER.format(place=tmp_path / "keychain"))
    return tmp_path / "keychain"


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    (tmp_path / "bin").mkdir(exist_ok=True)
    path = tmp_path / f"bin/docker-credential-{name}"
    path.write_text(text)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")


@pytest.mark.parametrize("registry", ["registry.lan:5000", "docker.io"])
def test_a_keychain_keeps_logins(docker: Path, keychain: Path, registry: str) -> None:
    key = "https://index.docker.io/v1/" if registry == "docker.io" else registry
    write(docker, credsStore="fake", detachKeys="x")
    assert find(registry) is None
    assert store(registry, ADA) == "docker-credential-fake"
    assert read(docker) == {"credsStore": "fake", "detachKeys": "x", "auths": {key: {}}}
    assert find(registry) == ADA
    assert erase(registry) and not erase(registry) and find(registry) is None
    assert read(docker)["auths"] == {}
    log = (keychain / "log").read_text().splitlines()
    assert log.count(f"store {key}") == 1 and log.count(f"erase {key}") == 1 and f"get {key}" in log


def test_a_registry_can_have_a_keychain_of_its_own(docker: Path, keychain: Path) -> None:
    write(docker, credHelpers={"https://registry.lan": "fake", "plain.lan": ""}, credsStore="absent")
    store("registry.lan", ADA)
    assert find("registry.lan") == ADA
    store("plain.lan", ADA)  # an empty name: in the file
    assert read(docker)["auths"]["plain.lan"] == {"auth": pair()} and find("plain.lan") == ADA


def test_a_keychain_that_has_nothing_leaves_it_to_the_file(docker: Path, keychain: Path) -> None:
    write(docker, credsStore="fake", auths={"registry.lan": {"auth": pair()}})
    assert find("registry.lan") == ADA
    assert erase("registry.lan") and read(docker)["auths"] == {}


def test_a_login_that_somebody_else_has_just_taken_from_a_keychain_is_gone(
    docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """#!/bin/sh
[ "$1" = get ] && { echo '{"Username": "ada", "Secret": "x"}'; exit 0; }
echo 'credentials not found in native keychain (-25300)'; exit 1
"""
    program(tmp_path, monkeypatch, "odd", script)
    write(docker, credsStore="odd")
    assert erase("registry.lan")


def test_identity_tokens_go_through_keychains_and_files(docker: Path, keychain: Path) -> None:
    token = Credentials("ada", "", "token-of-" + SECRET)
    store("file.lan", token)
    assert read(docker)["auths"]["file.lan"] == {"auth": pair("ada", ""), "identitytoken": token.identity_token}
    assert find("file.lan") == token
    write(docker, credsStore="fake")
    store("registry.lan", token)
    assert json.loads((keychain / "registry.lan").read_text())["Username"] == "<token>"
    assert find("registry.lan") == Credentials("", "", token.identity_token)


def test_a_keychain_that_is_not_installed_is_said_so(docker: Path) -> None:
    write(docker, credsStore="absent")
    for work in (lambda: find("registry.lan"), lambda: store("registry.lan", ADA), lambda: erase("registry.lan")):
        with pytest.raises(
            RegistryError, match="^credential helper docker-credential-absent: not installed, and docker"
        ):
            work()
    assert read(docker) == {"credsStore": "absent"}


@pytest.mark.parametrize("name", ["../evil", "a b", "", "x;y", "a/b"])
def test_a_keychain_s_name_is_no_path(docker: Path, name: str) -> None:
    write(docker, credHelpers={"registry.lan": name})
    if not name:
        assert find("registry.lan") is None
        return
    with pytest.raises(InvalidArgument, match="^credential helper .*: not a name$"):
        find("registry.lan")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo locked; exit 1", "docker-credential-odd: get failed: locked"),
        ("exit 1", "docker-credential-odd: get failed"),
        ("echo one; echo two; exit 1", "docker-credential-odd: get failed: one"),
        (r"printf '\033[2Jx'; exit 1", "docker-credential-odd: get failed"),
        ("echo", "an answer for registry.lan that is none"),
        ("echo '[]'", "an answer for registry.lan that is none"),
        ("""echo '{"Username": "ada"}'""", "an answer for registry.lan that is none"),
        ("""echo '{"Username": null, "Secret": null}'""", "an answer for registry.lan that is none"),
        ("kill -9 $$", "docker-credential-odd: get failed"),
    ],
)
def test_a_keychain_that_fails_is_an_error(
    docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    program(tmp_path, monkeypatch, "odd", f"#!/bin/sh\n{script}\n")
    write(docker, credsStore="odd")
    with pytest.raises(RegistryError) as raised:
        find("registry.lan")
    assert str(raised.value).endswith(words)


def test_a_keychain_that_hangs_is_not_waited_for_forever(
    docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from containerkit.registry import helpers

    monkeypatch.setattr(helpers, "_TAKES", 0.2)
    program(tmp_path, monkeypatch, "odd", "#!/bin/sh\nexec sleep 20\n")
    write(docker, credsStore="odd")
    with pytest.raises(RegistryError, match="get failed$"):
        find("registry.lan")


# -- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["{", "", "[]", "7", "\xff", "[" * 100_000, '"auths"'])
def test_a_damaged_file_is_named_and_left_alone(docker: Path, text: str) -> None:
    docker.write_bytes(text.encode("latin-1"))
    for work in (lambda: find("registry.lan"), lambda: store("registry.lan", ADA), lambda: erase("registry.lan")):
        with pytest.raises(InvalidArgument, match=rf"^credentials {docker}: not (JSON|a JSON object)$"):
            work()
    assert docker.read_bytes() == text.encode("latin-1")


@pytest.mark.parametrize("odd", [[], 7, None, "x", True])
def test_members_of_another_kind_count_as_none(docker: Path, odd: Any) -> None:
    write(docker, auths=odd, credHelpers=odd, credsStore=[odd])
    assert find("registry.lan") is None and not erase("registry.lan")
    store("registry.lan", ADA)
    assert find("registry.lan") == ADA and read(docker)["credHelpers"] == odd


@pytest.mark.parametrize("auth", ["%%%", "YWRh", "/////w==", base64.b64encode(b"\xff:\xff").decode()])
def test_a_damaged_entry_is_named_and_can_be_replaced_or_forgotten(docker: Path, auth: str) -> None:
    write(docker, auths={"registry.lan": {"auth": auth}})
    with pytest.raises(
        InvalidArgument, match=rf"^credentials {docker}: auths.registry.lan.auth is damaged \(log in again\)$"
    ):
        find("registry.lan")
    assert find("other.lan") is None
    store("registry.lan", ADA)
    assert find("registry.lan") == ADA
    write(docker, auths={"registry.lan": {"auth": auth}})
    assert erase("registry.lan")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything: run the tests as an ordinary user to see it")
def test_a_file_that_may_not_be_read_is_an_error(docker: Path) -> None:
    write(docker).chmod(0)
    with pytest.raises(ContainerkitError, match=f"^credentials {docker}: permission denied"):
        find("registry.lan")


# -- secrets ---------------------------------------------------------------------------------------------------------


def _leaks_file(docker: Path) -> None:
    docker.write_text(f'{{"auths": {{"registry.lan": {{"password": "{SECRET}"')
    find("registry.lan")


def _leaks_pair(docker: Path) -> None:
    write(docker, auths={"registry.lan": {"auth": base64.b64encode(SECRET.replace(":", "").encode()).decode()}})
    find("registry.lan")


def _leaks_store(docker: Path) -> None:
    write(docker, credsStore="leaky")
    store("registry.lan", ADA)


def _leaks_get(docker: Path) -> None:
    write(docker, credsStore="leaky")
    find("registry.lan")


def _leaks_answer(docker: Path) -> None:
    write(docker, credsStore="half")
    find("registry.lan")


def _leaks_place(docker: Path) -> None:
    docker.parent.rmdir()
    docker.parent.write_text("a file")
    store("registry.lan", ADA)


def _leaks_login(docker: Path) -> None:
    client.login("no registry", "ada", SECRET, Session(Registries()))


def _leaks_name(docker: Path) -> None:
    client.login("registry.lan", f"ada:{SECRET}", SECRET, Session(Registries()))


@pytest.mark.parametrize(
    "fails",
    [_leaks_file, _leaks_pair, _leaks_store, _leaks_get, _leaks_answer, _leaks_place, _leaks_login, _leaks_name],
)
def test_no_failure_shows_a_password(
    docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    fails: Callable[[Path], None],
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    leaky = f"""#!/bin/sh
[ "$1" = get ] || {{ echo '{SECRET}'; exit 1; }}
cat; echo '{{"Username": "ada", "Secret": "{SECRET}"}}'; echo '{SECRET}' >&2; exit 1
"""
    program(tmp_path, monkeypatch, "leaky", leaky)
    program(tmp_path, monkeypatch, "half", f'#!/bin/sh\necho \'{{"Secret": "{SECRET}", \'\n')
    with pytest.raises(ContainerkitError) as raised:
        fails(docker)
    error = raised.value
    shown = [str(error), repr(error), repr(error.args), caplog.text, "".join(traceback.format_exception(error))]
    for form in (SECRET, pair(), SECRET.replace(":", ""), base64.b64encode(SECRET.encode()).decode()):
        assert not any(form in one for one in shown), shown


def test_no_object_shows_a_password(docker: Path) -> None:
    write(docker, auths={"registry.lan": {"auth": pair()}}, HttpHeaders={"X": SECRET})
    token = Credentials("ada", SECRET, SECRET)
    for one in (ADA, token, Session(Registries(), given=ADA), credentials._File.read(docker)):
        assert SECRET not in repr(one) and pair() not in repr(one)
        assert "ada" in repr(one) or "path" in repr(one)
