"""How far long work is, as somebody at a terminal sees it; and who shows it."""

from __future__ import annotations

import fcntl
import gc
import io
import os
import re
import struct
import sys
import termios
import threading
import time
import types
from collections.abc import Iterator
from typing import Any

import pytest

from containerkit import progress
from containerkit.errors import InvalidArgument
from containerkit.progress import Bars, Progress, Shown, choose
from tests.waiting import eventually


class Screen:
    """As much of a terminal as is needed: what somebody sees after some output."""

    def __init__(self, width: int = 80, height: int = 24) -> None:
        self.width, self.height = width, height
        self.lines = [""]
        self.row = 0

    def feed(self, output: str) -> Screen:
        for code, count, control, text in re.findall(r"(\x1b\[(\d*)([A-Z]))|([\r\n]|[^\x1b\r\n]+)", output):
            if control == "F":
                self.row = max(self.row - int(count or 1), self._top)
            elif control == "J":
                self.lines[self.row :] = [""]
            elif text == "\n":
                self._down()
            elif text != "\r":
                self._write(text)
            assert code or text
        return self

    def _write(self, text: str) -> None:
        for start in range(0, len(text), self.width):
            if start:
                self._down()
            self.lines[self.row] = text[start : start + self.width]

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")

    @property
    def _top(self) -> int:
        return max(0, len(self.lines) - self.height)

    @property
    def text(self) -> list[str]:
        """Everything, what has scrolled away too."""
        return [line for line in self.lines if line]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every piece of news is drawn."""
    monkeypatch.setattr(progress, "_INTERVAL", 0)
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


def seen(output: io.StringIO) -> list[str]:
    return Screen().feed(output.getvalue()).text


# -- bars ------------------------------------------------------------------------------------------------------------


def test_bars_are_drawn_in_place_and_the_summary_stays(output: io.StringIO) -> None:
    bars = Bars(output)
    bars.begin("pulling busybox:1")
    bars.item("aaa", "waiting", 0, 4096)
    bars.item("bbb", "already there", 10, 10)
    assert seen(output) == ["pulling busybox:1", "aaa  " + "░" * 24 + "  0 B of 4.0 KiB  waiting", "bbb  already there"]
    bars.item("aaa", "downloading", 0, 4096)
    bars.advance("aaa", 2048)
    assert seen(output)[1:] == [
        "aaa  " + "█" * 12 + "░" * 12 + "  2.0 KiB of 4.0 KiB  downloading", "bbb  already there",
    ]  # fmt: skip
    bars.advance("aaa", 4096)
    bars.item("aaa", "unpacking", 4096, 4096)
    assert seen(output) == ["pulling busybox:1", "aaa  unpacking", "bbb  already there"]
    bars.end("busybox:1: 4.0 KiB downloaded")
    assert seen(output) == ["busybox:1: 4.0 KiB downloaded"]
    # What comes after it is below it.
    output.write("$ ")
    assert seen(output) == ["busybox:1: 4.0 KiB downloaded", "$ "]


def test_what_stood_there_before_stays(output: io.StringIO) -> None:
    output.write("$ python pull.py\n")
    bars = Bars(output)
    bars.begin("pulling")
    for number in range(5):
        bars.item(f"layer{number}", "waiting")
    bars.end("over")
    assert seen(output) == ["$ python pull.py", "over"]


def test_work_without_a_title_items_or_a_summary_leaves_nothing(output: io.StringIO) -> None:
    bars = Bars(output)
    bars.begin("")
    bars.end("")
    assert "\n" not in output.getvalue()
    bars = Bars(output)
    bars.item("step", "running")
    bars.advance("other", 5)  # nobody has told of it before
    assert seen(output) == ["step  running", "other  "]
    bars.end("over")
    assert seen(output) == ["over"]


def test_bars_are_never_longer_than_they_are(output: io.StringIO) -> None:
    bars = Bars(output)
    for done, full in ((0, 0), (1, 0), (50, 12), (99, 23)):
        bars.item("x", "downloading", done, 100)
        assert seen(output)[-1].count("█") == full and seen(output)[-1].count("░") == 24 - full
    for done in (100, 150):
        bars.item("x", "downloading", done, 100)
        assert seen(output)[-1] == "x  downloading"


@pytest.fixture
def terminal() -> Iterator[Any]:
    """A terminal: open it with a size; ``read`` gives what was written to it."""
    opened: list[int] = []

    def open_one(width: int, height: int) -> tuple[Any, Any]:
        ours, theirs = os.openpty()
        opened.append(ours)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        os.set_blocking(ours, False)

        def read() -> str:
            data = b""
            try:
                while piece := os.read(ours, 65_536):
                    data += piece
            except (BlockingIOError, OSError):
                pass
            return data.decode()

        return open(theirs, "w", buffering=1), read

    yield open_one
    for descriptor in opened:
        os.close(descriptor)


def test_lines_are_cut_at_the_terminal_s_width_whatever_standard_output_is(terminal: Any) -> None:
    stream, read = terminal(40, 10)
    screen = Screen(40, 10)
    with stream:
        bars = Bars(stream)
        bars.begin("pulling " + "x" * 100)
        for done in range(20):
            bars.item("abcdefabcdef", "downloading", done, 100)
            screen.feed(read())
        assert len(screen.text) == 2 and screen.text[0] == "pulling " + "x" * 31
        bars.end("y" * 100)
        assert screen.feed(read()).text == ["y" * 39]


def test_more_items_than_the_terminal_has_lines_are_counted(terminal: Any) -> None:
    stream, read = terminal(80, 8)
    screen = Screen(80, 8)
    with stream:
        stream.write("before\n")
        bars = Bars(stream)
        bars.begin("pulling")
        for number in range(20):
            bars.item(f"layer{number:02d}", "waiting", 0, 100)
            screen.feed(read())
        rows = screen.text
        assert rows[:2] == ["before", "pulling"] and rows[-1] == "… 15 more"
        assert [row[:7] for row in rows[2:-1]] == [f"layer{number:02d}" for number in range(5)]
        # What is finished makes room for what is not, the earliest first.
        for number in range(18):
            bars.item(f"layer{number:02d}", ("done", "already there", "mounted from x")[number % 3], 100, 100)
            screen.feed(read())
        assert [row[:7] for row in screen.text[2:-1]] == [f"layer{number}" for number in range(15, 20)]
        bars.end("over")
        assert screen.feed(read()).text == ["before", "over"]


@pytest.mark.parametrize(("width", "height"), [(20, 2), (20, 3), (20, 4), (1, 24)])
def test_no_terminal_is_too_small(terminal: Any, width: int, height: int) -> None:
    stream, read = terminal(width, height)
    screen = Screen(width, height)
    with stream:
        bars = Bars(stream)
        bars.begin("pulling")
        for number in range(5):
            bars.item(f"layer{number}", "waiting", 0, 10)
            screen.feed(read())
        bars.end("over")
        assert screen.feed(read()).text == (["over"] if width > 4 else [])


def test_a_terminal_that_does_not_say_how_large_it_is_has_80_columns(terminal: Any) -> None:
    stream, read = terminal(0, 0)
    with stream:
        Bars(stream).begin("x" * 200)
        assert Screen().feed(read()).text == ["x" * 79]


def test_work_goes_on_when_the_terminal_is_gone(output: io.StringIO) -> None:
    bars = Bars(output)
    bars.begin("pulling")
    output.close()
    bars.item("x", "waiting")
    bars.advance("x", 5)
    bars.end("over")
    assert bars.summary == "over" and bars.items["x"].done == 5


def test_news_that_comes_fast_is_drawn_now_and_then(output: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress, "_INTERVAL", 0.1)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])  # type: ignore[attr-defined]  # its own time
    bars = Bars(output)
    bars.begin("pulling")
    bars.item("x", "downloading", 0, 1000)
    for done in range(1000):
        now[0] += 0.001
        bars.advance("x", done)
    assert 8 <= output.getvalue().count("\x1b[J") <= 12
    bars.end("over")
    assert seen(output) == ["over"]


def test_threads_tell_at_once_and_nothing_is_lost(output: io.StringIO) -> None:
    bars = Bars(output)
    bars.begin("pulling")

    def work(key: str) -> None:
        for done in range(200):
            bars.item(key, "downloading", done, 200)
            bars.advance(key, done + 1)

    threads = [threading.Thread(target=work, args=(f"layer{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {item.done for item in bars.items.values()} == {200} and len(seen(output)) == 9


# -- parts and lines -------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])  # type: ignore[attr-defined]  # its own time
    return now


def test_a_part_is_a_block_with_its_steps_and_the_last_lines_of_the_one_that_runs(
    output: io.StringIO, clock: list[float]
) -> None:
    bars = Bars(output)
    bars.begin("build app")
    part = bars.part()
    assert seen(output) == ["build app"]  # nobody has said what it is
    part.begin("stage one")
    for key, state in (("FROM base", "done"), ("1/3 COPY . .", "HIT"), ("2/3 RUN true", "MISS"), ("3/3 RUN make", "")):
        part.item(key, "")
        clock[0] += 0.5
        part.item(key, state)
    for number in range(7):
        part.line("3/3 RUN make", f"line {number}")
    clock[0] += 2
    part.line("3/3 RUN make", "line 7")
    assert seen(output) == [
        "build app", "stage one", "            0.5 s  FROM base", "  HIT       0.5 s  1/3 COPY . .",
        "  MISS      0.5 s  2/3 RUN true", "              2 s  3/3 RUN make",
        *(f"    │ line {number}" for number in range(3, 8)),
    ]  # fmt: skip
    part.item("3/3 RUN make", "MISS")
    assert seen(output)[-1] == "  MISS      2.5 s  3/3 RUN make"
    assert [*part.items["3/3 RUN make"].lines] == [f"line {number}" for number in range(8)]
    part.end("2 steps carried out")
    assert seen(output) == ["build app", "stage one  2 steps carried out"]
    bars.end("built app")
    assert seen(output) == ["built app"]


def test_what_failed_stays_on_view(output: io.StringIO, clock: list[float]) -> None:
    bars = Bars(output)
    bars.begin("build app")
    good, bad, ended = bars.part(), bars.part(), bars.part()
    for part, name in ((good, "good"), (bad, "bad"), (ended, "ended")):
        part.begin(name)
        part.item("1/1 RUN x", "")
        part.line("1/1 RUN x", f"said by {name}")
    good.item("1/1 RUN x", "MISS")
    bad.item("1/1 RUN x", "failed")
    for part in (good, bad, ended):
        part.end("over")
    bars.end("build app: failed")
    assert seen(output) == ["bad", "  failed    0.0 s  1/1 RUN x", "    │ said by bad", "build app: failed"]
    clock[0] += 5
    assert ended.items["1/1 RUN x"].seconds == 0


def test_parts_have_parts(output: io.StringIO) -> None:
    bars = Bars(output)
    stage = bars.part()
    stage.begin("stage 0")
    stage.item("FROM base", "")
    pull = stage.part()
    pull.begin("pulling base")
    pull.item("abc", "downloading", 1024, 2048)
    assert seen(output)[-2:] == [
        "  pulling base",
        "    abc  " + "█" * 12 + "░" * 12 + "  1.0 KiB of 2.0 KiB  downloading",
    ]
    pull.end("base: pulled")
    assert seen(output)[-1] == "  pulling base  base: pulled"
    pull.item("abc", "failed")
    assert bars.is_failed and stage.is_failed
    bars.end("")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain", "plain"), ("\x1b[1;31mred\x1b[0m", "red"), ("10%\r50%\r100%", "100%"), ("ends\r", "ends"),
        ("\x1b]0;title\x07x\x1b[2Ky\x1b", "xy"), ("a\tb\x00c\x9b1m", "a       bc1m"), ("  in", "  in"),
        ("y" * 9999, "y" * 500), ("", ""),
    ],
)  # fmt: skip
def test_what_steers_a_terminal_is_not_in_lines(output: io.StringIO, written: str, shown: str) -> None:
    bars = Bars(output)
    bars.line("x", written)
    assert [*bars.items["x"].lines] == [shown]


def test_a_program_that_writes_without_end_is_kept_in_part(output: io.StringIO) -> None:
    bars = Bars(io.StringIO())
    for number in range(5000):
        bars.line("x", str(number))
    assert len(bars.items["x"].lines) == 1000 and bars.items["x"].lines[-1] == "4999"


def test_nothing_waits_to_be_drawn_when_the_work_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_INTERVAL", 600)
    before = {*threading.enumerate()}
    bars = Bars(io.StringIO())
    bars.begin("work")
    bars.item("a", "")
    (timer,) = {*threading.enumerate()} - before
    bars.end("")
    timer.join(20)
    assert not timer.is_alive()


def test_work_that_is_forgotten_is_not_drawn_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_TICK", 0.01)
    before = set(threading.enumerate())
    bars = Bars(io.StringIO())
    bars.begin("work")
    bars.part().begin("stage")
    assert set(threading.enumerate()) - before
    del bars
    gc.collect()
    assert eventually(lambda: not set(threading.enumerate()) - before)


def test_what_came_last_is_drawn_and_time_passes_though_nothing_is_told(
    output: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_INTERVAL", 0.1)
    drawn: list[str] = []

    class Mine(Shown):
        def draw(self) -> None:
            drawn.append(
                ",".join(f"{item.key}{item.took}" for part in [self, *self.parts] for item in part.items.values())
            )

    def drawn_until(end: str) -> bool:
        return eventually(lambda: re.search(f"{end}$", drawn[-1]))

    before = {*threading.enumerate()}
    mine = Mine()
    with monkeypatch.context() as still, mine._lock:  # as if all came at one moment
        now = time.monotonic()
        still.setattr(time, "monotonic", lambda: now)
        mine.begin("work")
        mine.item("a", "")
        mine.item("b", "")
        assert drawn == [""]
    assert drawn_until("a.*,b.*")
    count = len(drawn)
    time.sleep(0.4)
    assert len(drawn) == count  # nothing happens, nothing is drawn
    part = mine.part()
    part.begin("stage")
    part.item("c", "")
    assert drawn_until(r",c\d+ s")
    part.end("")
    mine.end("")
    count = len(drawn)
    time.sleep(0.4)
    assert len(drawn) == count and {*threading.enumerate()} <= before


# -- who shows it ----------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert type(choose("auto")) is Progress and isinstance(choose(True), Bars)
    monkeypatch.setattr(sys, "stderr", Terminal())
    found = choose("auto")
    assert isinstance(found, Bars) and found._stream is sys.stderr
    for silent in (None, False):
        assert type(choose(silent)) is Progress
    monkeypatch.setenv("TERM", "dumb")
    assert type(choose("auto")) is Progress and isinstance(choose(True), Bars)
    monkeypatch.setattr(sys, "stderr", None)  # a daemon's
    assert type(choose("auto")) is type(choose(True)) is Progress


def test_a_notebook_has_a_widget(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipywidgets")
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert type(choose("auto")) is Progress  # IPython on a terminal, or imported by something
    assert not progress._is_in_notebook()
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert progress._is_in_notebook()
    monkeypatch.undo()
    monkeypatch.setattr(progress, "_is_in_notebook", lambda: True)
    for choice in ("auto", True):
        found = choose(choice)
        assert isinstance(found, Shown) and type(found).__name__ == "ProgressWidget"
    assert type(choose(False)) is Progress


def test_a_progress_of_one_s_own_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Progress):
        pass

    mine = Mine()
    assert choose(mine) is mine
    # The base takes all news and shows nothing.
    mine.begin("x")
    mine.item("a", "waiting")
    mine.advance("b", 7)
    mine.line("a", "words")
    mine.part().item("c", "waiting")
    mine.end("y")


@pytest.mark.parametrize("wrong", ["always", "", 7, [], b"auto"])
def test_what_is_no_choice_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match='^progress .*: expected "auto", True, False or a Progress$'):
        choose(wrong)
