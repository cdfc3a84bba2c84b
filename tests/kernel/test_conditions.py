"""Waiting until a container is ready."""

from __future__ import annotations

import re
import time

import pytest

import containerkit as ck
from containerkit import Engine, Image

_WEB = "mkdir /www && echo hello >/www/index.html && sleep 0.3 && exec httpd -f -p 8080 -h /www"


def test_a_container_becomes_ready(engine: Engine, image: Image) -> None:
    script = "echo starting; sleep 0.2; touch /tmp/there; echo ready in 3 s; " + _WEB
    with engine.run("busybox", ["sh", "-c", script]) as web:
        assert web.wait_for(ck.until.log("ready")) is web
        web.wait_for(ck.until.log(re.compile(r"in \d s"))).wait_for(ck.until.file("/tmp/there"))
        web.wait_for(ck.until.port(8080)).wait_for(ck.until.http(port=8080))
        web.wait_for(ck.until.http("/absent", port=8080, status=404))
        web.wait_for(ck.until.exec(["test", "-d", "/www"]))


def test_a_healthy_container_is_waited_for(engine: Engine, image: Image) -> None:
    check = {"test": ["CMD", "test", "-e", "/tmp/well"], "interval": "100ms", "retries": 100}
    with engine.run("busybox", ["sh", "-c", "sleep 0.3; touch /tmp/well; exec sleep 60"], healthcheck=check) as it:
        assert it.wait_for(ck.until.healthy(), timeout=60).health == "healthy"
    with engine.run("busybox", "sleep 60") as it, pytest.raises(ck.InvalidArgument, match="no health check"):
        it.wait_for(ck.until.healthy())


def test_one_that_ends_first_fails_at_once_with_its_log(engine: Engine, image: Image) -> None:
    with engine.run("busybox", ["sh", "-c", "sleep 0.2; echo no such thing >&2; exit 3"], name="web") as web:
        began = time.monotonic()
        with pytest.raises(ck.InvalidState, match=r"container web: ended \(exit code 3\) before listening") as failed:
            web.wait_for(ck.until.port(80), timeout=60)
        assert "no such thing" in failed.value.log and time.monotonic() - began < 50
        # What it said before its end counts.
        assert web.wait_for(ck.until.log("no such")).exit_code == 3


def test_one_that_is_never_ready_is_named_with_its_log(engine: Engine, image: Image) -> None:
    with engine.run("busybox", ["sh", "-c", "echo still busy; exec sleep 60"], name="web") as web:
        web.wait_for(ck.until.log("busy"))
        for condition in (ck.until.http("/", port=80), ck.until.exec(["false"]), ck.until.file("/x")):
            with pytest.raises(ck.Timeout, match="container web: not .* after 0.3 s") as late:
                web.wait_for(condition, timeout="300ms")
            assert "still busy" in late.value.log
        assert web.status == "running"
    with pytest.raises(ck.NotFound):
        web.wait_for(ck.until.file("/x"))


def test_a_look_that_hangs_does_not_outlast_the_wait(engine: Engine, image: Image) -> None:
    drip = "while :; do { printf 'HTTP/1.1 200 OK'; sleep 60; } | nc -l -p 8080; done"
    with engine.run("busybox", ["sh", "-c", drip], name="web") as web:
        web.wait_for(ck.until.port(8080))
        for condition in (ck.until.exec(["sleep", "60"]), ck.until.http(port=8080)):
            began = time.monotonic()
            with pytest.raises(ck.Timeout):
                web.wait_for(condition, timeout=0.5)
            assert time.monotonic() - began < 50
        with pytest.raises(ck.InvalidArgument, match="condition 'healthy': expected one of ck.until"):
            web.wait_for("healthy")  # type: ignore[arg-type]  # wrong on purpose


def test_what_an_earlier_run_said_does_not_count(engine: Engine, image: Image) -> None:
    script = "[ -e /once ] || { touch /once; echo ready; }; exec sleep 60"
    with engine.run("busybox", ["sh", "-c", script], stop_signal="KILL") as it:
        it.wait_for(ck.until.log("ready")).restart()
        with pytest.raises(ck.Timeout):
            it.wait_for(ck.until.log("ready"), timeout=0.2)
    created = engine.create("busybox", "true", name="new")
    with pytest.raises(ck.InvalidState, match="never started"):
        created.wait_for(ck.until.log("ready"))


@pytest.mark.parametrize("make", [lambda: ck.until.port(0), lambda: ck.until.port(80, "sctp"),
                                  lambda: ck.until.http("x"), lambda: ck.until.exec("sh -c true")])  # fmt: skip
def test_conditions_that_cannot_be(make: object) -> None:
    with pytest.raises(ck.InvalidArgument):
        make()  # type: ignore[operator]  # a lambda
