"""One request and its answer: connections that are kept, certificates, proxies. The only place with an HTTP library.

Sources: RFC 9110; curl(1) for ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy``, with the exception that
Go makes, and so docker: what is on this machine is never asked through a proxy.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

import urllib3

from containerkit import __version__
from containerkit.errors import ContainerkitError, InvalidArgument, RegistryError, Unsupported
from containerkit.registry.deadline import Deadline
from containerkit.registry.hosts import Trust, is_loopback
from containerkit.views.text import plain

#: Seconds: to connect, and between two bytes.
_CONNECT, _READ = 10.0, 60.0
#: Bytes of an answer that says what went wrong.
_ERROR_BYTES = 65_536


class Broken(RegistryError):
    """The connection broke, or it is no good time: the next attempt may have more luck.

    ``wait`` is how many seconds were asked for.
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Unreachable(Broken):
    """There was no connection."""


class Denied(RegistryError):
    """The registry does not let us; what is not there it may answer so, too."""


class Untrusted(RegistryError):
    """Nobody vouches for the certificate."""


class NoTls(RegistryError):
    """What answers does not speak TLS."""


class Body(Protocol):
    """What is sent: opened anew for each attempt."""

    def __call__(self) -> BinaryIO: ...


def of_bytes(data: bytes) -> Callable[[], BinaryIO]:
    """A body that is ``data``."""
    return lambda: io.BytesIO(data)


@dataclass(eq=False)
class Response:
    """An answer whose body is read by whoever asked; a context manager that gives the connection back.

    ``url`` is where it came from in the end, and ``subject`` what errors begin with.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    challenges: list[str]
    _raw: urllib3.BaseHTTPResponse = field(repr=False)
    _deadline: Deadline = field(repr=False)
    subject: str = ""

    def _says(self, what: str) -> str:
        return f"{self.subject}: {what}" if self.subject else what

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; empty at the end.

        Raises:
            RegistryError: the connection broke, or the call was called off.
            Timeout: the deadline has come.
        """
        wire: Any = self._raw.connection  # none when all was read: it is somebody else's then
        with self._deadline.watching(wire):
            try:
                if wire is not None:
                    wire.wait_for(self._deadline.left(_READ))
                data = self._raw.read1(size)
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:  # ValueError: TLS that was shut down
                self._deadline.check()
                raise Broken(self._says(f"the connection broke: {_reason(error)}")) from error
        if not data:
            self._deadline.check()  # a connection that was broken off looks like the end
        return data

    def text(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            RegistryError: it is larger than ``limit`` bytes.
        """
        pieces, size = [], 0
        while data := self.read(65_536):
            size += len(data)
            if size > limit:
                raise RegistryError(self._says(f"an answer of more than {limit} bytes"))
            pieces.append(data)
        return b"".join(pieces)

    def json(self, limit: int) -> Any:
        """The body as JSON.

        Raises:
            RegistryError: it is none, or too large.
        """
        try:
            return json.loads(self.text(limit))
        except (ValueError, RecursionError) as error:
            raise RegistryError(self._says("an answer that is not JSON")) from error

    def complaint(self) -> str:
        """What went wrong, in the registry's words: codes and messages of its errors, else the status."""
        try:
            found = self.json(_ERROR_BYTES)
            errors = found.get("errors") if isinstance(found, dict) else None
            words = [_complaint(one) for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
        except RegistryError:
            words = []
        said = "; ".join(word for word in words if word)
        phrase = http.client.responses.get(self.status, "").lower()
        return f"{self.status} {phrase}".rstrip() + (f": {said[:500]}" if said else "")

    def close(self) -> None:
        """Give the connection back, or up when there is more on it than is worth reading."""
        rest = self._raw.length_remaining
        with suppress(ContainerkitError):
            while rest is not None and rest <= _ERROR_BYTES and self.read(_ERROR_BYTES):
                pass
        self.give_up()

    def give_up(self) -> None:
        """Close the connection, unless all was read."""
        self._raw.close()
        self._raw.release_conn()

    def __enter__(self) -> Response:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Whoever is interrupted does not wait for more.
        self.close() if kind is None else self.give_up()


def _complaint(error: Mapping[str, Any]) -> str:
    return plain(str(error.get("message") or error.get("code") or ""), 500)


def send(
    method: str, url: str, headers: Mapping[str, str], body: Body | None, size: int | None, trust: Trust,
    deadline: Deadline,
) -> Response:  # fmt: skip
    """One request; redirects are not followed, and nothing is tried again.

    Raises:
        RegistryError: no answer.
        Timeout: the deadline has come.
        InvalidArgument: a certificate of ours, or a proxy's address, is none.
    """
    parts = urlsplit(url)
    sent = {"User-Agent": f"containerkit/{__version__}", "Accept-Encoding": "identity", **headers}
    if size is not None:
        sent["Content-Length"] = str(size)
    pool = _pool(parts.scheme, parts.netloc, trust)
    content = None if body is None else body()
    _here.deadline = deadline
    try:
        raw = pool.request(
            method, url, headers=sent, body=content, preload_content=False, decode_content=False, redirect=False,
            retries=False, timeout=urllib3.Timeout(connect=deadline.left(_CONNECT), read=deadline.left(_READ)),
        )  # fmt: skip
    except (urllib3.exceptions.HTTPError, OSError) as error:
        if isinstance(error, ContainerkitError):
            raise
        deadline.check()
        raise _failure(error) from error
    finally:
        _here.deadline = None
        if content is not None:
            content.close()
    return Response(url, raw.status, raw.headers, raw.headers.getlist("WWW-Authenticate"), raw, deadline)


# -- what went wrong -------------------------------------------------------------------------------------------------


def _failure(error: Exception) -> RegistryError:
    cause = _root(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Untrusted(
            f"its certificate is not trusted: {cause.verify_message} (put its CA into certs.d/HOST:PORT/ca.crt, see"
            " containerkit.configuration, or pass tls_verify=False)"
        )
    if isinstance(cause, ssl.SSLError):
        return NoTls(f"it does not speak TLS: {(cause.reason or str(cause)).lower().replace('_', ' ')}")
    if isinstance(error, urllib3.exceptions.ProxyError):
        return Unreachable(f"its proxy cannot be reached: {_reason(cause)}")
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return Unreachable(f"cannot be reached: {_reason(cause)}")
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return Unreachable("cannot be reached: no answer")
    return Broken(f"the connection broke: {_reason(cause)}")


def _root(error: BaseException) -> BaseException:
    """The innermost of the errors that the library has wrapped into each other."""
    while True:
        around = (error.__cause__, getattr(error, "reason", None), *error.args[:2])
        inner = next((one for one in around if isinstance(one, BaseException)), None)
        if inner is None:
            return error
        error = inner


def _reason(error: BaseException) -> str:
    error = _root(error)
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    # The library's words begin with the object's address.
    return str(error).rpartition(">: ")[2].strip("()'\"").lower() or type(error).__name__


# -- connections -----------------------------------------------------------------------------------------------------


class _Here(threading.local):
    """What the request of this thread belongs to."""

    deadline: Deadline | None = None


_here = _Here()


class _Connection(urllib3.connection.HTTPConnection):
    """One that another thread can break off, whatever it waits for: to send, for the answer, or for more of it."""

    _wire: socket.socket | None = None

    def connect(self) -> None:
        super().connect()
        # Kept: the library forgets it when the server announces that it will close.
        self._wire = self.sock
        if _here.deadline is not None:
            _here.deadline.check()
            self.sock.settimeout(_here.deadline.left(_READ))

    def request(self, *arguments: Any, **more: Any) -> None:
        with (_here.deadline or Deadline()).watching(self):
            super().request(*arguments, **more)

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as the library's own
        with (_here.deadline or Deadline()).watching(self):
            return super().getresponse()

    def wait_for(self, seconds: float) -> None:
        """How long to wait for the next byte."""
        if self._wire is not None:
            self._wire.settimeout(seconds)

    def abort(self) -> None:
        """Wake whoever waits at it."""
        if self._wire is not None:
            with suppress(OSError):
                self._wire.shutdown(socket.SHUT_RDWR)


class _TlsConnection(_Connection, urllib3.connection.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        # Whoever does without has said so: the library need not warn.
        self.is_verified = True


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def _pool(scheme: str, authority: str, trust: Trust) -> urllib3.PoolManager:
    """Connections of one host, kept from call to call; new ones when the environment or a certificate has changed."""
    files = (*trust.authorities, *(trust.client or ())) if scheme == "https" else ()
    # A child of ours (fork) makes its own: two processes cannot share a connection.
    return _kept(os.getpid(), scheme, authority, trust, _proxy(scheme, authority), tuple(map(_stamp, files)))


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


@lru_cache(maxsize=64)
def _kept(
    process: int, scheme: str, authority: str, trust: Trust, proxy: str | None, stamps: tuple[tuple[int, int], ...]
) -> urllib3.PoolManager:
    options: dict[str, Any] = {"maxsize": 8, "block": False, "blocksize": 1 << 18}
    if scheme == "https":
        options["ssl_context"] = _context(trust)
    manager = urllib3.PoolManager(**options) if proxy is None else _through(proxy, options)
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager


def _proxy(scheme: str, authority: str) -> str | None:
    if is_loopback(authority) or urllib.request.proxy_bypass(authority):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(scheme) or proxies.get("all")


def _through(proxy: str, options: Mapping[str, Any]) -> urllib3.ProxyManager:
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        where = f"{parts.hostname}:{parts.port}"
    except ValueError:
        # Not the address: there may be a password in it.
        raise InvalidArgument("proxy: not an address (see http_proxy and https_proxy)") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unsupported(f"proxy {parts.scheme}://{where}: only HTTP proxies (see http_proxy and https_proxy)")
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    headers = urllib3.make_headers(proxy_basic_auth=login) if login else None
    return urllib3.ProxyManager(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", proxy_headers=headers, **options)


def _context(trust: Trust) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        for path in trust.authorities:
            context.load_verify_locations(path)
        if trust.client is not None:
            context.load_cert_chain(*trust.client)
    except (OSError, ssl.SSLError) as error:
        names = ", ".join((*trust.authorities, *(trust.client or ())))
        raise InvalidArgument(f"certificates {names}: {error}") from error
    if not trust.verify:
        # Somebody has said so: the library need not warn of it at each request.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
