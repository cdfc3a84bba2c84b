"""Requests: connections that are kept, certificates, proxies, redirects, retries. The only place with an HTTP library.

Redirects are followed here and not by the library: what is for a registry's eyes only (an Authorization) is not sent to
where it points, and it cannot point where a registry has no business: from https to http, or from outside into this
machine and its link (169.254.169.254 knows a cloud's secrets).

Sources: RFC 9110 (Retry-After, redirects), RFC 6585 (429).
"""

from __future__ import annotations

import email.utils
import http.client
import io
import json
import random
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any, BinaryIO, Protocol
from urllib.parse import urljoin, urlsplit

import urllib3

from containerkit import __version__
from containerkit.errors import InvalidArgument, RegistryError, Timeout, Unsupported
from containerkit.registry.hosts import Trust, address_of, is_loopback

#: Seconds: to connect, and between two bytes.
_CONNECT, _READ = 10.0, 60.0
#: How often a request is sent, and how often a host that does not answer at all is called.
_ATTEMPTS, _CONNECTS = 5, 2
#: Seconds before the second attempt, or less; each further one waits twice as long, or as long as the registry asks, up
#: to this.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 60.0
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_REDIRECTS = 5
#: Bytes of an answer that says what went wrong.
_ERROR_BYTES = 65_536


class Deadline:
    """When a call has to be over, and whether somebody has called it off; for all threads of it."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds
        self._off = threading.Event()
        self._waiting: set[Response] = set()

    def part(self) -> Deadline:
        """The same moment, for a part of the call that can be called off alone."""
        found = Deadline(self._seconds)
        found._end = self._end
        return found

    def call_off(self) -> None:
        """Let every thread stop at once, those too that wait for something to read."""
        self._off.set()
        for response in list(self._waiting):
            response.abort()

    @contextmanager
    def watching(self, response: Response) -> Iterator[None]:
        """A wait for something of ``response``: a call-off ends it."""
        self._waiting.add(response)
        try:
            self.check()
            yield
        finally:
            self._waiting.discard(response)

    def check(self) -> None:
        """
        Raises:
            Timeout: time is up.
            RegistryError: it was called off.
        """
        if self._off.is_set():
            raise RegistryError("called off")
        if self._end is not None and time.monotonic() >= self._end:
            raise Timeout(f"not done after {self._seconds:g} s")

    def left(self, most: float) -> float:
        """Seconds until then, at most ``most``."""
        return most if self._end is None else max(0.01, min(most, self._end - time.monotonic()))

    def sleep(self, seconds: float) -> None:
        """Wait; the end, or a call-off, comes in between."""
        self._off.wait(self.left(seconds))
        self.check()


class Body(Protocol):
    """What is sent: opened anew for each attempt."""

    def __call__(self) -> BinaryIO: ...


@dataclass(eq=False)
class Response:
    """An answer whose body is read by whoever asked; a context manager that gives the connection back.

    ``url`` is where it came from in the end.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    challenges: list[str]
    _raw: urllib3.BaseHTTPResponse
    _deadline: Deadline

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; empty at the end.

        Raises:
            RegistryError: the connection broke.
        """
        with self._deadline.watching(self):
            try:
                return self._raw.read1(size)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                self._deadline.check()
                raise Broken(f"the connection broke: {_reason(error)}") from error

    def text(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            RegistryError: it is larger than ``limit`` bytes.
        """
        pieces, size = [], 0
        while data := self.read(65_536):
            size += len(data)
            if size > limit:
                raise RegistryError(f"an answer of more than {limit} bytes")
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
            raise RegistryError("an answer that is not JSON") from error

    def complaint(self) -> str:
        """What went wrong, in the registry's words: codes and messages of its errors, else the status."""
        try:
            found = self.json(_ERROR_BYTES)
            errors = found.get("errors") if isinstance(found, dict) else None
            words = [_complaint(one) for one in errors or [] if isinstance(one, dict)]
        except RegistryError:
            words = []
        said = "; ".join(word for word in words if word)
        phrase = http.client.responses.get(self.status, "").lower()
        return f"{self.status} {phrase}" + (f": {said[:500]}" if said else "")

    def abort(self) -> None:
        """Wake whoever reads it, in another thread: nothing more will come."""
        connection = getattr(self._raw, "connection", None)
        sock = getattr(connection, "sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection back, or up when there is more on it than is worth reading."""
        rest = self._raw.length_remaining
        if rest is not None and rest <= _ERROR_BYTES:
            self._raw.drain_conn()
        else:
            self._raw.close()
        self._raw.release_conn()

    def __enter__(self) -> Response:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _complaint(error: Mapping[str, Any]) -> str:
    message = error.get("message") or error.get("code")
    return " ".join(str(message).split()) if message else ""


class Broken(RegistryError):
    """The connection broke: the next attempt may have more luck."""


class Unreachable(Broken):
    """There was no connection."""


class Transport:
    """Requests to one host and to where it redirects.

    Args:
        trust: how the certificate of a host and port is looked at.
        deadline: when all has to be over.
    """

    def __init__(self, trust: Callable[[str], Trust], deadline: Deadline) -> None:
        self._trust, self._deadline = trust, deadline

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: Body | None = None,
        size: int | None = None, *, attempts: int = _ATTEMPTS,
    ) -> Response:  # fmt: skip
        """Send a request, again when that may help, and follow redirects.

        Args:
            body: what is sent, of ``size`` bytes.
            attempts: how often at most.

        Raises:
            RegistryError: no answer, or a redirect that is not to be followed.
            Timeout: the deadline has come.
        """
        for attempt in range(1, attempts + 1):
            self._deadline.check()
            is_last = attempt == attempts
            try:
                response = self._follow(method, url, dict(headers or {}), body, size)
            except Unreachable:
                if attempt >= min(attempts, _CONNECTS):
                    raise
                asked = None
            except Broken:
                if is_last:
                    raise
                asked = None
            else:
                if response.status not in _PASSING or is_last:
                    return response
                asked = retry_after(response.headers.get("Retry-After", ""), time.time())
                if asked is not None and asked > _LONGEST_PAUSE:
                    return response
                response.close()
            self.pause(attempt, asked)
        raise AssertionError("unreachable")

    def pause(self, failures: int, asked: float | None = None) -> None:
        """Wait before another attempt: for as long as was asked for, else the longer the more have failed."""
        # Not all at once: who was turned away together comes back apart.
        seconds = min(_FIRST_PAUSE * 2**failures, _LONGEST_PAUSE) * random.uniform(0.5, 1.0)
        self._deadline.sleep(seconds if asked is None else asked)

    def _follow(self, method: str, url: str, headers: dict[str, str], body: Body | None, size: int | None) -> Response:
        for _ in range(_REDIRECTS):
            response = self._send(method, url, headers, body, size)
            target = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or not target:
                return response
            response.close()
            following = urljoin(url, target)
            self.check_way(url, following, "redirects")
            if _origin(following) != _origin(url):
                headers.pop("Authorization", None)
            if response.status == 303 and method not in ("GET", "HEAD"):
                method, body, size = "GET", None, None
            url = following
        raise RegistryError(f"more than {_REDIRECTS} redirects")

    def check_way(self, origin: str, target: str, verb: str) -> None:
        """Whether a registry may send us there.

        Raises:
            RegistryError: from https to http, to this machine or its link from outside, or to no address of the web.
        """
        here, there = urlsplit(origin), urlsplit(target)
        if there.scheme not in ("https", "http") or not there.hostname or there.username:
            raise RegistryError(f"{verb} to {_shown(target)}, which is no address of the web")
        if here.scheme == "https" and there.scheme == "http":
            raise RegistryError(f"{verb} from https to http ({_shown(target)})")
        if there.netloc != here.netloc and not _is_local(here.netloc) and _is_local(there.netloc):
            raise RegistryError(f"{verb} to {_shown(target)}, an address of this machine or its link")

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: Body | None, size: int | None) -> Response:
        parts = urlsplit(url)
        sent = {"User-Agent": f"containerkit/{__version__}", "Accept-Encoding": "identity", **headers}
        if size is not None:
            sent["Content-Length"] = str(size)
        content = None if body is None else body()
        try:
            raw = _pool(parts.scheme, parts.netloc, self._trust(parts.netloc)).request(
                method, url, headers=sent, body=content, preload_content=False, decode_content=False, redirect=False,
                retries=False,
                timeout=urllib3.Timeout(connect=self._deadline.left(_CONNECT), read=self._deadline.left(_READ)),
            )  # fmt: skip
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._deadline.check()
            raise _failure(error) from error
        finally:
            if content is not None:
                content.close()
        return Response(url, raw.status, raw.headers, raw.headers.getlist("WWW-Authenticate"), raw, self._deadline)


def _failure(error: Exception) -> RegistryError:
    cause: BaseException = error
    while (inner := cause.__cause__ or getattr(cause, "reason", None)) is not None and isinstance(inner, Exception):
        cause = inner
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Untrusted(f"its certificate is not trusted: {cause.verify_message}")
    if isinstance(cause, ssl.SSLError):
        return NoTls(f"it does not speak TLS: {(cause.reason or str(cause)).lower().replace('_', ' ')}")
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return Unreachable(f"cannot be reached: {_reason(cause)}")
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return Unreachable("cannot be reached: no answer")
    return Broken(f"the connection broke: {_reason(cause)}")


class Untrusted(RegistryError):
    """Nobody vouches for the certificate."""


class NoTls(RegistryError):
    """What answers does not speak TLS."""


def _reason(error: BaseException) -> str:
    while (inner := getattr(error, "reason", None)) is not None and isinstance(inner, BaseException):
        error = inner
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    # The library's words begin with the object's address.
    return str(error).rpartition(">: ")[2].strip("()'\"").lower() or type(error).__name__


def retry_after(text: str, now: float) -> float | None:
    """Seconds to wait, from a Retry-After header: a number of them, or a date; None when it is neither."""
    if text.strip().isdigit():
        return float(text) if len(text) < 12 else None
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return max(0.0, moment.timestamp() - now)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{':' + str(parts.port) if parts.port else ''}{parts.path}"[:200]


@lru_cache(maxsize=256)
def _is_local(authority: str) -> bool:
    """Whether it is this machine, or an address that is only known on its link; a name by what it stands for."""
    if is_loopback(authority):
        return True
    name = urlsplit(f"//{authority}").hostname or ""
    address = address_of(name)
    if address is not None:
        return address.is_link_local or address.is_loopback or address.is_unspecified
    try:
        found = {info[4][0] for info in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    addresses = [address_of(str(one).partition("%")[0]) for one in found]
    return any(one.is_link_local or one.is_loopback or one.is_unspecified for one in addresses if one is not None)


@lru_cache(maxsize=64)
def _pool(scheme: str, authority: str, trust: Trust) -> urllib3.PoolManager:
    """Connections of one host: kept from call to call."""
    options: dict[str, Any] = {"maxsize": 8, "block": False, "blocksize": 1 << 18}
    if scheme == "https":
        options["ssl_context"] = _context(trust)
        options["assert_hostname"] = None if trust.verify else False
    proxy = _proxy(scheme, authority)
    if proxy is None:
        return urllib3.PoolManager(**options)
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme not in ("http", "https"):
        raise Unsupported(f"proxy {parts.scheme}://{parts.hostname}: only HTTP proxies (see {scheme}_proxy)")
    login = f"{parts.username}:{parts.password or ''}" if parts.username else None
    bare = f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    headers = urllib3.make_headers(proxy_basic_auth=login) if login else None
    return urllib3.ProxyManager(bare, proxy_headers=headers, **options)


def _proxy(scheme: str, authority: str) -> str | None:
    # As everybody reads http_proxy, https_proxy, all_proxy and no_proxy.
    if urllib.request.proxy_bypass(authority):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(scheme) or proxies.get("all")


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
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def of_bytes(data: bytes) -> Callable[[], BinaryIO]:
    """A body that is ``data``."""
    return lambda: io.BytesIO(data)
