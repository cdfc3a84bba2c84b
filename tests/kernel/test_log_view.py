"""A log in a notebook: followed, gone through and searched, however large; without a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from containerkit import Container, Engine, Image
from containerkit.notebook.logview import COUNT, LogView
from containerkit.reading.logpages import LogPages
from containerkit.supervise.output.log import LogWriter
from tests.waiting import eventually


@contextmanager
def shown(container: Container) -> Iterator[LogView]:
    before = set(threading.enumerate())
    with closing(container.log_view()) as view:
        yield view
    assert eventually(lambda: set(threading.enumerate()) <= before)


def texts(view: LogView) -> list[str]:
    return [line.text for line in view.lines]


def counted(image: Image, count: int, then: str = "") -> Container:
    """A container that has written ``line 1`` to ``line COUNT``."""
    script = f"i=0; while [ $i -lt {count} ]; do i=$((i+1)); echo line $i; done; {then}"
    container = image.run(["sh", "-c", script], name="web", network="none", stop_timeout=0)
    eventually(lambda: container.logs(tail=1) == f"line {count}\n")
    return container


def test_it_begins_at_the_end_and_follows(image: Image) -> None:
    web = counted(image, 1000, "sleep 600")
    with shown(web) as view:
        assert texts(view) == [f"line {n}" for n in range(1001 - COUNT, 1001)]
        web.exec(["sh", "-c", "echo more >/proc/1/fd/1"])
        assert eventually(lambda: texts(view)[-1] == "more")
        view.follow_button.value = False
        web.exec(["sh", "-c", "echo last >/proc/1/fd/1"])
        assert eventually(lambda: web.logs(tail=1) == "last\n")
        time.sleep(0.6)
        assert texts(view)[-1] == "more"
        view.follow_button.value = True
        assert texts(view)[-1] == "last" and repr(view) == "LogView('web')"


def test_it_is_gone_through_from_end_to_end(image: Image) -> None:
    with shown(counted(image, 1000)) as view:
        view.start_button.click()
        assert texts(view) == [f"line {n}" for n in range(1, COUNT + 1)] and not view.follow_button.value
        view.newer_button.click()
        assert texts(view)[0] == f"line {COUNT // 2 + 1}" and len(view.lines) == COUNT
        view.older_button.click()
        assert texts(view)[0] == "line 1"
        for _ in range(20):
            view.newer()
        assert texts(view)[-1] == "line 1000"
        view.end()
        assert len(view.lines) == COUNT and view.follow_button.value


def test_it_finds_words_before_and_after(image: Image) -> None:
    with shown(counted(image, 1000)) as view:
        assert view.search("LINE 77")
        assert texts(view)[COUNT // 2] == "line 779" and view.state == "“LINE 77”: found"
        assert not view.follow_button.value
        view.previous_button.click()
        assert eventually(lambda: texts(view)[COUNT // 2] == "line 778")
        view.next_button.click()
        assert eventually(lambda: texts(view)[COUNT // 2] == "line 779")
        assert not view.search(backwards=False) and texts(view)[COUNT // 2] == "line 779"
        assert not view.search("line 1001") and view.state == "“line 1001”: not found"
        view.search_text.value = "line 500"
        assert eventually(lambda: view.state == "“line 500”: found" and "line 500" in texts(view))


def test_a_search_that_is_broken_off_says_nothing_any_more(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    with shown(counted(image, 10)) as view:
        search = LogPages.search

        def slow(*args: Any, is_over: Callable[[float], bool], **options: Any) -> Any:
            monkeypatch.setattr(LogPages, "search", search)
            assert view.search("line 7")  # another one is faster
            assert is_over(0.5)

        monkeypatch.setattr(LogPages, "search", slow)
        assert not view.search("line 5") and view.state == "“line 7”: found"


def test_capitals_are_those_of_every_alphabet(tmp_path: Path) -> None:
    write(tmp_path / "log", [(1, "Ärger\nÉCLAIR\n".encode())])
    with LogPages(str(tmp_path / "log")) as pages:
        for words, line in (("ärger", 0), ("ÄRGER", 0), ("éclair", 1)):
            place = pages.search(words, None, backwards=True, is_over=lambda part: False)
            assert place is not None and place.line == line


def test_a_page_is_told_lines_without_what_steers_terminals(image: Image) -> None:
    red = image.run(["printf", "\\033[31mred\\033[0m\\tword\\007\\n"], name="red", network="none")
    red.wait(10)
    with shown(red) as view:
        sent: list[Any] = []
        view.text.send = sent.append
        view.text._handle_custom_msg({"kind": "hello"}, [])
        assert [line[2] for line in sent[-1]["lines"]] == ["red\tword"]
        view.text._handle_custom_msg({"kind": "hold"}, [])
        assert not view.follow_button.value


def test_it_says_so_when_the_container_is_removed_and_its_thread_ends(image: Image) -> None:
    web = counted(image, 3)
    before = set(threading.enumerate())
    view = web.log_view()
    web.remove(force=True)
    assert eventually(lambda: set(threading.enumerate()) <= before)
    assert view.error == "container web: removed"
    view.close()


# -- the window over any log -----------------------------------------------------------------------------------------


def write(path: Path, pieces: list[tuple[int, bytes]], **bounds: int) -> None:
    writer = LogWriter(str(path), **bounds)
    for stream, data in pieces:
        writer.write(stream, data)
    writer.close()


def everything(path: Path, step: int) -> list[str]:
    """The whole log, window by window."""
    found: list[str] = []
    with LogPages(str(path)) as pages:
        window = pages.at(0, step)
        while True:
            found += [line.text for line in window.lines]
            if window.is_end:
                return found
            window = pages.near(window.first, step, step)


@pytest.mark.parametrize("size", [1, 7, 63, 64, 1000, 70_000, 200_000])
def test_windows_have_every_line_once_however_they_lie_in_blocks(tmp_path: Path, size: int) -> None:
    """Pieces end anywhere, at the ends of lines too, and so do blocks."""
    lines = [f"{n} " + "x" * (n * 7919 % 90) for n in range(9000)]
    data = "".join(f"{line}\n" for line in lines).encode()
    write(tmp_path / "log", [(1, data[at : at + size]) for at in range(0, len(data), size)][:20_000])
    with LogPages(str(tmp_path / "log")) as pages:
        last = pages.last(5)
    found = everything(tmp_path / "log", 250)
    assert found[:-1] == lines[: len(found) - 1] and lines[len(found) - 1].startswith(found[-1])
    assert [line.text for line in last.lines] == found[-5:]


def test_two_streams_keep_their_lines_apart(tmp_path: Path) -> None:
    pieces = [(1 + n % 2, f"{n} ".encode() + b"y" * 50) for n in range(4000)]
    pieces = [(stream, data + (b"\n" if n % 3 else b"")) for n, (stream, data) in enumerate(pieces)]
    write(tmp_path / "log", pieces)
    found = everything(tmp_path / "log", 100)
    expected = [b"".join(data for one, data in pieces if one == stream).decode().splitlines() for stream in (1, 2)]
    assert sorted(found) == sorted(expected[0] + expected[1])


def test_a_rotated_log_is_one(tmp_path: Path) -> None:
    write(tmp_path / "log", [(1, f"line {n}\n".encode()) for n in range(40_000)], max_size=300_000, max_file=3)
    found = everything(tmp_path / "log", 1000)
    assert found[-1] == "line 39999" and found == [f"line {n}" for n in range(40_000 - len(found), 40_000)]


def test_words_are_found_across_pieces_and_blocks(tmp_path: Path) -> None:
    filler = b"z" * 99 + b"\n"
    pieces = [(1, filler)] * 564 + [(1, b"nee"), (2, b"other\n"), (1, b"dle\n")] + [(1, filler)] * 3000
    write(tmp_path / "log", pieces)
    for before in range(0, 120, 3):  # the word moves over the border of a block
        path = tmp_path / f"log{before}"
        write(path, [(1, b"a" * before + b"\n"), *pieces])
        with LogPages(str(path)) as pages:
            for backwards in (False, True):
                place = pages.search("needle", None, backwards=backwards, is_over=lambda part: False)
                assert place is not None and pages.near(place, 1).lines[0].text == "needle"
                assert pages.search("needle", place, backwards=backwards, is_over=lambda part: False) is None


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    write(tmp_path / "log", [(1, b"a\n"), *[(1, b"b" * 65536)] * 40, (1, b"\nc\n")])
    found = everything(tmp_path / "log", 10)
    assert (found[0], found[-1], len(found)) == ("a", "c", 3) and 100_000 < len(found[1]) < 400_000


def test_what_a_log_ends_with_is_read_of_its_last_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "log", [(1, b"a\n"), *[(1, b"." * 65536)] * 40, (1, b" 99 %")])
    write(tmp_path / "lines", [(1, f"line {n}\n".encode()) for n in range(10_000)])
    read: list[int] = []
    monkeypatch.setattr("containerkit.supervise.output.logfiles.os.pread", _counting(read))
    with LogPages(str(tmp_path / "log")) as pages:
        (end,) = pages.ends(8)
    assert end.endswith(". 99 %") and sum(read) < 512 * 1024
    with LogPages(str(tmp_path / "lines")) as pages:
        assert pages.ends(3) == ["line 9997", "line 9998", "line 9999"]
    with LogPages(str(tmp_path / "none")) as pages:
        assert pages.ends(3) == []


def test_of_a_gigabyte_only_what_is_shown_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    line = b"2026-01-01 GET /index.html 200 " + b"p" * 68 + b"\n"
    writer = LogWriter(str(tmp_path / "log"))
    chunk = line * 2650
    for _ in range(4096):
        writer.write(1, chunk)
    writer.close()
    assert (tmp_path / "log").stat().st_size > 1 << 30
    read: list[int] = []
    monkeypatch.setattr("containerkit.supervise.output.logfiles.os.pread", _counting(read))
    with LogPages(str(tmp_path / "log")) as pages:
        for window in (pages.last(COUNT), pages.at(0.5, COUNT), pages.at(0, COUNT)):
            assert len(window.lines) == COUNT
        middle = pages.at(0.5, COUNT)
        assert len(pages.near(middle.first, COUNT, -COUNT // 2).lines) == COUNT
    assert sum(read) < 4 << 20
    (tmp_path / "log").unlink()


def _counting(read: list[int]) -> Callable[..., bytes]:
    import os

    real = os.pread

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        data = real(descriptor, size, offset)
        read.append(len(data))
        return data

    return pread
