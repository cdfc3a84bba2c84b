"""A terminal in a notebook: keys, sizes, ends; what a page is told; without a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from containerkit import Container, Engine, Image, InvalidState, RuntimeFailure
from containerkit.notebook.terminal import Terminal
from tests.kernel.test_dashboard import FOREVER
from tests.waiting import eventually


@pytest.fixture
def web(image: Image) -> Container:
    return image.run(FOREVER, name="web", network="none", stop_timeout=0)


@contextmanager
def opened(container: Container, command: Any = None) -> Iterator[Terminal]:
    before = set(threading.enumerate())
    with closing(container.terminal(command)) as terminal:
        yield terminal
    assert set(threading.enumerate()) <= before


def say(terminal: Terminal, **content: object) -> None:
    terminal._handle_custom_msg(content, [])


def test_what_is_typed_is_answered(web: Container) -> None:
    with opened(web) as terminal:
        terminal.type("echo $((6*7)) $TERM\r")
        assert eventually(lambda: "\r\n42 xterm-256color\r\n" in terminal.output)
        terminal.resize(20, 66)
        terminal.type("stty size\r")
        assert eventually(lambda: "\r\n20 66\r\n" in terminal.output)
        terminal.type("sleep 99\r")
        assert eventually(lambda: any("sleep 99" in one.command for one in web.top()))
        terminal.type("\x03")
        assert eventually(lambda: "#" in terminal.output.partition("^C")[2])
        terminal.type("exit 3\r")
        assert eventually(lambda: terminal.exit_code == 3) and repr(terminal) == "Terminal('web')"


def test_a_page_that_opens_later_is_told_what_was_written(web: Container) -> None:
    with opened(web, "echo early") as terminal:
        assert eventually(lambda: terminal.exit_code == 0)
        sent: list[Any] = []
        terminal.send = lambda content, buffers=None: sent.append((content, buffers))
        say(terminal, kind="hello")
        assert sent == [
            ({"kind": "output", "is_new": True, "turn": 1}, [b"early\r\n"]),
            ({"kind": "ended", "exit": 0}, None),
        ]
        say(terminal, kind="library")
        assert sent[-1][0] == {"kind": "library"} and b"export{" in sent[-1][1][0] and b".xterm" in sent[-1][1][1]


def has_stopped(sent: list[int]) -> bool:
    before = len(sent)
    time.sleep(0.5)
    return len(sent) == before


def test_a_process_waits_for_a_page_that_cannot_draw_so_fast(web: Container) -> None:
    with opened(web, "cat") as terminal:
        sent: list[int] = []
        terminal.send = lambda content, buffers=None: sent.append(sum(map(len, buffers or [])))
        say(terminal, kind="hello")
        terminal.type("\x04")
        assert eventually(lambda: terminal.exit_code == 0)
    with opened(web, "yes") as terminal:
        sent.clear()
        terminal.send = lambda content, buffers=None: sent.append(sum(map(len, buffers or [])))
        say(terminal, kind="hello")
        assert eventually(lambda: sum(sent) >= 512 * 1024)
        assert eventually(lambda: has_stopped(sent))
        assert sum(sent) < 640 * 1024 and len(terminal._kept) <= 128 * 1024
        total = sum(sent)
        for _ in range(2):  # two views of one page
            say(terminal, kind="drawn", turn=1, bytes=total)
        say(terminal, kind="drawn", turn=0, bytes=1 << 30)  # said before the last hello
        assert eventually(lambda: sum(sent) >= total + 512 * 1024)
        time.sleep(0.5)
        assert sum(sent) < total + 640 * 1024


def test_it_ends_with_its_container_and_the_container_goes_on_without_it(web: Container) -> None:
    with opened(web) as terminal:
        assert len(web.top()) == 2
    assert eventually(lambda: len(web.top()) == 1) and web.status == "running"
    with opened(web) as terminal:
        web.stop()
        assert eventually(lambda: terminal.exit_code is not None)


def test_there_is_none_in_what_does_not_run(engine: Engine, image: Image, web: Container) -> None:
    with pytest.raises(InvalidState, match="cannot exec: it is created"):
        image.create("true").terminal()
    with pytest.raises(RuntimeFailure, match="nonsense"):
        web.terminal("nonsense")
