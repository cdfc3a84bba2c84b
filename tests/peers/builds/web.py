"""The web server that ADD fetches from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate

from tests.loopback import Handler, serve
from tests.peers.builds.case import THEN
from tests.peers.builds.corpus.adding import ARCHIVES, SERVED

_DATED = {"Last-Modified": formatdate(THEN - 100, usegmt=True)}


@contextmanager
def serving() -> Iterator[str]:
    """Its address."""
    archive = ARCHIVES["a.tar.gz"]
    assert isinstance(archive, bytes)
    with serve() as web:
        web.otherwise = lambda handler: _say(handler, 404)
        for path in ("/note.txt", "/dir/note.txt?query=1", "/"):
            web.on(path, lambda handler: _say(handler, 200, SERVED, **_DATED))
        web.on("/undated.txt", lambda handler: _say(handler, 200, SERVED))
        web.on("/a.tar.gz", lambda handler: _say(handler, 200, archive, **_DATED))
        web.on("/moved", lambda handler: _say(handler, 302, Location="/note.txt"))
        yield web.url("")


def _say(handler: Handler, status: int, body: bytes = b"", **headers: str) -> None:
    sent = b"" if handler.command == "HEAD" else body
    handler.say(status, {"Content-Length": str(len(body)), "Connection": "close", **headers}, sent)
