"""One request and its answer: bounded, over connections that are kept, through proxies, with TLS."""

from __future__ import annotations

import base64
import json
import logging
import os
import ssl
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest
import urllib3

from containerkit.errors import InvalidArgument, RegistryError, Unsupported
from containerkit.registry import connections
from containerkit.registry.connections import Broken, NoTls, Response, Unreachable, Untrusted
from containerkit.registry.deadline import Deadline
from containerkit.registry.hosts import Trust
from containerkit.registry.transport import Transport
from tests import loopback
from tests.loopback import Clock, Web, breaks, chunked, get, says


def trusting(trust: Trust) -> Transport:
    return Transport(lambda authority: trust, Clock())


# -- what is answered ------------------------------------------------------------------------------------------------


ODD: tuple[Any, ...] = (5, True, "words", {"message": "x"}, None, [], ["x"], [[1]])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"errors": [{"code": "DENIED", "message": "not for you"}]}, "403 forbidden: not for you"),
        ({"errors": [{"code": "DENIED"}, {"message": "go  away\n"}]}, "403 forbidden: DENIED; go away"),
        ({"errors": [{"message": "\x1b[2Jred\x9b31m \u202eevil"}]}, "403 forbidden: [2Jred 31m evil"),
        ({"errors": [{"message": "\ud800"}, {"message": None, "code": 7}]}, "403 forbidden: 7"),
        ({"errors": [{"message": "x" * 9000}]}, "403 forbidden: " + "x" * 500),
        *[({"errors": odd}, "403 forbidden") for odd in ODD],
        *[(odd, "403 forbidden") for odd in ODD],
        (b"<html>Forbidden</html>", "403 forbidden"),
        (b"", "403 forbidden"),
        (b"[" * 60_000, "403 forbidden"),
        (b'{"errors":[{"message":"' + b"x" * 70_000 + b'"}]}', "403 forbidden"),
    ],
)
def test_a_registry_s_own_words_say_what_went_wrong(web: Web, client: Transport, body: Any, words: str) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with client.request("GET", web.on("/v2/", says(403, data))) as response:
        assert response.complaint() == words
        words.encode()


def test_an_unknown_status_has_no_words(web: Web, client: Transport) -> None:
    with client.request("GET", web.on("/v2/", says(499))) as response:
        assert response.complaint() == "499"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 50_000, b"1" * 5000])
def test_what_is_not_json_is_said_so(web: Web, client: Transport, body: bytes) -> None:
    with (
        client.request("GET", web.on("/v2/", says(200, body))) as response,
        pytest.raises(RegistryError, match="^an answer that is not JSON$"),
    ):
        response.json(1 << 20)


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_giant_answer_is_not_read(web: Web, client: Transport, is_announced: bool) -> None:
    sent = [0]

    def endless(handler: loopback.Handler) -> None:
        handler.say(200, {"Content-Length": str(1 << 40)} if is_announced else {"Connection": "close"})
        try:
            while not handler.web.over.is_set():
                sent[0] += handler.connection.send(b"x" * 65_536)
        except OSError:
            handler.close_connection = True

    with (
        client.request("GET", web.on("/v2/", endless)) as response,
        pytest.raises(RegistryError, match="^an answer of more than 1000000 bytes$"),
    ):
        response.text(1_000_000)
    assert sent[0] < 64 << 20


def test_an_answer_in_pieces_is_whole(web: Web, client: Transport) -> None:
    assert get(client, web.on("/v2/", chunked(b"one ", b"two ", b"x" * 200_000))) == (200, b"one two " + b"x" * 200_000)


@pytest.mark.parametrize("headers", [{"Content-Length": "10"}, {"Transfer-Encoding": "chunked"}])
def test_an_answer_that_ends_early_is_not_taken_for_a_whole_one(
    web: Web, client: Transport, headers: dict[str, str]
) -> None:
    def ends_early(handler: loopback.Handler) -> None:
        handler.say(200, headers, b"4\r\n" if "Transfer-Encoding" in headers else b"abc")
        handler.close_connection = True

    with client.request("GET", web.on("/v2/", ends_early)) as response, pytest.raises(Broken):
        response.text(100)


def test_nothing_is_unpacked_on_the_way(web: Web, client: Transport) -> None:
    assert get(client, web.on("/v2/", says(200, b"\x1f\x8bzip", Content_Encoding="gzip"))) == (200, b"\x1f\x8bzip")
    assert web.requests[0].headers["Accept-Encoding"] == "identity"
    assert web.requests[0].headers["User-Agent"].startswith("containerkit/")


@pytest.mark.parametrize(
    "answer",
    [b"nonsense\r\n\r\n", b"HTTP/1.1 abc OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
     b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n", b"\x00" * 100],
)  # fmt: skip
def test_an_answer_that_is_no_http_is_an_error(web: Web, client: Transport, answer: bytes) -> None:
    def nonsense(handler: loopback.Handler) -> None:
        handler.wfile.write(answer)
        handler.close_connection = True

    with pytest.raises(Broken, match="^the connection broke: ."):
        client.request("GET", web.on("/v2/", nonsense))


# -- connections -----------------------------------------------------------------------------------------------------


def test_connections_are_used_again(web: Web, client: Transport) -> None:
    web.on("/text", says(200, b"text"))
    web.on("/pieces", chunked(b"pieces"))
    web.on("/absent", says(404, b"not here"))
    web.on("/nothing", says(204))
    for _ in range(2):
        assert get(client, web.url("/text")) == (200, b"text")
        assert get(client, web.url("/pieces")) == (200, b"pieces")
        assert get(client, web.url("/nothing")) == (204, b"")
        client.request("GET", web.url("/absent")).close()  # read to its end, as it is small
        client.request("HEAD", web.url("/text")).close()
    assert len(web.requests) == 10 and web.connections == 1
    # Another call, too.
    get(Transport(lambda authority: Trust(), Deadline()), web.url("/text"))
    assert web.connections == 1


def test_a_connection_with_more_than_is_worth_reading_is_given_up(web: Web, client: Transport) -> None:
    web.on("/large", says(200, b"x" * 1_000_000))
    response = client.request("GET", web.url("/large"))
    response.close()
    assert get(client, web.on("/v2/", says(200, b"here")), attempts=1) == (200, b"here")
    assert web.connections == 2


def test_a_child_process_makes_connections_of_its_own(web: Web, client: Transport) -> None:
    url = web.on("/v2/", says())
    get(client, url)
    child = os.fork()
    if not child:
        os._exit(0 if get(client, url)[0] == 200 else 1)
    assert os.waitpid(child, 0)[1] == 0
    get(client, url)
    assert web.connections == 2


def test_a_connection_that_the_registry_has_closed_meanwhile_is_made_anew(web: Web, client: Transport) -> None:
    def closes(handler: loopback.Handler) -> None:
        says(200, b"here")(handler)
        handler.close_connection = True

    url = web.on("/v2/", closes)
    for _ in range(3):
        assert get(client, url) == (200, b"here")


# -- proxies ---------------------------------------------------------------------------------------------------------

OUTSIDE = "http://registry.example:5000/v2/"


def test_a_proxy_of_the_environment_is_asked(web: Web, client: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://ad%61:p%40ss%3A@{web.authority}")
    web.on(OUTSIDE, says(200, b"through"))
    assert get(client, OUTSIDE) == (200, b"through")
    (request,) = web.requests
    assert (request.path, request.headers["Host"]) == (OUTSIDE, "registry.example:5000")
    expected = urllib3.make_headers(proxy_basic_auth="ada:p@ss:")["proxy-authorization"]
    assert request.headers["Proxy-Authorization"] == expected
    manager = connections._through(f"http://ada:pa55@{web.authority}", {})
    assert "pa55" not in repr(manager.proxy)  # what the library's errors show


def test_a_tunnel_is_made_for_tls(web: Web, client: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(handler: loopback.Handler) -> None:
        asked.append(handler.path)
        handler.say(407, {"Content-Length": "0"})

    monkeypatch.setattr(loopback.Handler, "do_CONNECT", refuse, raising=False)
    monkeypatch.setenv("https_proxy", web.authority)  # without a scheme
    with pytest.raises(Broken, match="407"):
        client.request("GET", "https://registry.example/v2/", attempts=1)
    assert asked == ["registry.example:443"]


def test_what_needs_no_proxy_is_asked_directly(web: Web, client: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    url = web.on("/v2/", says(200, b"direct"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert get(client, url) == (200, b"direct")  # on this machine
    for entries in ("registry.example", ".example", "a, registry.example:5000", "*"):
        monkeypatch.setenv("no_proxy", entries)
        assert connections._proxy("http", "registry.example:5000") is None
    monkeypatch.setenv("no_proxy", "other.example")
    assert connections._proxy("http", "registry.example:5000") == "http://127.0.0.1:1"


def test_a_proxy_that_is_set_after_a_failure_is_used(
    web: Web, client: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with pytest.raises(Unreachable, match="^its proxy cannot be reached: connection refused$"):
        client.request("GET", OUTSIDE, attempts=1)
    monkeypatch.setenv("http_proxy", f"http://{web.authority}")
    web.on(OUTSIDE, says(200, b"through"))
    assert get(client, OUTSIDE) == (200, b"through")


@pytest.mark.parametrize("proxy", ["socks5://ada:pa55@proxy.example:1080", "http://ada:pa55@[bad", "http://:pa55@"])
def test_a_proxy_of_another_kind_is_refused_without_its_password(
    client: Transport, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises((Unsupported, InvalidArgument), match="^proxy.*http_proxy") as raised:
        client.request("GET", OUTSIDE)
    assert "pa55" not in repr(raised.getrepr(style="short"))


# -- TLS -------------------------------------------------------------------------------------------------------------


def test_a_certificate_has_to_be_vouched_for(tls: ssl.SSLContext, certificates: Path, tmp_path: Path) -> None:
    with loopback.serve(tls) as web:
        url = web.on("/v2/", says(200, b"here"))
        with pytest.raises(Untrusted, match="^its certificate is not trusted: "):
            trusting(Trust()).request("GET", url)
        assert web.requests == []
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert get(trusting(Trust(verify=False)), url) == (200, b"here")
        ca = tmp_path / "ca.crt"
        ca.write_text("nonsense")
        with pytest.raises(InvalidArgument, match=f"^certificates {ca}: "):
            get(trusting(Trust(authorities=(str(ca),))), url)
        # One that is put right is read again.
        ca.write_bytes((certificates / "server.crt").read_bytes())
        ca.write_bytes((certificates / "ca.crt").read_bytes())
        assert get(trusting(Trust(authorities=(str(ca),))), url) == (200, b"here")


def test_a_certificate_of_another_host_is_refused(tls: ssl.SSLContext, certificates: Path) -> None:
    with loopback.serve(tls) as web:
        web.on("/v2/", says())
        trust = Trust(authorities=(str(certificates / "ca.crt"),))
        with pytest.raises(Untrusted, match="localhost"):
            trusting(trust).request("GET", f"https://localhost:{web.port}/v2/")


def test_a_ca_that_is_changed_counts_at_once(tls: ssl.SSLContext, certificates: Path, tmp_path: Path) -> None:
    with loopback.serve(tls) as web:
        url = web.on("/v2/", says())
        ca = tmp_path / "ca.crt"
        words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null -subj /CN=Other"
        wrong = subprocess.run(["openssl", *words.split()], check=True, capture_output=True).stdout
        ca.write_bytes(wrong)
        with pytest.raises(Untrusted):
            get(trusting(Trust(authorities=(str(ca),))), url)
        ca.write_bytes((certificates / "ca.crt").read_bytes())
        assert get(trusting(Trust(authorities=(str(ca),))), url)[0] == 200


def test_a_certificate_of_ours_is_shown(tls: ssl.SSLContext, certificates: Path) -> None:
    context = tls
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates / "ca.crt")
    pair = (str(certificates / "server.crt"), str(certificates / "server.key"))
    with loopback.serve(context) as web:
        url = web.on("/v2/", says(200, b"here"))
        assert get(trusting(Trust(False, client=pair)), url) == (200, b"here")
        with pytest.raises(RegistryError):
            trusting(Trust(False)).request("GET", url)


def test_what_speaks_no_tls_is_told_apart(web: Web) -> None:
    with pytest.raises(NoTls, match="^it does not speak TLS: [a-z ]+$"):
        trusting(Trust()).request("GET", f"https://{web.authority}/v2/")
    assert web.connections == 1  # it will not learn it


def test_a_redirect_from_https_to_http_is_refused(tls: ssl.SSLContext, web: Web) -> None:
    with loopback.serve(tls) as secure:
        url = secure.on("/v2/", says(307, Location=web.on("/v2/", says())))
        with pytest.raises(RegistryError, match="^redirects from https to http"):
            trusting(Trust(verify=False)).request("GET", url, {"Authorization": "Bearer secret"})
    assert web.requests == []


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_no_secret_is_logged_or_shown(
    web: Web, client: Transport, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("http_proxy", f"http://ada:pa55word@{web.authority}")
    web.on(OUTSIDE, says(200, b"x"))
    login = {"Authorization": "Basic " + base64.b64encode(b"secret").decode()}
    response: Response = client.request("GET", OUTSIDE, login)
    shown = repr(response) + caplog.text
    response.close()
    web.on(OUTSIDE, breaks)
    with pytest.raises(Broken) as raised:
        client.request("GET", OUTSIDE, login)
    monkeypatch.delenv("http_proxy")
    shown += caplog.text + str(raised.getrepr(style="native"))
    assert "registry.example" in caplog.text  # something is logged
    for secret in ("pa55word", login["Authorization"][6:]):
        assert secret not in shown
