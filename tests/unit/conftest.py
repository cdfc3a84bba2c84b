"""A web server on loopback, and what asks it."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerkit.registry.hosts import Trust
from containerkit.registry.transport import Transport
from tests import loopback
from tests.loopback import Clock, Web


@pytest.fixture
def web() -> Iterator[Web]:
    with loopback.serve() as found:
        yield found


@pytest.fixture
def other() -> Iterator[Web]:
    with loopback.serve() as found:
        yield found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A deadline at which nobody sleeps; no proxies."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return Clock()


@pytest.fixture
def client(clock: Clock) -> Transport:
    return Transport(lambda authority: Trust(), clock)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``ca.crt``, and a certificate of 127.0.0.1 that it vouches for."""
    place = tmp_path_factory.mktemp("certificates")
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    (place / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for words in (
        f"req -x509 {key} -keyout ca.key -out ca.crt -subj /CN=CA",
        f"req {key} -keyout server.key -out server.csr -subj /CN=registry",
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 -extfile names",
    ):
        try:
            subprocess.run(["openssl", *words.split()], check=True, capture_output=True, cwd=place)
        except FileNotFoundError:
            pytest.skip("needs openssl, which makes certificates")
    return place


@pytest.fixture
def tls(certificates: Path) -> ssl.SSLContext:
    """What a server with that certificate speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    return context
