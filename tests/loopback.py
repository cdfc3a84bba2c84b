"""A web server on loopback whose answers the test gives, one by one."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from containerkit.registry.deadline import Deadline
from containerkit.registry.transport import Transport


@dataclass(frozen=True)
class Request:
    """What somebody asked for."""

    method: str
    path: str
    headers: Message
    body: bytes


class Handler(BaseHTTPRequestHandler):
    """One connection; answers are functions that write to it."""

    protocol_version = "HTTP/1.1"
    web: Web

    def setup(self) -> None:
        super().setup()
        self.web.connections += 1

    def _serve(self) -> None:
        answer = self.web._next(self.path)
        body = (
            b""
            if getattr(answer, "reads_nothing", False)
            else self.rfile.read(int(self.headers["Content-Length"] or 0))
        )
        self.web.requests.append(Request(self.command, self.path, self.headers, body))
        answer(self)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def say(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if headers.get("Connection") == "close":
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *arguments: Any) -> None:
        pass


Answer = Callable[[Handler], None]


def says(status: int = 200, body: bytes = b"", **headers: str) -> Answer:
    """An answer with its length; ``Retry_After="1"`` is a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(handler: Handler) -> None:
        handler.say(status, {"Content-Length": str(len(body)), **named}, b"" if handler.command == "HEAD" else body)

    return answer


def chunked(*pieces: bytes) -> Answer:
    """An answer in pieces whose length nobody tells."""

    def answer(handler: Handler) -> None:
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))
        handler.say(200, {"Transfer-Encoding": "chunked"}, body)

    return answer


def breaks(handler: Handler) -> None:
    """No answer: the connection is closed."""
    handler.close_connection = True


def stalls(status: int = 0, body: bytes = b"", **headers: str) -> Answer:
    """The beginning of an answer, or nothing at all; the rest does not come until the test is over."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(handler: Handler) -> None:
        if status:
            handler.say(status, {**({} if named.get("Connection") else {"Content-Length": "1000"}), **named}, body)
        handler.web.over.wait(20)
        handler.close_connection = True

    return answer


def reads_nothing(handler: Handler) -> None:
    """Whoever sends something has to wait."""
    handler.web.over.wait(20)
    handler.close_connection = True


reads_nothing.reads_nothing = True  # type: ignore[attr-defined]  # a mark


@dataclass
class Web:
    """One server.

    ``requests`` are those it had, ``connections`` how many connections they came over; ``otherwise`` is the answer for
    paths that no other was given for.
    """

    scheme: str = "http"
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    otherwise: Answer = field(default_factory=lambda: says(404))
    over: threading.Event = field(default_factory=threading.Event)
    _answers: dict[str, list[Answer]] = field(default_factory=dict)

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"{self.scheme}://{self.authority}{path}"

    def on(self, path: str, *answers: Answer) -> str:
        """Answer to requests of ``path`` in this order; the last one again and again. Its URL."""
        self._answers[path] = list(answers)
        return self.url(path)

    def _next(self, path: str) -> Answer:
        answers = self._answers.get(path) or [self.otherwise]
        return answers.pop(0) if len(answers) > 1 else answers[0]


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        pass  # whoever goes away in the middle, and whoever speaks no TLS, is part of the test


@contextmanager
def serve(context: ssl.SSLContext | None = None) -> Iterator[Web]:
    """A server for the time of the ``with``; with TLS when a context is given."""
    web = Web("http" if context is None else "https")
    handler = type("_Handler", (Handler,), {"web": web})
    server = _Server(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield web
    finally:
        web.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Clock(Deadline):
    """A deadline that notes what it is asked to sleep, and does not."""

    def __init__(self, seconds: float | None = None) -> None:
        super().__init__(seconds)
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.check()


def get(client: Transport, url: str, **more: Any) -> tuple[int, bytes]:
    """A request's status and body."""
    with client.request("GET", url, **more) as response:
        return response.status, response.text(1 << 20)
