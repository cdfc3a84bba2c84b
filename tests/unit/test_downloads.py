"""Blobs on their way: what was broken off goes on, what is something else is nothing, and one at a time is at it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from containerkit.builder import fetch
from containerkit.errors import InvalidArgument, StorageError, Timeout
from containerkit.oci import digest as digests
from containerkit.oci.manifest import Descriptor
from containerkit.registry.deadline import Deadline
from containerkit.store import downloads
from containerkit.store.downloads import Download, Growing, sweep

DATA = os.urandom(3_000_000)
BLOB = Descriptor("", digests.of(DATA), len(DATA))


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_download_is_there_once_it_is_whole(tmp_path: Path) -> None:
    with Download(tmp_path, BLOB) as download:
        for start in range(0, len(DATA), 700_000):
            download.write(DATA[start : start + 700_000])
        download.finish()
    assert Path(download.path).read_bytes() == DATA and Path(download.path).stat().st_mode & 0o777 == 0o600
    with Download(tmp_path, BLOB) as download:
        assert download.size == len(DATA)
        download.finish()
        download.discard()
        download.discard()
    assert names(tmp_path) == []


def test_what_was_broken_off_goes_on(tmp_path: Path) -> None:
    for part in (DATA[:1_000_000], DATA[1_000_000:1_000_001]):
        with pytest.raises(ZeroDivisionError), Download(tmp_path, BLOB) as download:
            download.write(part)
            raise ZeroDivisionError
    with Download(tmp_path, BLOB) as download:
        assert download.size == 1_000_001
        download.write(DATA[1_000_001:])
        download.finish()


def test_what_a_killed_process_had_is_not_lost(tmp_path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from containerkit.oci.manifest import Descriptor
from containerkit.store.downloads import Download
with Download(Path({str(tmp_path)!r}), Descriptor("", {BLOB.digest!r}, {BLOB.size})) as download:
    download.write(bytes(1000))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(downloads.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", script], cwd=root, check=False).returncode == -9
    with Download(tmp_path, BLOB) as download:
        assert download.size == 1000
        # But it was not the beginning of it.
        download.write(DATA[1000:])
        with pytest.raises(StorageError, match=f"^blob {BLOB.digest}: received {BLOB.size} bytes with digest sha256:"):
            download.finish()
        assert download.size == 0 == os.stat(download.path).st_size
        download.write(DATA)
        download.finish()
        assert Path(download.path).read_bytes() == DATA


def test_nothing_is_left_of_a_download_without_a_byte(tmp_path: Path) -> None:
    with Download(tmp_path, BLOB):
        assert names(tmp_path) == [BLOB.digest[7:]]
    assert names(tmp_path) == []


def test_more_than_was_announced_is_refused_at_once(tmp_path: Path) -> None:
    with Download(tmp_path, BLOB) as download:
        download.write(DATA[:-1])
        with pytest.raises(StorageError, match=f"more than the {BLOB.size} bytes that were announced$"):
            download.write(b"xy")
        assert download.size == 0 == os.stat(download.path).st_size
    (tmp_path / BLOB.digest[7:]).write_bytes(bytes(BLOB.size + 1))  # and what somebody has left
    with Download(tmp_path, BLOB) as download:
        assert download.size == 0


def test_less_than_was_announced_is_not_whole(tmp_path: Path) -> None:
    with Download(tmp_path, BLOB) as download:
        download.write(DATA[:-1])
        with pytest.raises(StorageError, match=f"received {BLOB.size - 1} bytes"):
            download.finish()


# -- one at a time ---------------------------------------------------------------------------------------------------


def test_who_wants_the_same_waits_and_finds_it_done(tmp_path: Path) -> None:
    found: list[int] = []

    def second() -> None:
        with Download(tmp_path, BLOB) as download:
            found.append(download.size)

    thread = threading.Thread(target=second)
    with Download(tmp_path, BLOB) as download:
        download.write(DATA[:10])
        thread.start()
        time.sleep(0.2)
        assert found == []
        download.write(DATA[10:])
        download.finish()
    thread.join(60)
    assert found == [BLOB.size]


def test_who_waits_waits_no_longer_than_there_is_time(tmp_path: Path) -> None:
    with Download(tmp_path, BLOB):
        before = len(os.listdir("/proc/self/fd"))
        began = time.monotonic()
        with pytest.raises(Timeout), Download(tmp_path, BLOB, Deadline(0.3).sleep):
            pass
        assert 0.2 < time.monotonic() - began < 50
        assert len(os.listdir("/proc/self/fd")) == before


def test_who_waits_for_a_file_that_is_taken_away_begins_anew(tmp_path: Path) -> None:
    found: list[tuple[int, list[str]]] = []

    def second() -> None:
        with Download(tmp_path, BLOB) as download:
            download.write(DATA[:7])
            found.append((download.size, names(tmp_path)))

    thread = threading.Thread(target=second)
    with Download(tmp_path, BLOB) as download:
        download.write(DATA[:5])
        thread.start()
        time.sleep(0.15)
        download.discard()
    thread.join(60)
    assert found == [(7, [BLOB.digest[7:]])]
    with Download(tmp_path, BLOB) as download:
        assert download.size == 7


# -- what nobody goes on with ----------------------------------------------------------------------------------------


def test_what_nobody_goes_on_with_is_removed_after_a_while(tmp_path: Path) -> None:
    old, young = tmp_path / ("a" * 64), tmp_path / ("b" * 64)
    for path in (old, young):
        path.write_bytes(bytes(100_000))
    os.utime(old, (time.time() - 8 * 24 * 3600,) * 2)
    assert 100_000 <= sweep(tmp_path) < 200_000 and names(tmp_path) == [young.name]
    with Download(tmp_path, BLOB) as download:
        download.write(b"x")
        assert sweep(tmp_path, 0) >= 100_000 and names(tmp_path) == [BLOB.digest[7:]]
    assert sweep(tmp_path, 0) > 0 and names(tmp_path) == [] and sweep(tmp_path, 0) == 0


def test_a_sweep_takes_no_file_that_has_just_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Between its look and its lock, somebody else has finished with the file and another has begun one of that name.
    path = tmp_path / BLOB.digest[7:]
    path.write_bytes(b"old")
    known = os.open

    def swap(name: os.PathLike[str], *arguments: int) -> int:
        found = known(name, *arguments)
        path.unlink()
        path.write_bytes(b"new")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", swap)
        assert sweep(tmp_path, 0) == 0
    assert path.read_bytes() == b"new"


# -- read while it is written ----------------------------------------------------------------------------------------


def test_a_download_is_read_while_it_is_written(tmp_path: Path) -> None:
    found: list[bytes] = []

    def read(growing: Growing) -> None:
        while data := growing.read(50_000):
            found.append(data)
        growing.close()

    with Download(tmp_path, BLOB) as download:
        thread = threading.Thread(target=read, args=(Growing(download.path, BLOB.size),))
        thread.start()
        for start in range(0, len(DATA), 300_000):
            download.write(DATA[start : start + 300_000])
            time.sleep(0.02)
        thread.join(60)
        assert not thread.is_alive()  # it knows the end
    assert b"".join(found) == DATA and max(map(len, found)) <= 50_000


def test_whoever_reads_notices_that_the_rest_will_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_PATIENCE", 0.05)
    before = len(os.listdir("/proc/self/fd"))
    with Download(tmp_path, BLOB) as download:
        download.write(DATA[:1000])
        growing = Growing(download.path, BLOB.size)
        assert growing.read(10) == DATA[:10] and growing.read() == DATA[10:1000]
    with pytest.raises(StorageError, match="^its download was broken off$"):
        growing.read(10)
    with Download(tmp_path, BLOB, Deadline(1).sleep) as download:
        assert download.size == 1000  # a reader is in nobody's way
    growing.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_patient_reader_waits_for_a_slow_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_PATIENCE", 0.05)
    with Download(tmp_path, BLOB) as download:
        growing = Growing(download.path, BLOB.size)
        timer = threading.Timer(0.3, download.write, (DATA[:5],))
        timer.start()
        assert growing.read(10) == DATA[:5]
        timer.join()
        growing.close()


@pytest.mark.parametrize("url", ["http://[/x", "https://[::1/x", "http://a:b/x", "http://a:99999/"])
def test_what_is_no_url_is_refused_before_anybody_is_asked(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="source .*: not a URL"):
        fetch.fetch(url, tmp_path)


def test_a_file_is_called_what_a_file_can_be_called() -> None:
    assert [fetch.name_of(f"http://a/{name}") for name in ("x%20y", "a%00b", "%2e%2e", "a%2fb")] == ["x y", "", "", "b"]
