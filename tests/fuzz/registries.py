"""What registries answer, and what is known of us to them."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import strategies as st

from containerkit.builder import fetch
from containerkit.registry import api, challenges, credentials, helpers, hosts, transport
from containerkit.registry.deadline import Deadline
from containerkit.registry.hosts import Trust
from containerkit.registry.transport import Transport
from tests.fuzz.case import parser
from tests.fuzz.edits import documents, text

_CHALLENGES = (
    'Bearer realm="https://a/t",service="b \\"c\\"",scope="repository:x:pull"',
    "Basic realm=x, Negotiate abc==, Bearer realm=y",
    ",, a b=c",
)


@parser("challenge", text(*_CHALLENGES))
def _challenge(data: str) -> None:
    for one in challenges.parse([data]):
        assert one.scheme == one.scheme.lower()


@parser(
    "link", text('<https://a/v2/b/tags/list?last=x&n=5>; rel="next"', "</v2/_catalog?n=1>; rel=next, </x>; rel=prev")
)
def _link(data: str) -> None:
    found = api.next_page(data)
    if found is not None:
        _way(("https://registry.example/v2/", found))


_WAYS = text(
    "https://a.example:5000/x?y#z",
    "/v2/a",
    "http://127.0.0.1/",
    "//b/c",
    "https://[::1]:5/",
    "https://a@b/",
    "https://[fe80::1%25eth0]/",
)


@parser(
    "way",
    st.tuples(st.sampled_from(["https://registry.example/v2/", "http://localhost:5000/v2/"]), _WAYS),
    subject="redirects",
)
def _way(case: tuple[str, str]) -> None:
    transport._locality.cache_clear()
    with mock.patch.object(socket, "getaddrinfo", side_effect=socket.gaierror):  # nobody is asked for these names
        Transport(lambda authority: Trust(), Deadline()).way(*case, "redirects")


@parser("retry after", text("5", "Wed, 21 Oct 2030 07:28:00 GMT", "Wed, 21 Oct 2030 07:28:00 -0000"))
def _retry_after(data: str) -> None:
    found = transport.retry_after(data, 1.0)
    assert found is None or found >= 0


@parser("source", text("https://a.example/x/y.tgz", "http://[::1]:80/a%20b%00c", "https://a:b@c/"))
def _source(data: str) -> None:
    fetch.is_url(data)
    if fetch.is_url(data):
        fetch.name_of(data)


@parser(
    "authority", text("registry.example:5000", "[::1]:5000", "10.0.0.1", "*.example", "10.0.0.0/8", "::ffff:127.0.0.1")
)
def _authority(data: str) -> None:
    hosts.host_of(data)
    hosts.is_loopback(data)
    hosts.is_insecure("registry.example:5000", (data,))


_FILE = {
    "auths": {
        "https://index.docker.io/v1/": {"auth": "YTpi"},
        "registry.example": {"auth": "YTpi", "identitytoken": "x"},
        "r.example/a": {},
        "s.example": {"username": "u", "password": "p"},
    },
    "credHelpers": {"h.example": "no-such-helper"},
    "HttpHeaders": {"a": "b"},
}


@parser("credentials", documents(_FILE), subject="credential")
def _credentials(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "config.json")
        path.write_bytes(data)
        named = {
            "REGISTRY_AUTH_FILE": str(path),
            "DOCKER_CONFIG": place,
            "XDG_RUNTIME_DIR": place,
            "XDG_CONFIG_HOME": place,
            "PATH": place,
        }
        with mock.patch.dict(os.environ, named):
            for registry in ("docker.io", "registry.example", "r.example", "s.example"):
                credentials.find(registry, "a/b")
            credentials.store("new.example", credentials.Credentials("u", "p"))
            assert credentials.find("new.example") == credentials.Credentials("u", "p")
            credentials.erase("new.example")


@parser("credential helper", documents({"ServerURL": "x", "Username": "u", "Secret": "s"}), subject="credential helper")
def _helper(data: bytes) -> None:
    user, secret = helpers.read(data.decode(errors="replace"), "x", "y")
    assert type(user) is type(secret) is str
