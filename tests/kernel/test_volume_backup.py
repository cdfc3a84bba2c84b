"""Backups of volumes: made while containers write, restored whole or not at all, whatever is killed or damaged."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Backup, Backups, Container, Engine, Image, Progress, Volume
from containerkit.views import text
from tests.backups import look, make_tree
from tests.processes import descendants
from tests.waiting import eventually

#: Writes to two files in step: the second never has more than the first, and at most one line less.
WRITER = "i=0; while :; do i=$((i+1)); echo $i >>/data/first; echo $i >>/data/second; done"


def sh(text: str) -> list[str]:
    return ["sh", "-c", text]


@pytest.fixture
def volume(engine: Engine, image: Image, tmp_path: Path) -> Volume:
    """One with every kind of file."""
    volume = Volume.create("site", engine=engine)
    os.rmdir(volume.path)
    shutil.move(make_tree(tmp_path / "tree"), volume.path)
    return volume


@pytest.fixture
def writer(engine: Engine, image: Image) -> Container:
    container = engine.run("busybox", sh(WRITER), volumes=["busy:/data"], name="writer")
    assert eventually(lambda: os.path.exists(f"{engine.volumes['busy'].path}/second"))
    return container


def lines(volume: Volume, name: str) -> list[str]:
    return Path(volume.path, name).read_text().splitlines(keepends=True)


@pytest.mark.parametrize(("place", "compression"), [
    ("site.tar.zst", "zstd"), ("site.tar.gz", "gzip"), ("site.tar", "none"), ("backups/", "zstd"),
])  # fmt: skip
def test_everything_comes_back(engine: Engine, volume: Volume, tmp_path: Path, place: str, compression: str) -> None:
    backup = volume.backup(f"{tmp_path}/{place}", compression=compression)
    assert (backup.volume, backup.parent, backup.torn) == ("site", None, [])
    restored = Volume.restore(backup, "new", engine=engine)
    assert look(Path(restored.path)) == look(Path(volume.path))
    assert restored.diff(volume) == restored.diff(backup) == backup.diff(volume) == []
    assert volume.verify(backup) == Backup.open(backup.place).verify() == backup
    assert Backup.open(backup.place).id == backup.id
    assert len(backup.frame()) == len(backup.items)


def test_a_volume_that_is_there_gets_what_the_backup_has(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    backup = volume.backup(tmp_path / "b")
    Path(volume.path, "plain.txt").write_text("other")
    Path(volume.path, "more").touch()
    assert [str(change) for change in volume.diff(backup)] == ["A /more", "C /plain.txt", "C /second name"]
    assert list(volume.diff(backup).frame()["kind"]) == ["added", "changed", "changed"]
    backup.restore()
    assert volume.diff(backup) == []
    assert os.listdir(engine.paths.tmp) == []


def test_single_paths_come_back_and_the_rest_stays(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    backup = volume.backup(tmp_path / "b")
    for name in ("plain.txt", "program"):
        Path(volume.path, name).unlink()
    Path(volume.path, "mine").write_text("stays")
    Volume.restore(backup, "site", paths=["program"], engine=engine)
    assert [str(change) for change in volume.diff(backup)] == ["A /mine", "D /plain.txt"]
    with pytest.raises(ck.NotFound, match="'absent' is not in it"):
        Volume.restore(backup, "site", paths=["absent"], engine=engine)


def test_incremental_backups(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    Path(volume.path, "large").write_bytes(os.urandom(3 << 20))
    time.sleep(0.05)
    full = volume.backup(tmp_path / "0")
    time.sleep(0.05)
    Path(volume.path, "empty").write_text("not any more")
    second = volume.backup(tmp_path / "1", incremental_from=full)
    Path(volume.path, "new").touch()
    third = volume.backup(tmp_path / "2", incremental_from=tmp_path / "1")
    assert (second.parent, third.parent) == (full.id, second.id)
    assert max(second.stored_size, third.stored_size) < 100_000 < full.stored_size
    assert third.verify() and Volume.restore(third, "new", engine=engine).diff(volume) == []
    full.remove()
    with pytest.raises(ck.NotFound, match="is incremental to"):
        third.verify()
    with pytest.raises(ck.NotFound, match="is incremental to"):
        Volume.restore(third, "new", engine=engine)


def test_what_is_written_meanwhile_is_as_of_one_moment(engine: Engine, writer: Container, tmp_path: Path) -> None:
    volume = engine.volumes["busy"]
    frozen = []
    for number in range(5):
        backup = volume.backup(tmp_path / str(number), consistency="pause")
        assert (backup.consistency, backup.torn) == ("pause", [])
        frozen.append(backup.frozen_seconds)
        restored = Volume.restore(backup, f"restored{number}", engine=engine)
        first, second = (lines(restored, name) for name in ("first", "second"))
        assert len(first) - len(second) in (0, 1) and second == first[: len(second)]
        assert first[-1].endswith("\n") and len(first) > 0
    assert sorted(frozen)[2] < 1
    assert writer.status == "running"
    before = len(lines(volume, "first"))
    assert eventually(lambda: len(lines(volume, "first")) > before), "it did not go on"


def test_a_snapshot_is_as_of_one_moment(engine: Engine, writer: Container) -> None:
    snapshot = engine.volumes["busy"].snapshot("then")
    first, second = (lines(snapshot, name) for name in ("first", "second"))
    assert len(first) - len(second) in (0, 1)
    assert snapshot.labels == {"snapshot-of": "busy"}
    assert engine.volumes["busy"].snapshot().name.startswith("busy-20")


def test_pauses_go_with_incremental_ones_and_directories(engine: Engine, writer: Container, tmp_path: Path) -> None:
    volume = engine.volumes["busy"]
    Path(volume.path, "still").write_bytes(os.urandom(3 << 20))
    time.sleep(0.1)
    base = volume.backup(tmp_path / "0", consistency="pause")
    later = volume.backup(tmp_path / "1", consistency="pause", incremental_from=base)
    assert later.stored_size < 3 << 20
    volume.backup(f"{tmp_path}/d/", consistency="pause")
    kept = volume.backup(f"{tmp_path}/d/", consistency="pause")
    assert kept.stored_size < 3 << 20
    for place, backup in enumerate((later, kept)):
        restored = Volume.restore(backup, f"r{place}", engine=engine)
        first, second = (lines(restored, name) for name in ("first", "second"))
        assert len(first) - len(second) in (0, 1)
        assert Path(restored.path, "still").read_bytes() == Path(volume.path, "still").read_bytes()


def test_one_that_somebody_has_paused_stays_so(engine: Engine, writer: Container, tmp_path: Path) -> None:
    writer.pause()
    engine.volumes["busy"].backup(tmp_path / "b", consistency="pause")
    assert writer.status == "paused"
    writer.unpause()


def test_in_use_is_not_restored_to(engine: Engine, writer: Container, tmp_path: Path) -> None:
    volume = engine.volumes["busy"]
    backup = volume.backup(tmp_path / "b")
    with pytest.raises(ck.InvalidState, match="volume busy: cannot restore: writer runs with it"):
        backup.restore(engine=engine)
    writer.stop(timeout=0)
    backup.restore(engine=engine)
    assert volume.diff(backup) == []


def test_clone(engine: Engine, volume: Volume) -> None:
    clone = volume.clone("copy", labels={"for": "tests"})
    assert look(Path(clone.path)) == look(Path(volume.path))
    assert clone.labels == {"for": "tests"}
    with pytest.raises(ck.AlreadyExists, match="volume copy"):
        volume.clone("copy")
    assert os.listdir(engine.paths.tmp) == []


def test_urls_and_open_files(engine: Engine, volume: Volume) -> None:
    base = volume.backup("memory://backups/0.tar.zst")
    Path(volume.path, "new").write_text("new")
    later = volume.backup("memory://backups/1.tar.zst", incremental_from=base)
    assert Volume.restore("memory://backups/1.tar.zst", "one", engine=engine).diff(volume) == []
    assert later.verify() and later.parent == base.id
    file = io.BytesIO()
    volume.backup(file)
    file.seek(0)
    assert Volume.restore(file, "two", engine=engine).diff(volume) == []
    base.remove()
    with pytest.raises(ck.NotFound):
        Backup.open("memory://backups/0.tar.zst")


class Broken(io.RawIOBase):
    """A place that has room for a little."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # what is written here are bytes
        self.size += len(data)
        if self.size > 1000:
            raise OSError(28, "No space left on device")
        return len(data)


def test_a_place_that_is_full(engine: Engine, volume: Volume) -> None:
    Path(volume.path, "large").write_bytes(os.urandom(5 << 20))
    with pytest.raises(ck.StorageError, match="no space left"):
        volume.backup(Broken())
    assert os.listdir(engine.paths.tmp) == []


def test_passphrases(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    for place in ("b.age", "d/"):
        backup = volume.backup(f"{tmp_path}/{place}", passphrase="open sesame")
        with pytest.raises(ck.InvalidArgument, match="passphrase"):
            Volume.restore(f"{tmp_path}/{place}", "new", engine=engine)
        with pytest.raises(ck.InvalidArgument, match="passphrase"):
            Volume.restore(f"{tmp_path}/{place}", "new", passphrase="wrong", engine=engine)
        assert "new" not in engine.volumes
        restored = Volume.restore(f"{tmp_path}/{place}", "new", passphrase="open sesame", engine=engine)
        assert restored.diff(backup) == []
        restored.remove()


def test_a_directory_of_backups(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    for number in range(5):
        Path(volume.path, "large").write_bytes(os.urandom(1 << 20))
        backup = volume.backup(f"{tmp_path}/d/", labels={"number": str(number)})
    backups = Backups(tmp_path / "d")
    assert len(backups) == 5 and backups.latest == backup and backup.labels == {"number": "4"}
    assert list(backups.frame().columns) == ["volume", "created", "files", "size", "added", "id"]
    size = backups.size
    assert len(backups.prune(keep_last=2, dry_run=True)) == 3 and len(backups) == 5
    assert len(backups.prune(keep_last=2)) == 3 and len(backups) == 2
    assert size - backups.size > 2 << 20
    assert backups.verify() and backup.id in backups and "nothing" not in backups
    first = next(iter(backups))
    assert [str(change) for change in backup.diff(first)] == ["C /large"]
    assert Volume.restore(tmp_path / "d" / first.id[:12], "then", engine=engine).diff(first) == []
    first.remove()
    assert len(backups) == 1 and backups.collect() > 1 << 20
    assert "large" not in repr(backups) and backup.id[:12] in repr(backups)


def test_what_backups_look_like(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    place = tmp_path / "<b>"
    backup = volume.backup(place, consistency="pause", labels={"day": "<1>"})
    shown = backup._repr_html_()
    assert backup.id[:12] in shown and f"{backup.created:%Y-%m-%d %H:%M:%S}" in shown and "paused for" in shown
    assert "&lt;b&gt;" in shown and "day=&lt;1&gt;" in shown and "<b>/" not in shown
    later = volume.backup(tmp_path / "later", incremental_from=backup)
    assert f"{backup.id[:12]}" in later._repr_html_() and "incremental" in repr(later)
    volume.backup(f"{tmp_path}/all/")
    (row,) = Backups(tmp_path / "all").rows()
    assert text.size(row["added"]) in Backups(tmp_path / "all")._repr_html_()


def test_an_archive_of_the_seeds_recipe(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    engine.create("busybox", "true", name="vol_container", volumes=["site:/data"])
    engine.call("busybox", "tar cf /backup/data.tar /data", volumes_from=["vol_container"],
                volumes=[f"{tmp_path}:/backup"], check=True)  # fmt: skip
    restored = Volume.restore(tmp_path / "data.tar", "new", engine=engine)
    assert Path(restored.path, "plain.txt").read_bytes() == Path(volume.path, "plain.txt").read_bytes()
    assert os.readlink(f"{restored.path}/link") == "plain.txt"


def test_what_is_hostile_changes_nothing(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    before = look(Path(volume.path))
    for name in ("../escaped", "/absolute", "a/../../escaped"):
        with tarfile.open(tmp_path / "evil.tar", "w") as archive:
            archive.addfile(tarfile.TarInfo("good"))
            archive.addfile(tarfile.TarInfo(name))
        with pytest.raises(ck.InvalidArgument):
            Volume.restore(tmp_path / "evil.tar", "site", engine=engine)
    backup = volume.backup(tmp_path / "b")
    data = (tmp_path / "b").read_bytes()
    for number in range(0, len(data), len(data) // 12):
        (tmp_path / "cut").write_bytes(data[:number])
        (tmp_path / "flipped").write_bytes(data[:number] + bytes([data[number] ^ 0x55]) + data[number + 1 :])
        for place in ("cut", "flipped"):
            with pytest.raises(ck.ContainerkitError, match="backup"):
                Volume.restore(tmp_path / place, "site", engine=engine)
    for source in (b"", b"no archive at all" * 100):
        with pytest.raises(ck.ContainerkitError, match="backup"):
            Volume.restore(io.BytesIO(source), "site", engine=engine)
    with pytest.raises(ck.NotFound, match="backup .*absent: not found"):
        Volume.restore(tmp_path / "absent", "site", engine=engine)
    assert look(Path(volume.path)) == before and backup.verify()
    assert os.listdir(engine.paths.tmp) == []


def test_arguments_that_cannot_be(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    with pytest.raises(ck.InvalidArgument, match="consistency 'perfect'"):
        volume.backup(tmp_path / "b", consistency="perfect")
    with pytest.raises(ck.InvalidArgument, match="brotli"):
        volume.backup(tmp_path / "b", compression="brotli")
    with pytest.raises(ck.NotFound):
        volume.backup(tmp_path / "b", incremental_from=tmp_path / "absent")
    with pytest.raises(ck.ContainerkitError):
        volume.backup(tmp_path / "no such directory" / "b")
    assert not (tmp_path / "b").exists()


class Told(Progress):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.states: list[tuple[str, int, int | None]] = []
        self.summary = ""

    def item(self, key: str, state: str, done: int = 0, total: int | None = None) -> None:
        self.states.append((state, done, total))

    def end(self, summary: str) -> None:
        self.summary = summary


def test_progress_has_bytes_and_rate(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    Path(volume.path, "large").write_bytes(os.urandom(64 << 20))
    for told in (Told(), Told()):
        if not (tmp_path / "b").exists():
            backup = volume.backup(tmp_path / "b", progress=told)
        else:
            Volume.restore(backup, "new", progress=told, engine=engine)
        state, done, total = told.states[-1]
        assert done == total == backup.size and "/s" in state
        assert "site" in told.summary or "new" in told.summary


# -- kills -----------------------------------------------------------------------------------------------------------

DOING = """
import sys
from containerkit import Engine, Volume
engine = Engine(sys.argv[1], sys.argv[2])
volume = Volume.get("busy", engine=engine)
engine.images
print("ready", flush=True)
{work}
print("done", flush=True)
"""


def kill_after(engine: Engine, work: str, seconds: float) -> bool:
    """Kill a process that does some work with the volume busy; whether it was at it."""
    words = [sys.executable, "-c", DOING.format(work=work), str(engine.paths.root), str(engine.paths.run)]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    try:
        child.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
    rest = child.stdout.read()
    child.stdout.close()
    child.wait()
    return "done" not in rest


def _workers() -> list[str]:
    """Those of killed callers, which are about to end: nobody else has any."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended
            if Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"containerkit-worker"):
                found.append(process)
    return found


def test_a_backup_that_is_killed_leaves_no_name(engine: Engine, writer: Container, tmp_path: Path) -> None:
    Path(engine.volumes["busy"].path, "large").write_bytes(os.urandom(200 << 20))
    place, cut = tmp_path / "out", 0
    place.mkdir()
    work = f"volume.backup({str(place / 'b')!r}, consistency='pause')"
    for attempt in range(6):
        if kill_after(engine, work, 0.15 + 0.1 * attempt):
            cut += 1
            assert eventually(lambda: not _workers()) and not (place / "b").exists()
        assert eventually(lambda: writer.status == "running")
    assert cut, "no attempt was early enough to be cut off"
    before = len(lines(engine.volumes["busy"], "first"))
    assert eventually(lambda: len(lines(engine.volumes["busy"], "first")) > before), "the writer is still paused"
    backup = engine.volumes["busy"].backup(place / "b")
    assert os.listdir(place) == ["b"] and backup.verify()


def test_a_restore_that_is_killed_leaves_the_old_content(engine: Engine, image: Image, tmp_path: Path) -> None:
    volume = Volume.create("busy", engine=engine)
    Path(volume.path, "large").write_bytes(os.urandom(150 << 20))
    backup = volume.backup(tmp_path / "b")
    Path(volume.path, "large").unlink()
    Path(volume.path, "old").touch()
    cut = 0
    for attempt in range(6):
        if kill_after(engine, f"Volume.restore({str(tmp_path / 'b')!r}, 'busy', engine=engine)", 0.1 + 0.08 * attempt):
            cut += 1
            assert eventually(lambda: not _workers())
        if os.listdir(volume.path) != ["old"]:  # it had come to its end
            assert volume.diff(backup) == []
            break
    assert cut, "no attempt was early enough to be cut off"
    engine.close()
    assert len(engine.volumes) == 1  # opened again
    assert os.listdir(engine.paths.tmp) == []


@pytest.mark.parametrize("moment", ["before it begins", "while it works"])
def test_a_worker_whose_caller_is_gone_ends(engine: Engine, image: Image, tmp_path: Path, moment: str) -> None:
    volume = Volume.create("busy", engine=engine)
    Path(volume.path, "large").write_bytes(os.urandom(100 << 20))
    work = f"""if True:
        from containerkit.supervise.client import spawner
        spawner.ensure()
        print(spawner.pid, flush=True)
        volume.backup({str(tmp_path / "b")!r})
    """
    words = [sys.executable, "-c", DOING.format(work=work), str(engine.paths.root), str(engine.paths.run)]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    spawner = int(child.stdout.readline())
    worker = _stopped_worker(spawner, works=moment == "while it works")
    child.kill()
    child.wait()
    child.stdout.close()
    assert eventually(lambda: not Path(f"/proc/{spawner}/exe").exists())
    if moment == "before it begins":
        os.kill(worker, signal.SIGCONT)
    assert eventually(lambda: not os.path.exists(f"/proc/{worker}/exe"))
    engine.close()
    assert len(engine.volumes) == 1 and os.listdir(engine.paths.tmp) == [] and not (tmp_path / "b").exists()


def _stopped_worker(spawner: int, *, works: bool) -> int:
    """The worker that a spawner has just made, stopped before it has begun, or when it has what it tells by."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for pid in reversed(descendants(spawner)):  # its relief is called so, too
            with contextlib.suppress(OSError):  # it is not that one, and has just ended
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"containerkit-worker"):
                    if works and not any(link.endswith("/told") for link in _links(pid)):
                        continue
                    os.kill(pid, signal.SIGSTOP)
                    return pid
    raise AssertionError("no worker was made")


def _links(pid: int) -> list[str]:
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found
