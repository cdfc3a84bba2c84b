"""A log on disk: blocks, rotation, and the way to the lines that are asked for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerkit.errors import InvalidArgument
from containerkit.reading import logs
from containerkit.supervise.output import log, logfiles


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The writer's time in seconds."""
    now = [1000]
    monkeypatch.setattr(time, "time_ns", lambda: now[0] * 10**9)
    yield now


def write(path: Path, count: int, clock: list[int] | None = None, **bounds: int) -> None:
    writer = log.LogWriter(str(path), **bounds)
    for number in range(count):
        if clock is not None:
            clock[0] += 1
        writer.write(1 + number % 2, f"line {number} {'x' * 100}\n".encode())
    writer.close()


def texts(path: Path, **selection: object) -> list[int]:
    found = logs.lines(str(path), logs.Selection(**selection))  # type: ignore[arg-type]  # a table
    return [int(line.text.split()[1]) for line in found]


def test_no_record_crosses_a_block_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "log"
    data = os.urandom(300_000)
    writer = log.LogWriter(str(path))
    for size in (1, 15, 16, 17, 65_503, 65_504, 65_505, 200_000):
        writer.write(1, data[:size])
    writer.close()
    with logfiles.LogFiles(str(path)) as files:
        assert len(files.blocks) > 5
        for number in range(len(files.blocks)):
            first = next(iter(files.readers(number)[0]))
            assert first.stream == 1
        chunks = [chunk.data for chunk in files.readers()[0]]
    wanted = b"".join(data[:size] for size in (1, 15, 16, 17, 65_503, 65_504, 65_505, 200_000))
    assert b"".join(chunks) == wanted


@pytest.mark.parametrize("cut", [1, 10, 100, 5000])
def test_a_writer_goes_on_after_one_that_was_cut_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "log"
    write(path, 2000)
    os.truncate(path, path.stat().st_size - cut)
    before = texts(path)
    assert before == list(range(len(before)))
    write(path, 1)
    assert texts(path) == [*before, 0]


def test_a_log_is_bounded_and_read_through_its_files(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, 10_000, max_size=128 << 10, max_file=3)
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1", "log.2"]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 3 * (128 << 10)
    found = texts(path)
    assert found == list(range(found[0], 10_000)) and len(found) > 2000
    write(tmp_path / "one", 10_000, max_size=128 << 10, max_file=1)
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1", "log.2", "one"] and texts(tmp_path / "one")[-1] == 9999


@pytest.mark.parametrize("max_size", [64 << 10, (64 << 10) + 7, 100_000, 256 << 10, 300_000])
def test_no_file_of_a_log_is_larger_than_it_may_be_however_much_comes_at_once(tmp_path: Path, max_size: int) -> None:
    path = tmp_path / "log"
    data = os.urandom(1 << 20)
    writer = log.LogWriter(str(path), max_size, 100)
    for size in (log.READ_SIZE, 65_520, 1, 65_536, 65_505, log.READ_SIZE, 300_000):
        writer.write(1, data[:size])
        assert max(file.stat().st_size for file in tmp_path.iterdir()) <= max_size
    writer.close()
    with logfiles.LogFiles(str(path)) as files:
        found = b"".join(chunk.data for reader in files.readers() for chunk in reader)
    assert found == b"".join(data[:size] for size in (log.READ_SIZE, 65_520, 1, 65_536, 65_505, log.READ_SIZE, 300_000))


@pytest.mark.parametrize("bounds", [{}, {"max_size": 256 << 10, "max_file": 100}])
def test_since_until_and_tail(tmp_path: Path, clock: list[int], bounds: dict[str, int]) -> None:
    path = tmp_path / "log"
    write(path, 10_000, clock, **bounds)
    assert texts(path, since=1001 + 9_990) == list(range(9_990, 10_000))
    assert texts(path, since=1001 + 5_000, until=1001 + 5_003) == [5_000, 5_001, 5_002, 5_003]
    assert texts(path, until=1001 + 3) == [0, 1, 2, 3]
    for tail in (0, 1, 7, 1_000, 9_999, 20_000):
        assert texts(path, tail=tail) == list(range(10_000))[max(0, 10_000 - tail) :], tail
    assert texts(path, tail=3, stderr=False) == [9_994, 9_996, 9_998]
    assert texts(path, tail=2, until=1001 + 700) == [699, 700]
    assert texts(path, since=99_999) == [] and texts(path, until=5) == []


def test_the_last_line_of_a_stream_that_began_long_ago_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = log.LogWriter(str(path))
    writer.write(2, b"began ")
    for _ in range(20_000):
        writer.write(1, b"noise\n")
    writer.write(2, b"ended\n")
    writer.close()
    assert [line.text for line in logs.lines(str(path), logs.Selection(tail=1))] == ["began ended"]


def test_a_log_that_is_rotated_before_it_is_read_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, 3)
    with logfiles.LogFiles(str(path)) as files:
        chunks = [chunk for reader in files.readers(block=7) for chunk in reader]
    assert [chunk.data.split()[1] for chunk in chunks] == [b"0", b"1", b"2"]


def test_following_goes_through_rotations(tmp_path: Path) -> None:
    path = tmp_path / "log"
    reader, writer = os.pipe()
    write(path, 10)

    def produce() -> None:
        one = log.LogWriter(str(path), 64 << 10, 4)
        for number in range(10, 6000):
            one.write(1, f"line {number} {'x' * 20}\n".encode())
            if number % 500 == 0:
                time.sleep(0.05)
        one.close()
        os.close(writer)

    thread = threading.Thread(target=produce)
    thread.start()
    # It ends, but not at the first look after that.
    answers: Iterator[tuple[int, ...] | None] = iter([(reader,), (), (), None])
    found = logs.lines(str(path), logs.Selection(), lambda: next(answers))
    assert [int(line.text.split()[1]) for line in found] == list(range(6000))
    thread.join()


def test_the_end_of_a_large_log_is_found_at_once(tmp_path: Path, clock: list[int]) -> None:
    path = tmp_path / "log"
    writer = log.LogWriter(str(path))
    for _ in range(2_000):
        clock[0] += 1
        writer.write(1, b"y" * 99 + b"\n" + b"z" * 65_000 + b"\n")
    writer.close()
    reads: list[int] = []
    pread = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        reads.append(offset)
        return pread(descriptor, size, offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pread", counted)
        assert len(list(logs.lines(str(path), logs.Selection(tail=3)))) == 3
        assert len(list(logs.lines(str(path), logs.Selection(since=clock[0])))) == 2
    assert len(reads) < 100  # of 2,000 blocks


def test_files_that_are_none_of_a_log_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, 10)
    for name in ("log.007", "log.٣", "log.x", "log.0"):
        (tmp_path / name).write_bytes(b"x")
    assert texts(path) == list(range(10))


def test_what_is_damaged_ends_with_its_block(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, 1500)
    data = bytearray(path.read_bytes())
    data[12] = 77  # a stream that there is not
    path.write_bytes(data)
    found = texts(path)
    assert 0 < found[0] < 700 and found[-1] == 1499 and len(found) > 800
    write(path, 1)
    assert texts(path)[-1] == 0


@pytest.mark.parametrize("moment", [float("inf"), float("nan"), 10**400, "now"])
def test_a_moment_that_is_none_is_refused(moment: object) -> None:
    with pytest.raises(InvalidArgument, match="expected a datetime or epoch seconds"):
        logs.Selection(since=moment)  # type: ignore[arg-type]  # what a person types
