"""Calls to registries end in time, and at once when they are called off."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from containerkit.errors import ContainerkitError, RegistryError, Timeout
from containerkit.registry import connections
from containerkit.registry.connections import of_bytes
from containerkit.registry.deadline import Deadline
from containerkit.registry.hosts import Trust
from containerkit.registry.transport import Transport
from tests import loopback
from tests.loopback import Web, get, says, stalls


def asking(deadline: Deadline) -> Transport:
    return Transport(lambda authority: Trust(verify=False), deadline)


def within(seconds: float, work: Callable[[], Any]) -> Any:
    began = time.monotonic()
    try:
        return work()
    finally:
        assert time.monotonic() - began < seconds


@pytest.mark.parametrize("answer", [stalls(), stalls(200, b"half"), stalls(200, b"half", Connection="close")])
def test_a_call_ends_at_its_deadline(web: Web, answer: loopback.Answer) -> None:
    url = web.on("/v2/", answer)
    for attempts in (1, 5):
        client = asking(Deadline(0.3))
        with pytest.raises(Timeout, match="^not done after 0.3 s$"):
            within(30, partial(get, client, url, attempts=attempts))


def test_a_deadline_holds_though_bytes_trickle_in(web: Web) -> None:
    def trickles(handler: loopback.Handler) -> None:
        handler.say(200, {"Content-Length": "1000"})
        for _ in range(8):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            handler.web.over.wait(0.24)
        handler.web.over.wait(20)
        handler.close_connection = True

    url = web.on("/v2/", trickles)
    client = asking(Deadline(2))
    # The last byte comes shortly before the deadline: what is waited for after it is not what was waited for at first.
    with pytest.raises(Timeout):
        within(3.5, lambda: get(client, url))


def test_a_registry_that_is_slow_to_take_what_it_gets_is_waited_for(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_CONNECT", 0.3)
    sizes = []

    def slow(handler: loopback.Handler) -> None:
        time.sleep(0.8)
        sizes.append(len(handler.rfile.read(int(handler.headers["Content-Length"]))))
        says(201)(handler)

    slow.reads_nothing = True  # type: ignore[attr-defined]  # before it is called
    body = of_bytes(b"x" * (32 << 20))
    with asking(Deadline()).request("PUT", web.on("/upload", slow), {}, body, 32 << 20, attempts=1) as response:
        assert response.status == 201
    assert sizes == [32 << 20]


def test_a_deadline_ends_a_pause(web: Web) -> None:
    url = web.on("/v2/", says(503, Retry_After="30"))
    client = asking(Deadline(0.2))
    with pytest.raises(Timeout):
        within(30, lambda: get(client, url))


def test_a_deadline_that_has_passed_asks_nobody(web: Web) -> None:
    deadline = Deadline(0.01)
    time.sleep(0.02)
    with pytest.raises(Timeout):
        asking(deadline).request("GET", web.url("/v2/"))
    assert web.requests == []


def test_what_is_not_worth_reading_is_not_waited_for(web: Web) -> None:
    # A first answer is read to its end before the connection is used again: for no longer than there is time.
    url = web.on("/v2/", stalls(503, b"half"), says(200, b"here"))
    with pytest.raises(Timeout):
        within(30, lambda: get(asking(Deadline(0.5)), url))


def test_whoever_is_interrupted_waits_for_nothing(web: Web) -> None:
    url = web.on("/v2/", stalls(200, b"half"))

    def interrupted() -> None:
        with asking(Deadline()).request("GET", url):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        within(20, interrupted)


@pytest.mark.parametrize(
    "answer",
    [stalls(), stalls(200, b"half"), stalls(200, b"half", Connection="close"), says(503, Retry_After="20")],
    ids=["before the answer", "in the answer", "in an answer without length", "in a pause"],
)
def test_calling_off_wakes_whoever_waits(web: Web, answer: loopback.Answer) -> None:
    url = web.on("/v2/", answer)
    deadline = Deadline()
    _call_off(deadline, lambda: get(asking(deadline), url), lambda: bool(web.requests))


def test_calling_off_wakes_whoever_sends(web: Web) -> None:
    url = web.on("/upload", loopback.reads_nothing)
    deadline = Deadline()
    client = asking(deadline)
    body = of_bytes(b"x" * (32 << 20))
    _call_off(deadline, lambda: client.request("PUT", url, {}, body, 32 << 20), lambda: web.connections > 0)


def _call_off(deadline: Deadline, work: Callable[[], Any], is_at_it: Callable[[], bool]) -> None:
    failed: list[BaseException] = []

    def wait() -> None:
        try:
            work()
        except ContainerkitError as error:
            failed.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    end = time.monotonic() + 60
    while not is_at_it():
        assert time.monotonic() < end
        time.sleep(0.005)
    time.sleep(0.1)
    deadline.call_off()
    thread.join(15)  # the server gives up after 20
    assert not thread.is_alive()
    assert [str(error) for error in failed] == ["called off"]


def test_nobody_begins_to_wait_once_a_call_is_off(web: Web) -> None:
    deadline = Deadline()
    with asking(deadline).request("GET", web.on("/v2/", says(200, b"x" * 100))) as response:
        deadline.call_off()
        with pytest.raises(RegistryError, match="^called off$"):
            response.read(10)


def test_a_part_is_called_off_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    whole = Deadline(60)
    now[0] += 5
    part = whole.part()
    part.call_off()
    with pytest.raises(RegistryError, match="called off"):
        part.check()
    whole.check()
    assert whole.left(100) == part.left(100) == 55
    assert whole.left(5) == 5 and Deadline().left(100) == 100


@pytest.mark.parametrize("answer", [stalls(), stalls(200, b"half"), stalls(200, b"half", Connection="close")])
def test_calling_off_wakes_whoever_waits_for_tls(tls: ssl.SSLContext, answer: loopback.Answer) -> None:
    with loopback.serve(tls) as web:
        url = web.on("/v2/", answer)
        deadline = Deadline()
        client = asking(deadline)
        _call_off(deadline, lambda: get(client, url), lambda: bool(web.requests))
