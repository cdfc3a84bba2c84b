"""Backups while others do their worst: memory maps, ends, removals, full disks, several at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Backup, Backups, Engine, Image, Volume
from tests.engines import on_a_small_disk
from tests.waiting import eventually

MANY = 2000
#: Counts in two files, through memory maps: the second never has more than the first, and at most one less.
MAPS = """
import mmap, os, struct
maps = []
for name in ("first", "second"):
    with open("/data/" + name, "w+b") as file:
        file.truncate(4096)
        maps.append(mmap.mmap(file.fileno(), 4096))
count = 0
while True:
    count += 1
    for one in maps:
        one[:8] = struct.pack("<Q", count)
"""


@pytest.fixture
def volume(engine: Engine, image: Image) -> Volume:
    """One with many small files."""
    volume = Volume.create("many", engine=engine)
    for number in range(MANY):
        Path(volume.path, f"{number:04}").write_bytes(b"small\n" * 50)
    return volume


def meanwhile(work: Callable[[], object], other: Callable[[], object], seconds: float) -> Exception | None:
    """Do one thing, and another so much later; what the first has raised."""
    raised: list[Exception] = []

    def first() -> None:
        try:
            work()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    time.sleep(seconds)
    other()
    thread.join()
    return raised[0] if raised else None


def grows(path: str) -> bool:
    before = os.path.getsize(path)
    return eventually(lambda: os.path.getsize(path) > before)


@pytest.mark.parametrize("disk", ["local", "tmpfs"])
def test_memory_maps_are_as_of_one_moment(engine: Engine, image: Image, tmp_path: Path, disk: str) -> None:
    options = {"type": "tmpfs", "device": "tmpfs"} if disk == "tmpfs" else {}
    volume = Volume.create("maps", options=options, engine=engine)
    host = [f"{path}:{path}:ro" for path in ("/usr", "/lib", "/lib64") if os.path.exists(path)]
    python = next(path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if os.path.exists(path))
    writer = engine.run("busybox", [python, "-c", MAPS], volumes=["maps:/data", *host], network="none", stop_timeout=0)

    def count(of: Volume, name: str = "first") -> int:
        return int.from_bytes(Path(of.path, name).read_bytes()[:8], "little") if Path(of.path, name).exists() else 0

    counts = [0]
    base: Backup | None = None
    for number in range(4):
        assert eventually(lambda: count(volume) > counts[-1]), f"it does not count on: {writer.logs()}"
        backup = volume.backup(tmp_path / str(number), consistency="pause", incremental_from=base)
        base = base or backup
        restored = Volume.restore(backup, f"r{number}", engine=engine)
        first, second = count(restored), count(restored, "second")
        assert first - second in (0, 1) and backup.torn == []
        assert first > counts[-1]
        counts.append(first)


def test_a_small_volume_stands_still_for_a_moment(engine: Engine, image: Image, tmp_path: Path) -> None:
    users = [engine.run("busybox", ["sh", "-c", f"while :; do date +%N >>/data/{name}; done"], name=name,
                        volumes=["shared:/data"], network="none", stop_timeout=0)
             for name in ("one", "other")]  # fmt: skip
    volume = engine.volumes["shared"]
    assert eventually(lambda: len(os.listdir(volume.path)) == 2)
    frozen = sorted(volume.backup(tmp_path / "b", consistency="pause").frozen_seconds for _ in range(5))
    assert frozen[2] < 1
    for user in users:
        assert grows(f"{volume.path}/{user.name}"), f"{user.name} did not go on"


def test_a_container_that_ends_meanwhile_is_no_error(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    for number in range(5):
        user = engine.run("busybox", "sleep 60", volumes=["many:/data"], network="none", stop_timeout=0)
        pid = user.pid
        assert pid is not None
        raised = meanwhile(
            lambda: volume.backup(tmp_path / "b", consistency="pause"),
            lambda pid=pid: os.kill(pid, signal.SIGKILL),  # type: ignore[misc]  # as many as there are rounds
            0.05 * number,
        )
        assert raised is None and Backup.open(tmp_path / "b").verify().files == MANY
        assert user.wait(timeout=60) == 137
        user.remove()


@pytest.mark.parametrize("place", ["b", "d/"])
@pytest.mark.parametrize("what", ["removed", "restored"])
def test_a_volume_that_goes_meanwhile_gives_no_half_a_backup(
    engine: Engine, volume: Volume, tmp_path: Path, place: str, what: str
) -> None:
    whole = volume.backup(tmp_path / "whole")
    seen = set()
    for number in range(4):
        raised = meanwhile(
            lambda: volume.backup(f"{tmp_path}/{place}"),
            volume.remove if what == "removed" else lambda: whole.restore("many", verify=False, engine=engine),
            0.04 * number,
        )
        seen.add(type(raised))
        if raised is not None:
            assert isinstance(raised, (ck.InvalidState, ck.NotFound)), raised
            assert "many" in str(raised)
        elif place == "b":
            assert Backup.open(tmp_path / "b").verify().files == MANY
        if what == "removed":
            whole.restore(engine=engine)
    assert place == "b" or all(one.files == MANY for one in Backups(tmp_path / "d") if (tmp_path / "d").exists())
    assert what == "restored" or ck.InvalidState in seen or ck.NotFound in seen


def test_who_comes_late_makes_no_empty_volume_of_one_that_is_gone(engine: Engine, volume: Volume) -> None:
    path = Path(volume.path)
    volume.remove()
    with pytest.raises(ck.NotFound, match="many"):
        engine.store.volumes.make("many")
    assert not path.parent.exists()


def test_several_back_up_and_restore_at_once(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    whole = volume.backup(tmp_path / "whole")
    threads = [threading.Thread(target=volume.backup, args=(f"{tmp_path}/d/",)) for _ in range(3)]
    threads += [threading.Thread(target=Volume.restore, args=(whole, f"r{n}"), kwargs={"engine": engine}) for n in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Backups(tmp_path / "d").verify()) == 3
    assert engine.volumes["ra"].diff(whole) == engine.volumes["rb"].diff(whole) == []
    assert os.listdir(engine.paths.tmp) == []


@pytest.fixture
def small(tmp_path: Path, nothing_is_left: None) -> Iterator[Engine]:
    with on_a_small_disk(tmp_path, "24m") as engine:
        yield engine


def test_a_disk_that_is_full_changes_nothing(small: Engine, tmp_path: Path) -> None:
    volume = Volume.create("full", engine=small)
    Path(volume.path, "large").write_bytes(os.urandom(13 << 20))
    backup = volume.backup(tmp_path / "b")
    Path(volume.path, "mine").write_text("stays")
    disk = tmp_path / "small"
    works: list[Callable[[], object]] = [
        lambda: backup.restore(engine=small),
        lambda: backup.restore("new", engine=small),
        lambda: volume.clone("new"),
        lambda: volume.backup(disk / "b"),
        lambda: volume.backup(f"{disk}/d/"),
    ]
    for work in works:
        with pytest.raises(ck.StorageError, match="no space left|are free"):
            work()
        assert [str(change) for change in volume.diff(backup)] == ["A /mine"]
        assert [one.name for one in small.volumes] == ["full"]
        assert os.listdir(small.paths.tmp) == []
        assert not (disk / "b").exists() and list(disk.rglob("*.part")) == []
    volume.remove()


def test_the_recipe_with_tar_both_ways(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    """As it was always done: a container with the volumes of another, and a directory of the host."""
    engine.create("busybox", "true", name="holder", volumes=["many:/data"])

    def tar(words: str, holder: str) -> None:
        shared = [f"{tmp_path}:/backup"]
        engine.call("busybox", f"tar {words}", volumes_from=[holder], volumes=shared, network="none", check=True)

    tar("cvf /backup/data.tar /data", "holder")
    assert Volume.restore(tmp_path / "data.tar", "ours", engine=engine).diff(volume) == []
    volume.backup(tmp_path / "ours.tar.gz", compression="gzip")
    engine.create("busybox", "true", name="other", volumes=["theirs:/data"])
    tar("xzf /backup/ours.tar.gz -C /data", "other")
    assert engine.volumes["theirs"].diff(volume) == []
