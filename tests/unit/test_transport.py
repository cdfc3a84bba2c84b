"""Requests: again when that may help, and along redirects, as far as a registry may send us."""

from __future__ import annotations

import email.utils
import io
import socket
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from containerkit.errors import RegistryError
from containerkit.registry import transport
from containerkit.registry.connections import Broken, Unreachable, of_bytes
from containerkit.registry.deadline import Deadline
from containerkit.registry.hosts import Trust
from containerkit.registry.transport import Transport, retry_after
from tests.loopback import Clock, Web, breaks, get, says


def methods(web: Web) -> list[str]:
    return [f"{request.method} {request.path}" for request in web.requests]


# -- again -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_registry_is_asked_again_a_little_later_each_time(
    web: Web, client: Transport, clock: Clock, status: int
) -> None:
    url = web.on("/v2/", says(status), says(status), says(status, b"x" * 100_000), says(200, b"here"))
    assert get(client, url) == (200, b"here")
    first, second, third = clock.pauses
    assert 0.25 <= first <= 0.5 <= second <= 1.0 <= third <= 2.0


def test_pauses_differ_so_that_not_all_come_back_at_once(clock: Clock, client: Transport) -> None:
    for _ in range(20):
        client.pause(3)
    assert len(set(clock.pauses)) > 10
    clock.pauses.clear()
    client.pause(60)
    assert clock.pauses[0] <= 60


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_registry_says_how_long_to_wait(web: Web, client: Transport, clock: Clock, form: str) -> None:
    asked = "7" if form == "seconds" else email.utils.formatdate(time.time() + 7, usegmt=True)
    url = web.on("/v2/", says(429, Retry_After=asked), says())
    assert get(client, url)[0] == 200
    assert clock.pauses == [pytest.approx(7, abs=1.1)]


def test_nobody_waits_for_as_long_as_a_registry_likes(web: Web, client: Transport, clock: Clock) -> None:
    url = web.on("/v2/", says(429, Retry_After="3600"), says())
    assert get(client, url)[0] == 429
    assert clock.pauses == []


def test_a_registry_that_stays_busy_has_the_last_word(web: Web, client: Transport, clock: Clock) -> None:
    url = web.on("/v2/", says(503))
    assert get(client, url)[0] == 503
    assert len(web.requests) == 5 and len(clock.pauses) == 4
    assert get(client, url, attempts=1)[0] == 503
    assert len(web.requests) == 6


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 416])
def test_a_no_is_not_asked_about_again(web: Web, client: Transport, clock: Clock, status: int) -> None:
    url = web.on("/v2/", says(status), says())
    assert get(client, url)[0] == status
    assert len(web.requests) == 1 and clock.pauses == []


def test_a_connection_that_breaks_is_made_anew(web: Web, client: Transport, clock: Clock) -> None:
    url = web.on("/v2/", breaks, breaks, says(200, b"here"))
    assert get(client, url) == (200, b"here")
    assert len(clock.pauses) == 2
    web.on("/v2/", breaks)
    with pytest.raises(Broken, match="^the connection broke: "):
        client.request("GET", url)


def test_a_host_that_is_not_there_is_called_twice(client: Transport, clock: Clock) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable, match="^cannot be reached: connection refused$"):
            client.request("GET", f"http://127.0.0.1:{nobody.getsockname()[1]}/v2/")
    assert len(clock.pauses) == 1


def test_what_is_sent_is_sent_whole_each_time(web: Web, client: Transport) -> None:
    url = web.on("/upload", says(503), breaks, says(201))
    opened = []

    def body() -> BinaryIO:
        opened.append(io.BytesIO(b"0123456789"))
        return opened[-1]

    with client.request("PUT", url, {"Content-Type": "a/b"}, body, 10) as response:
        assert response.status == 201
    assert [request.body for request in web.requests] == [b"0123456789"] * 3
    assert {request.headers["Content-Type"] for request in web.requests} == {"a/b"}
    assert len(opened) == 3 and all(one.closed for one in opened)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0), (" 0 ", 0.0), ("", None), ("soon", None), ("-1", None), ("1.5", None), ("\xb2", None),
        ("1" * 12, None), ("Thu, 01 Jan 1970 00:01:00 GMT", 30.0), ("Thu Jan  1 00:01:00 1970", 30.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("Thu, 01 Jan 9999 00:00:00 -9999", None),
    ],
)  # fmt: skip
def test_forms_of_retry_after(text: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    assert retry_after(text, 30.0) == seconds
    monkeypatch.undo()
    time.tzset()


@given(st.text(st.characters(max_codepoint=255)) | st.from_regex(r"\w{3}, \d+ (Jan|Dec) \d+ \d+:\d+:\d+ [+-]?\w+"))
def test_any_retry_after_is_a_time_to_wait_or_none(text: str) -> None:
    found = retry_after(text, 0.0)
    assert found is None or found >= 0


# -- redirects -------------------------------------------------------------------------------------------------------

SECRET = {"Authorization": "Bearer secret", "Accept": "a/b"}


def test_a_login_stays_with_its_registry(web: Web, other: Web, client: Transport) -> None:
    web.on("/a", says(307, Location="/b"))
    web.on("/b", says(302, Location=other.on("/c", says(307, Location=web.on("/d", says(200, b"here"))))))
    assert get(client, web.url("/a"), headers=SECRET) == (200, b"here")
    assert [request.headers.get("Authorization") for request in web.requests] == ["Bearer secret"] * 2 + [None]
    assert [request.headers.get("Authorization") for request in other.requests] == [None]
    assert {request.headers["Accept"] for request in web.requests + other.requests} == {"a/b"}


def test_an_answer_says_where_it_came_from(web: Web, client: Transport) -> None:
    web.on("/v2/a", says(301, Location="b?x=1"))
    web.on("/v2/b?x=1", says())
    with client.request("GET", web.url("/v2/a")) as response:
        assert response.url == web.url("/v2/b?x=1")


def test_five_redirects_are_followed_and_no_more(web: Web, client: Transport) -> None:
    for number in range(5):
        web.on(f"/{number}", says(302, Location=f"/{number + 1}"))
    web.on("/5", says(200, b"here"))
    assert get(client, web.url("/0")) == (200, b"here")
    assert web.connections == 1
    web.on("/5", says(302, Location="/0"))
    web.requests.clear()
    with pytest.raises(RegistryError, match="^more than 5 redirects$"):
        client.request("GET", web.url("/0"))
    assert len(web.requests) == 6


def test_what_is_sent_goes_along_unless_the_registry_says_to_look_elsewhere(web: Web, client: Transport) -> None:
    web.on("/keep", says(307, Location="/end"))
    web.on("/look", says(303, Location="/end"))
    web.on("/end", says())
    for path in ("/keep", "/look"):
        client.request("POST", web.url(path), {}, of_bytes(b"body"), 4).close()
    assert methods(web) == ["POST /keep", "POST /end", "POST /look", "GET /end"]
    assert [request.body for request in web.requests] == [b"body", b"body", b"body", b""]


def test_a_redirect_to_nowhere_is_an_answer(web: Web, client: Transport) -> None:
    assert get(client, web.on("/v2/", says(304)))[0] == 304
    assert get(client, web.on("/v2/", says(307)))[0] == 307


@pytest.mark.parametrize(
    "target",
    ["ftp://a.example/", "file:///etc/passwd", "http://[::1/x", "http://a:99999/", "http://a:b/", "https://",
     "https://user:pw@a.example/", "https://:pw@a.example/", "https://@a.example/", "javascript:alert(1)",
     "https://evil.example\\.a.example/", "http://a .example/", "http://\xfc.example/", "http://..../", "http://a:0/",
     "https://a.example/\x1b[2J", "https://a.example/a b", "https://a.example/\\x"],
)  # fmt: skip
def test_a_redirect_to_no_address_of_the_web_is_refused(web: Web, client: Transport, target: str) -> None:
    url = web.on("/v2/", says(302, Location=target))
    with pytest.raises(RegistryError, match="^redirects to .*, which is no address of the web$"):
        client.request("GET", url)


HOSTS = {
    "metadata.example": ["169.254.169.254"],
    "inside.example": ["10.0.0.1", "127.0.0.1"],
    "elsewhere.example": ["192.0.2.7", "2001:db8::7"],
    "registry.example": ["192.0.2.1"],
}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Names as an attacker's name server gives them."""
    known = socket.getaddrinfo

    def look_up(host: str, *arguments: Any, **more: Any) -> Any:
        if host.endswith(".example"):
            if host not in HOSTS:
                raise socket.gaierror(-2, "Name or service not known")
            return [(0, 0, 0, "", (address, 0)) for address in HOSTS[host]]
        return known(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    transport._locality.cache_clear()
    yield
    transport._locality.cache_clear()


@pytest.mark.parametrize(
    "target",
    ["https://169.254.169.254/latest/", "https://127.0.0.1/", "https://127.1/", "https://localhost:5000/",
     "https://localhost./", "https://a.localhost/", "https://0.0.0.0/", "https://0/", "https://2130706433/",
     "https://0x7f.1/", "https://[::1]/", "https://[::]/", "https://[fe80::1]/", "https://[::ffff:127.0.0.1]/",
     "https://[::ffff:169.254.169.254]/", "https://metadata.example/", "https://inside.example/"],
)  # fmt: skip
def test_a_registry_elsewhere_cannot_send_us_to_this_machine_or_its_link(
    names: None, client: Transport, target: str
) -> None:
    with pytest.raises(RegistryError, match="an address of this machine or its link$"):
        client.check_way("https://registry.example/v2/", target, "redirects")


def test_a_registry_on_this_machine_may_send_us_about_it_and_not_to_a_cloud_s_secrets(
    names: None, client: Transport
) -> None:
    for target in ("http://localhost:9000/", "https://[::1]/", "https://registry.example/", "http://10.0.0.7/"):
        client.check_way("http://127.0.0.1:5000/v2/", target, "redirects")
    with pytest.raises(RegistryError, match="its link$"):
        client.check_way("http://127.0.0.1:5000/v2/", "http://169.254.169.254/", "redirects")


def test_a_registry_may_send_us_elsewhere_but_not_to_where_everybody_listens(names: None, client: Transport) -> None:
    for target in (
        "https://elsewhere.example/x?sig=1",
        "https://unknown.example/",
        "https://10.0.0.7:5000/",
        f"https://{'a' * 70}.org/",
    ):
        client.check_way("https://registry.example/v2/", target, "redirects")
    client.check_way("http://registry.example/v2/", "https://elsewhere.example/", "redirects")
    with pytest.raises(RegistryError, match=r"^redirects from https to http \(http://elsewhere.example/x\)$"):
        client.check_way("https://registry.example/v2/", "http://elsewhere.example/x?signature=secret", "redirects")


ADDRESSES = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"https?://[a-z.:@\\/\[\]%#?\t\n 0-9-]{0,30}", fullmatch=True),
    st.from_regex(r"(https?:)?//[^/]{0,20}(/.{0,10})?", fullmatch=True),
)


@given(ADDRESSES)
def test_any_address_is_refused_or_means_the_same_host_to_the_library(target: str) -> None:
    client = Transport(lambda authority: Trust(), Deadline())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
        transport._locality.cache_clear()
        try:
            found = client.way("https://registry.example/v2/", target, "redirects")
        except RegistryError:
            return
    parsed = urllib3.util.parse_url(found)
    authority = found.partition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0]
    assert parsed.scheme == "https" and (parsed.netloc or "").lower() == authority.lower()
    transport._locality.cache_clear()
