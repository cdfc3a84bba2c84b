"""Real servers for tests, on loopback: Debian's docker-registry, alone and behind nginx with TLS and passwords."""

from __future__ import annotations

import base64
import json
import random
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD = "ada", "correct horse: battery"

_REGISTRY = """
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}", relativeurls: true}}
"""

_TOKENS = """
auth:
  token: {{realm: "http://127.0.0.1:{tokens}/token", service: test, issuer: tests, rootcertbundle: {place}/ca.crt}}
"""

_NGINX = """
daemon off; pid {place}/nginx.pid; error_log {place}/error.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log {place}/access.log; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
  fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {place}/server.crt; ssl_certificate_key {place}/server.key;
    client_max_body_size 0; chunked_transfer_encoding on;
    location /v2/ {{
      auth_basic "registry"; auth_basic_user_file {place}/htpasswd;
      add_header Docker-Distribution-Api-Version registry/2.0 always;
      proxy_pass http://127.0.0.1:{behind}; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Proto https; proxy_read_timeout 60;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Registry:
    """One that runs: ``name`` is how references begin; ``certificate`` the CA that vouches for it, when it has TLS."""

    name: str
    place: Path
    certificate: Path | None = None

    @property
    def data(self) -> Path:
        """What it keeps."""
        return self.place / "data"


def free_port(count: int = 1) -> int:
    """The first of ``count`` ports that nobody has; not of those that the kernel gives to clients, who come and go."""
    lowest, highest = 20000, int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        first = random.randrange(lowest, highest - count)
        if all(_is_free(port) for port in range(first, first + count)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True


@contextmanager
def registry(place: Path, more: str = "") -> Iterator[Registry]:
    """docker-registry without TLS, keeping its data below ``place``; ``more`` is added to its configuration."""
    port = free_port()
    place.mkdir(parents=True, exist_ok=True)
    configuration = place / "registry.yml"
    configuration.write_text(_REGISTRY.format(data=place / "data", port=port) + more)
    registry = Registry(f"localhost:{port}", place)
    with serving(registry):
        yield registry


def serving(registry: Registry, before: Sequence[str] = ()) -> AbstractContextManager[None]:
    """The process of a registry. ``before`` are words that put it elsewhere, as into a network namespace."""
    words = [*before, _program("docker-registry"), "serve", str(registry.place / "registry.yml")]
    return _running(words, int(registry.name.rpartition(":")[2]), registry.place)


@contextmanager
def private_registry(place: Path) -> Iterator[Registry]:
    """docker-registry behind nginx: TLS with a private CA, and basic authentication for :data:`USER`."""
    port = free_port()
    with registry(place / "behind") as behind:
        _certificates(place)
        words = [_program("htpasswd"), "-Bbn", USER, PASSWORD]
        (place / "htpasswd").write_bytes(subprocess.run(words, check=True, capture_output=True).stdout)
        (place / "htpasswd").chmod(0o644)
        configuration = place / "nginx.conf"
        text = _NGINX.format(place=place, port=port, behind=behind.name.rpartition(":")[2])
        configuration.write_text(text)
        _reachable(place)
        with _running([_program("nginx"), "-c", str(configuration), "-e", str(place / "error.log")], port, place):
            yield Registry(f"127.0.0.1:{port}", place, place / "ca.crt")


class TokenServer(ThreadingHTTPServer):
    """Gives tokens for a registry: to :data:`USER` for everything, to anybody for pulls from ``public/``.

    ``asked`` has the user (empty for nobody) and the scopes of each request.
    """

    daemon_threads = True

    def __init__(self, place: Path, life: int) -> None:
        super().__init__(("127.0.0.1", 0), _TokenHandler)
        self.place, self.life = place, life
        self.asked: list[tuple[str, list[str]]] = []

    def token(self, user: str, scopes: list[str]) -> str:
        """A JSON web token (RFC 7519) that the registry's CA vouches for."""
        der = ssl.PEM_cert_to_DER_cert((self.place / "ca.crt").read_text())
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        now = int(time.time())
        access = [dict(zip(("type", "name", "actions"), self._allowed(user, scope), strict=True)) for scope in scopes]
        claims = {"iss": "tests", "sub": user, "aud": "test", "exp": now + self.life, "nbf": now - 10, "iat": now,
                  "jti": "1", "access": access}  # fmt: skip
        text = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        words = ["openssl", "dgst", "-sha256", "-sign", str(self.place / "ca.key")]
        signature = subprocess.run(words, input=text.encode(), check=True, capture_output=True).stdout
        return f"{text}.{_base64url(_raw_signature(signature))}"

    @staticmethod
    def _allowed(user: str, scope: str) -> tuple[str, str, list[str]]:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        wanted = actions.split(",")
        if user != USER:
            wanted = ["pull"] if name.startswith("public/") and "pull" in wanted else []
        return kind, name, wanted


class _TokenHandler(BaseHTTPRequestHandler):
    server: TokenServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        given = self.headers.get("Authorization", "")
        user = base64.b64decode(given.removeprefix("Basic ")).decode() if given else ""
        name, _, password = user.partition(":")
        self.server.asked.append((name, query.get("scope", [])))
        if user and (name, password) != (USER, PASSWORD):
            self._answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "who is that"}]})
            return
        token = self.server.token(name, query.get("scope", []))
        self._answer(200, {"token": token, "expires_in": self.server.life})

    def _answer(self, status: int, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _raw_signature(der: bytes) -> bytes:
    """An ECDSA signature as RFC 7518, 3.4 wants it: two numbers of 32 bytes, where ASN.1 has a sequence of integers."""
    numbers, position = [], 2
    while position < len(der):
        length = der[position + 1]
        numbers.append(der[position + 2 : position + 2 + length].lstrip(b"\0").rjust(32, b"\0"))
        position += 2 + length
    return b"".join(numbers)


@contextmanager
def token_registry(place: Path, life: int = 300) -> Iterator[tuple[Registry, TokenServer]]:
    """docker-registry that wants tokens, which are good for ``life`` seconds, and who gives them."""
    place.mkdir(parents=True, exist_ok=True)
    _certificates(place)
    tokens = TokenServer(place, life)
    thread = threading.Thread(target=tokens.serve_forever, args=(0.05,))
    thread.start()
    try:
        more = _TOKENS.format(tokens=tokens.server_address[1], place=place)
        with registry(place / "registry", more) as found:
            yield found, tokens
    finally:
        tokens.shutdown()
        thread.join()
        tokens.server_close()


def _program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin")
    if found is None:
        raise RuntimeError(f"{name} is not installed (see ./dev)")
    return found


def _reachable(place: Path) -> None:
    # nginx's workers are another user's: they have to get at the password file.
    for directory in (place, *place.parents):
        if directory.stat().st_uid == 0 and str(directory).startswith("/tmp/") and not directory.stat().st_mode & 0o1:
            directory.chmod(directory.stat().st_mode | 0o011)


def _certificates(place: Path) -> None:
    """A CA, and a certificate of the address that it vouches for."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=place)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=Test CA", "-days", "2")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=registry")
    (place / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out",
            "server.crt", "-days", "2", "-extfile", "names")  # fmt: skip


@contextmanager
def _running(words: list[str], port: int, place: Path) -> Iterator[None]:
    with open(place / "output", "ab") as output:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 60
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{words[0]}: does not start:\n{(place / 'output').read_text()[-2000:]}")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
