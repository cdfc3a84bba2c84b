"""Attached to a container's own streams: input that stays open, several clients, terminals, detaching."""

from __future__ import annotations

import threading
import time

import pytest

import containerkit as ck
from containerkit import Engine, Image


def test_input_stays_open_until_a_client_closes_it(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", "cat", stdin_open=True)
    with container.attach() as one:
        assert one.stdin and one.stdout
        one.stdin.write(b"first\n")
        assert one.stdout.readline() == b"first\n"
    assert container.status == "running"
    assert container.attach().communicate(b"second\n", timeout=60) == (b"second\n", b"")
    assert container.wait(timeout=60) == 0
    assert container.logs() == "first\nsecond\n"


def test_several_clients_see_the_same_from_now_on(engine: Engine, image: Image) -> None:
    with engine.run("busybox", ["sh", "-c", "echo early; while read x; do echo $x; echo err $x >&2; done"],
                    stdin_open=True) as container:  # fmt: skip
        while "early" not in container.logs():
            time.sleep(0.01)
        clients = [container.attach() for _ in range(5)]
        quiet = container.attach(stdin=False, stderr=False)
        assert quiet.stdin is None and quiet.stderr is None
        stdin = clients[0].stdin
        assert stdin is not None
        stdin.write(b"hello\n")
        for client in clients:
            assert client.stdout and client.stderr
            assert client.stdout.readline() == b"hello\n" and client.stderr.readline() == b"err hello\n"
        container.kill()
        for client in (*clients, quiet):
            assert client.wait(timeout=60) == 137
            client.close()


def test_a_terminal_with_resize_and_detach_keys(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sh", tty=True, stdin_open=True) as container:
        client = container.attach()
        assert client.stdin and client.stdout and client.stderr is None
        client.resize(33, 99)
        client.stdin.write(b"stty size\n")
        seen = b""
        while b"33 99" not in seen:
            seen += client.stdout.read(100)
        client.stdin.write(b"\x10")
        client.stdin.write(b"\x11")
        assert client.stdin.closed and client.stdout.closed
        assert container.status == "running"
        with container.attach() as again:
            assert again.stdin
            again.stdin.write(b"exit 4\n")
            assert again.wait(timeout=60) == 4


def test_a_client_that_does_not_read_holds_nobody_up(engine: Engine, image: Image) -> None:
    with engine.run("busybox", ["sh", "-c", "read x; dd if=/dev/zero bs=1M count=40; echo done >&2"],
                    stdin_open=True, log_options={"max_size": -1}) as container:  # fmt: skip
        lazy = container.attach(stderr=False)
        assert lazy.stdin
        lazy.stdin.write(b"go\n")
        assert container.wait(timeout=60) == 0
        assert container.logs(stdout=False).endswith("done\n")
        lazy.close()


def test_output_that_is_read_late_is_whole(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", ["sh", "-c", "read x; dd if=/dev/zero bs=1M count=8"], stdin_open=True)
    client = container.attach(stderr=False)
    assert client.stdin and client.stdout
    client.stdin.write(b"go\n")
    assert container.wait(timeout=60) == 0
    total = 0
    while data := client.stdout.read(1 << 20):
        total += len(data)
    assert total == 8 << 20
    client.close()


def test_attach_in_a_thread_and_to_what_has_ended(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", "cat", stdin_open=True, name="ended")
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(container.attach().communicate(b"x" * 100_000)[0]))
    thread.start()
    thread.join(60)
    assert got == [b"x" * 100_000]
    container.wait(timeout=60)
    with pytest.raises(ck.InvalidState, match="container ended: cannot attach: it is exited"):
        container.attach()
    with pytest.raises(ck.InvalidArgument, match="detach_keys"):
        engine.run("busybox", "sleep 60", remove=True).attach(detach_keys="ctrl-")
