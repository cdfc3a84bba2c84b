"""What a registry is told of us: tokens of its realm, or a login; and to whom that is never told."""

from __future__ import annotations

import base64
import json
import math
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from containerkit.configuration import Registries
from containerkit.errors import ContainerkitError, InvalidArgument, RegistryError
from containerkit.registry import client, credentials, transport
from containerkit.registry.authorization import Authorization, is_same_site
from containerkit.registry.connections import Body, Response
from containerkit.registry.credentials import Credentials
from containerkit.registry.deadline import Deadline
from containerkit.registry.hosts import Host, Trust
from containerkit.registry.sessions import Session
from containerkit.registry.transport import Transport
from tests.loopback import Handler, Web, says

SECRET = "correct horse: battery"
ADA = Credentials("ada", SECRET)
BASIC = "Basic " + base64.b64encode(f"ada:{SECRET}".encode()).decode()
URL = "https://registry.lan/v2/app/manifests/1"
REALM = "https://auth.registry.lan/token?x=1"
SCOPES = ("repository:app:pull",)


@dataclass
class Answer:
    """What a realm says."""

    body: Any = field(default_factory=lambda: {"token": "t1"})
    status: int = 200

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def json(self, limit: int) -> Any:
        return self.body

    def complaint(self) -> str:
        return f"{self.status}: {self.body}"


class FakeTransport(Transport):
    """Asks nobody: ``answers`` are given one by one, and ``asked`` is what was asked."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__(lambda authority: Trust(), Deadline())
        self.answers, self.asked = list(answers) or [Answer()], []  # type: list[Answer], list[tuple[str, str, str, bytes]]

    def request(
        self, method: str, url: str, headers: Any = None, body: Body | None = None, size: int | None = None, **_: Any
    ) -> Response:
        content = b"" if body is None else body().read()
        assert size == (None if body is None else len(content))
        self.asked.append((method, url, (headers or {}).get("Authorization", ""), content))
        found: Any = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return found  # type: ignore[no-any-return]  # as much of it as is used


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, and names that stand for nothing."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(credentials, "_RUN", str(tmp_path))
    for name in (
        "DOCKER_CONFIG",
        "REGISTRY_AUTH_FILE",
        "XDG_RUNTIME_DIR",
        "XDG_CONFIG_HOME",
        "http_proxy",
        "HTTP_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    known = socket.getaddrinfo

    def look_up(host: str, *arguments: Any, **more: Any) -> Any:
        if host.endswith(".lan"):
            address = "169.254.169.254" if host == "metadata.registry.lan" else "192.0.2.1"
            return [(0, 0, 0, "", (address, 0))]
        return known(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    transport._locality.cache_clear()
    yield
    transport._locality.cache_clear()


def bearer(realm: str = REALM, service: str = "registry", scope: str = "") -> list[str]:
    realm = realm.replace("\\", "\\\\")
    return [f'Bearer realm="{realm}",service="{service}"' + (f',scope="{scope}"' if scope else "")]


def make(fake: FakeTransport, given: Credentials | None = ADA, **host: Any) -> Authorization:
    return Authorization(Host(**{"registry": "registry.lan", "authority": "registry.lan", **host}), fake, "app", given)


# -- tokens ----------------------------------------------------------------------------------------------------------


def test_a_challenge_is_answered_with_a_token_of_its_realm() -> None:
    fake = FakeTransport()
    one = make(fake)
    assert one.header(SCOPES) == ""
    assert one.answer(URL, bearer(scope="repository:app:pull repository:base:pull"), SCOPES, "") == "Bearer t1"
    ((method, url, sent, body),) = fake.asked
    assert (method, sent, body) == ("GET", BASIC, b"")
    assert url.startswith("https://auth.registry.lan/token?")
    assert parse_qs(urlsplit(url).query) == {
        "x": ["1"], "service": ["registry"], "account": ["ada"],
        "scope": ["repository:app:pull", "repository:base:pull"],
    }  # fmt: skip


def test_whoever_is_not_logged_in_asks_for_a_token_all_the_same() -> None:
    fake = FakeTransport(Answer({"access_token": "t2"}))
    assert make(fake, None).answer(URL, bearer(), SCOPES, "") == "Bearer t2"
    ((_, url, sent, _),) = fake.asked
    assert sent == "" and "account" not in url


def test_an_identity_token_is_exchanged_and_no_password_sent() -> None:
    fake = FakeTransport(Answer({"access_token": "t3"}))
    one = make(fake, Credentials("", "", "identity"))
    assert one.answer(URL, bearer(scope="repository:base:pull"), SCOPES, "") == "Bearer t3"
    ((method, url, sent, body),) = fake.asked
    assert (method, url, sent) == ("POST", REALM, "")
    assert parse_qs(body.decode()) == {
        "grant_type": ["refresh_token"], "service": ["registry"], "client_id": ["containerkit"],
        "refresh_token": ["identity"], "scope": ["repository:app:pull repository:base:pull"],
    }  # fmt: skip


def test_logins_that_are_kept_are_used(home: Path) -> None:
    credentials.store("registry.lan", ADA)
    credentials.store("mirror.lan", Credentials("eve", "x"))
    fake = FakeTransport()
    make(fake, None).answer(URL, bearer(), SCOPES, "")
    mirror = {"authority": "mirror.lan", "is_mirror": True}
    make(fake, None, **mirror).answer("https://mirror.lan/v2/", bearer("https://mirror.lan/t"), SCOPES, "")
    assert [sent for _, _, sent, _ in fake.asked] == [BASIC, "Basic " + base64.b64encode(b"eve:x").decode()]


def test_a_token_is_used_until_shortly_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for life, kept in [(100, 95), (4, 2), (None, 55), (-1, 55), (0, 55), ("9", 55), (math.inf, 86_395), (math.nan, 55),
                       (10**400, 86_395), (0.5, 0.25)]:  # fmt: skip
        now[0] = 1000.0
        one = make(FakeTransport(Answer({"token": "t", "expires_in": life})))
        one.answer(URL, bearer(), SCOPES, "")
        now[0] += kept - 0.1
        assert one.header(SCOPES) == "Bearer t", life
        now[0] += 0.2
        assert one.header(SCOPES) == "", life


def test_tokens_are_for_what_they_were_asked_for() -> None:
    fake = FakeTransport(Answer({"token": "pull"}), Answer({"token": "push"}))
    one = make(fake)
    one.answer(URL, bearer(), SCOPES, "")
    one.answer(URL, bearer(), ("repository:app:pull,push",), "")
    assert one.header(SCOPES) == "Bearer pull" and one.header(("repository:app:pull,push",)) == "Bearer push"


def test_threads_that_are_turned_away_together_ask_once() -> None:
    class Slow(FakeTransport):
        def request(self, *arguments: Any, **more: Any) -> Response:
            time.sleep(0.05)
            return super().request(*arguments, **more)

    fake = Slow(Answer({"token": "t1"}), Answer({"token": "t2"}))
    one, found = make(fake), []
    threads = [
        threading.Thread(target=lambda: found.append(one.answer(URL, bearer(), SCOPES, ""))) for _ in range(8)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["Bearer t1"] * 8 and len(fake.asked) == 1
    # A token that is refused is asked for anew.
    assert one.answer(URL, bearer(), SCOPES, "Bearer t1") == "Bearer t2" == one.header(SCOPES)


@pytest.mark.parametrize(
    "body",
    [{}, *({"token": odd} for odd in ("", 7, None, "a\nb", "\u20ac", ["a"])), [], 7, None],
)
def test_a_realm_that_gives_no_token_is_an_error(body: Any) -> None:
    with pytest.raises(RegistryError, match="^registry registry.lan: its realm gave no token$"):
        make(FakeTransport(Answer(body))).answer(URL, bearer(), SCOPES, "")


def test_a_realm_says_no() -> None:
    for status in (401, 403):
        with pytest.raises(
            RegistryError, match=rf"^registry registry.lan: the login of ada is refused \(by auth.regis.*{status}"
        ):
            make(FakeTransport(Answer({}, status))).answer(URL, bearer(), SCOPES, "")
        with pytest.raises(RegistryError, match="nobody without a login is let in"):
            make(FakeTransport(Answer({}, status)), None).answer(URL, bearer(), SCOPES, "")
    with pytest.raises(RegistryError, match="the login of its token is refused"):
        make(FakeTransport(Answer({}, 401)), Credentials("", "", "t")).answer(URL, bearer(), SCOPES, "")
    with pytest.raises(RegistryError, match="^registry registry.lan: no token from auth.registry.lan: 404"):
        make(FakeTransport(Answer({}, 404))).answer(URL, bearer(), SCOPES, "")


# -- logins ----------------------------------------------------------------------------------------------------------


def test_a_registry_without_tokens_gets_the_login_itself() -> None:
    fake = FakeTransport()
    one = make(fake)
    assert one.answer(URL, ['Basic realm="x"'], SCOPES, "") == BASIC == one.header(("anything",))
    assert fake.asked == []
    with pytest.raises(RegistryError, match="^registry registry.lan: the login of ada is refused$"):
        one.answer(URL, ['Basic realm="x"'], SCOPES, BASIC)


def test_whoever_is_not_logged_in_is_told_how_to() -> None:
    with pytest.raises(RegistryError, match=r'^registry registry.lan: wants a login: ck.login\("registry.lan", …\)$'):
        make(FakeTransport(), None).answer(URL, ["Basic"], SCOPES, "")


def test_a_token_is_better_than_a_login_and_other_ways_are_named() -> None:
    fake = FakeTransport()
    assert make(fake).answer(URL, ['Basic realm="x"', *bearer()], SCOPES, "").startswith("Bearer ")
    assert make(fake).answer(URL, ['Negotiate, Basic realm="x"'], SCOPES, "") == BASIC
    with pytest.raises(RegistryError, match="^registry registry.lan: wants negotiate, ntlm as authorization$"):
        make(fake).answer(URL, ["Negotiate, NTLM"], SCOPES, "")
    with pytest.raises(RegistryError, match="wants nothing that we know as authorization"):
        make(fake).answer(URL, [], SCOPES, "")


# -- realms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("realm", "words"),
    [
        ("https://evil.example/token", 'evil.example, another .*: registries.realms."registry.lan" = ."evil.example".'),
        ("https://registry.lan.evil.example/", "another site"),
        ("https://notregistry.lan/", "another site"),
        ("https://192.0.2.7/", "another site"),
        ("http://auth.registry.lan/token", "from https to http"),
        ("https://169.254.169.254/latest/", "an address of this machine or its link"),
        ("https://metadata.registry.lan/", "an address of this machine or its link"),
        ("https://127.0.0.1:5001/token", "an address of this machine or its link"),
        ("https://localhost/token", "an address of this machine or its link"),
        ("https://[::ffff:169.254.169.254]/", "an address of this machine or its link"),
        ("", "no address of the web"),
        ("/token", "no address of the web"),
        ("ftp://registry.lan/", "no address of the web"),
        ("https://evil.example\\.registry.lan/", "no address of the web"),
        ("https://registry.lan@evil.example/", "no address of the web"),
        ("https://[registry.lan/", "no address of the web"),
    ],
)  # fmt: skip
def test_a_realm_that_is_not_the_registry_s_never_learns_of_a_login(realm: str, words: str) -> None:
    fake = FakeTransport()
    with pytest.raises(RegistryError, match=f"^registry registry.lan: sends for its tokens .*{words}") as raised:
        make(fake).answer(URL, bearer(realm), SCOPES, "")
    assert fake.asked == [] and SECRET not in str(raised.value)


@pytest.mark.parametrize("allowed", ["tokens.example", "tokens.example:8443"])
def test_a_realm_elsewhere_can_be_allowed(allowed: str) -> None:
    fake = FakeTransport()
    one = make(fake, realms=("other.example", allowed))
    assert one.answer(URL, bearer("https://tokens.example:8443/t"), SCOPES, "") == "Bearer t1"
    # But not without TLS, and not on this machine.
    for realm in ("http://tokens.example:8443/", "https://127.0.0.1/"):
        with pytest.raises(RegistryError):
            make(fake, realms=(allowed, "127.0.0.1")).answer(URL, bearer(realm), SCOPES, "")
    if ":" in allowed:
        with pytest.raises(RegistryError, match="another site"):
            one.answer(URL, bearer("https://tokens.example/"), SCOPES, "Bearer t1")


def test_a_registry_on_this_machine_has_its_realm_there() -> None:
    fake = FakeTransport()
    one = make(fake, registry="localhost:5000", authority="localhost:5000")
    for realm in ("http://localhost:5001/token", "http://127.0.0.1:5001/token", "http://[::1]:5001/token"):
        assert one.answer("http://localhost:5000/v2/", bearer(realm), SCOPES, "Bearer t1") == "Bearer t1"
    assert len(fake.asked) == 3
    with pytest.raises(RegistryError, match="another site"):
        one.answer("http://localhost:5000/v2/", bearer("https://auth.registry.lan/"), SCOPES, "Bearer t1")
    with pytest.raises(RegistryError, match="its link"):
        one.answer("http://localhost:5000/v2/", bearer("http://169.254.169.254/"), SCOPES, "Bearer t1")


def test_docker_io_s_tokens_come_from_its_own_site() -> None:
    fake = FakeTransport()
    one = make(fake, registry="docker.io", authority="registry-1.docker.io")
    challenge = bearer("https://auth.docker.io/token", "registry.docker.io")
    assert one.answer("https://registry-1.docker.io/v2/", challenge, SCOPES, "") == "Bearer t1"


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("registry.lan", "registry.lan", True),
        ("Registry.Example.COM", "auth.example.com", True),
        ("registry.example.com", "example.com", True),
        ("a.b.example.com", "c.d.example.com", True),
        ("registry.example.com.", "auth.example.com", True),
        ("example.com", "example.org", False),
        ("evilexample.com", "example.com", False),
        ("example.com.evil.org", "example.com", False),
        ("registry.co.uk", "auth.co.uk", False),
        ("a.registry.co.uk", "b.registry.co.uk", True),
        ("a.github.io", "b.github.io", True),
        ("registry", "registry", True),
        ("registry", "auth", False),
        ("lan", "registry.lan", False),
        ("ab", "cd", False),
        ("", "", True),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "20.0.0.1", False),
        ("1.2.0.1", "9.9.0.1", False),
        ("fd00::1", "fd00::2", False),
        ("localhost", "127.0.0.1", True),
        ("127.0.0.1", "::1", True),
        ("localhost", "registry.lan", False),
    ],
)
def test_sites(one: str, other: str, is_same: bool) -> None:
    assert is_same_site(one, other) == is_same_site(other, one) == is_same


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_a_realm_that_repeats_a_password_does_not_have_it_shown() -> None:
    for status in (401, 500):
        for secret in (ADA, Credentials("ada", "", SECRET)):
            answer = Answer({"you said": [SECRET, BASIC]}, status)
            with pytest.raises(RegistryError) as raised:
                make(FakeTransport(answer), secret).answer(URL, bearer(), SCOPES, "")
            shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
            assert SECRET not in shown and (secret is not ADA or BASIC[6:] not in shown) and "you said" in shown


def test_no_object_shows_a_token() -> None:
    one = make(FakeTransport(Answer({"token": "t-secret"})))
    one.answer(URL, bearer(), SCOPES, "")
    assert "t-secret" not in repr(one) + repr(one.__dict__["_tokens"])


# -- login and logout ------------------------------------------------------------------------------------------------


def guarded(web: Web, users: dict[str, str], realm: str = "") -> str:
    """A registry that lets these in, with tokens when a realm's path is given; its name."""

    def is_known(handler: Handler) -> bool:
        kind, _, pair = handler.headers.get("Authorization", "").partition(" ")
        user, _, password = base64.b64decode(pair if kind == "Basic" else "").decode().partition(":")
        return user in users and users[user] == password

    def tokens(handler: Handler) -> None:
        body = json.dumps({"token": "t"} if is_known(handler) else {"errors": [{"message": f"not {SECRET}"}]})
        says(200 if is_known(handler) else 401, body.encode())(handler)

    def ask(handler: Handler) -> None:
        if handler.headers.get("Authorization") == "Bearer t" or (not realm and is_known(handler)):
            says(200, b"{}")(handler)
            return
        challenge = f'Bearer realm="{web.url(realm)}"' if realm else 'Basic realm="r"'
        says(401, json.dumps({"errors": [{"message": f"not {SECRET}"}]}).encode(), WWW_Authenticate=challenge)(handler)

    web.on("/v2/", ask)
    for user in ("ada", "eve"):
        web.on(f"{realm}?account={user}", tokens)
    return web.authority


@pytest.mark.parametrize("realm", ["", "/token"])
def test_a_login_is_kept_once_the_registry_knows_it(web: Web, home: Path, realm: str) -> None:
    name = guarded(web, {"ada": SECRET}, realm)
    session = Session(Registries(certs=()))
    with pytest.raises(RegistryError, match=f"^registry {name}: the login of eve is refused") as raised:
        client.login(name, "eve", SECRET, session)
    assert SECRET not in "".join(traceback.format_exception(raised.value))
    assert credentials.find(name) is None
    assert client.login(name, "ada", SECRET, session) == str(home / ".docker/config.json")
    assert credentials.find(name) == ADA
    # What is kept does not stand in for what is given.
    with pytest.raises(RegistryError, match="the login of ada is refused"):
        client.login(name, "ada", "wrong", session)
    assert credentials.find(name) == ADA
    assert client.logout(name) and not client.logout(name)


def test_what_is_not_given_is_asked_for(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    name = guarded(web, {"ada": SECRET})
    monkeypatch.setattr("builtins.input", lambda prompt: "ada" if name in prompt else "")
    monkeypatch.setattr("getpass.getpass", lambda prompt: SECRET if "ada" in prompt else "")
    client.login(name, "", None, Session(Registries(certs=())))
    assert credentials.find(name) == ADA


@pytest.mark.parametrize("user", ["", f"ada:{SECRET}", "a\nb", "\x1b"])
def test_a_user_name_that_cannot_be_one_is_refused_without_repeating_it(
    web: Web, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: user)
    with pytest.raises(InvalidArgument, match="a user name is needed") as raised:
        client.login(web.authority, user, SECRET, Session(Registries(certs=())))
    assert SECRET not in str(raised.value) and web.requests == []


def test_a_registry_can_be_named_by_its_address(web: Web) -> None:
    name = guarded(web, {"ada": SECRET})
    client.login(f"http://{name}/v2/", "ada", SECRET, Session(Registries(certs=())))
    assert credentials.find(name) == ADA and client.logout(f"http://{name}/")
    credentials.store("docker.io", ADA)
    assert client.logout("https://index.docker.io/v1/") and credentials.find("docker.io") is None


@pytest.mark.parametrize("name", ["", "registry", "registry.lan/team", "a b", "https://", "ada", "-x.lan"])
def test_what_is_no_registry_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^registry '{name}': expected a host"):
        client.login(name, "ada", SECRET, Session(Registries()))
    with pytest.raises(InvalidArgument, match=f"^registry '{name}': expected a host"):
        client.logout(name)


def test_words_of_a_registry_are_free_of_secrets(web: Web) -> None:
    name = guarded(web, {"ada": SECRET})
    credentials.store(name, ADA)
    body = json.dumps({"errors": [{"message": f"{SECRET} is not enough"}]}).encode()
    web.on("/v2/app/tags/list", says(401, b"", WWW_Authenticate="Basic"), says(403, body))
    session = Session(Registries(certs=()))
    with pytest.raises(ContainerkitError, match=r"… is not enough") as raised:
        session.repository(session.hosts(name)[0], "app").tags()
    assert SECRET not in "".join(traceback.format_exception(raised.value))
