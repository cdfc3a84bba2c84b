"""A tree comes back from a backup as it was, with us and with other programs."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pyrage
import pytest

from containerkit.backup import archive
from containerkit.backup.age import Opened, Sealing
from containerkit.backup.chain import verify
from containerkit.backup.items import FILE
from containerkit.backup.sources import Source
from containerkit.backup.unpack import unpack
from containerkit.backup.write import About, write
from containerkit.errors import InvalidArgument, InvalidState, NotFound, StorageError, Unsupported
from tests.backups import listing, look, make_tree, room

COMPRESSIONS = ["zstd", "gzip", "none"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.mkdir()
    return path


def restore(source: Source, target: Path, *paths: str, passphrase: str | None = None) -> None:
    with archive.open(source, passphrase=passphrase) as backup:
        unpack(backup, target, paths=paths or None, passphrase=passphrase)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_everything_comes_back_as_it_was(tree: Path, tmp_path: Path, target: Path, compression: str) -> None:
    said = write(tree, tmp_path / "backup", compression=compression, about=About("data", {"a": "b"}))
    assert said.files == sum(item.kind == FILE for item in said.items) and not said.torn
    with archive.open(tmp_path / "backup") as backup:
        assert backup.manifest == said and not backup.is_foreign
        assert backup.manifest.volume == "data" and backup.manifest.labels == {"a": "b"}
        verify(backup)
        unpack(backup, target)
    assert look(target) == look(tree)
    assert room(target / "sparse") < 1 << 20 and room(target / "hole") == 0


def test_equal_trees_have_equal_ids(tree: Path, tmp_path: Path, target: Path) -> None:
    first = write(tree, tmp_path / "backup")
    restore(tmp_path / "backup", target)
    assert write(target, tmp_path / "again", compression="none").id == first.id
    (target / "plain.txt").chmod(0o600)
    assert write(target, tmp_path / "again").id != first.id


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_gnu_tar_restores_it_without_us(tree: Path, tmp_path: Path, target: Path, compression: str) -> None:
    write(tree, tmp_path / "backup", compression=compression)
    option = {"zstd": ["--zstd"], "gzip": ["-z"], "none": []}[compression]
    if compression == "zstd" and shutil.which("zstd") is None:
        pytest.skip("GNU tar needs the program zstd for it")
    command = ["tar", *option, "--acls", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"]
    done = subprocess.run([*command, tmp_path / "backup", "-C", target], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert look(target) == look(tree, without=("socket",))
    assert room(target / "sparse") < 1 << 20


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_busybox_tar_restores_it_without_us(tree: Path, tmp_path: Path, target: Path, compression: str) -> None:
    (tree / "sparse").unlink()
    (tree / "hole").unlink()
    write(tree, tmp_path / "backup", compression=compression)
    option = "-xzpf" if compression == "gzip" else "-xpf"
    subprocess.run(["busybox", "tar", option, tmp_path / "backup", "-C", target], check=True)
    assert listing(target) == [path for path in listing(tree) if path != "socket"]
    assert (target / "plain.txt").read_bytes() == (tree / "plain.txt").read_bytes()


def test_pythons_tarfile_reads_it(tree: Path, tmp_path: Path) -> None:
    write(tree, tmp_path / "backup", compression="none")
    with tarfile.open(tmp_path / "backup") as found:
        assert found.pax_headers["comment"] == "containerkit backup 2"
        assert len(found.getmembers()) == len(look(tree)) - 1
        content = found.extractfile("./sparse")
        assert content is not None and content.read() == (tree / "sparse").read_bytes()


RECIPES = {
    "gnu": ["tar", "-cf"],
    "gnu, with everything": ["tar", "--format=posix", "--acls", "--xattrs", "-Scf"],
    "gnu, compressed": ["tar", "-czf"],
    "busybox": ["busybox", "tar", "-cvf"],
    "busybox, compressed": ["busybox", "tar", "-czf"],
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_archive_of_a_docker_recipe_restores(tmp_path: Path, target: Path, recipe: str) -> None:
    tree = make_tree(tmp_path / "data")
    subprocess.run([*RECIPES[recipe], tmp_path / "data.tar", "data"], cwd=tmp_path, check=True, capture_output=True)
    restore(tmp_path / "data.tar", target)
    assert listing(target) == [path for path in listing(tree) if path != "socket"]
    assert (target / "sparse").read_bytes() == (tree / "sparse").read_bytes()
    assert (target / "plain.txt").stat().st_ino == (target / "second name").stat().st_ino
    assert (target / "program").stat().st_mode == (tree / "program").stat().st_mode
    if "everything" in recipe:
        assert look(target) == look(tree, without=("socket",))
        assert room(target / "sparse") < 1 << 20


def test_an_archive_of_pythons_tarfile_restores(tmp_path: Path, target: Path) -> None:
    tree = make_tree(tmp_path / "data")
    with tarfile.open(tmp_path / "data.tar.xz", "w:xz") as made:
        made.add(tree, "data")
    restore(tmp_path / "data.tar.xz", target)
    assert listing(target) == [path for path in listing(tree) if path != "socket"]


def test_only_one_directory_at_the_top_is_the_root(tmp_path: Path, target: Path) -> None:
    for name in ("data/inner", "other"):
        (tmp_path / name).mkdir(parents=True)
    subprocess.run(["tar", "-cf", "two.tar", "data", "other"], cwd=tmp_path, check=True)
    restore(tmp_path / "two.tar", target)
    assert listing(target) == ["data", "data/inner", "other"]
    subprocess.run(["tar", "-cf", "one.tar", "data"], cwd=tmp_path, check=True)
    with archive.open(tmp_path / "one.tar", strip=0) as backup:
        assert [item.path for item in backup.manifest.items] == [".", "data", "data/inner"]


def test_single_paths_come_back_with_what_is_above_them(tree: Path, tmp_path: Path, target: Path) -> None:
    write(tree, tmp_path / "backup")
    restore(tmp_path / "backup", target, "second name", "./a directory/deeper/")
    assert (target / "second name").read_bytes() == (tree / "plain.txt").read_bytes()
    assert not (target / "plain.txt").exists()
    expected = look(tree)
    for path, item in look(target).items():
        assert item == expected[path] or path == "second name"
    assert [path for path in listing(tree) if path.startswith("a directory")] == listing(target)[:-1]
    with pytest.raises(NotFound, match="'nothing' is not in it"):
        restore(tmp_path / "backup", target, "nothing")
    with pytest.raises(InvalidArgument, match="leads out of it"):
        restore(tmp_path / "backup", target, "../etc")


def test_a_directory_with_files_is_not_restored_into(tree: Path, tmp_path: Path, target: Path) -> None:
    write(tree, tmp_path / "backup")
    (target / "mine").touch()
    with pytest.raises(InvalidState, match="is not empty"):
        restore(tmp_path / "backup", target)
    assert listing(target) == ["mine"]


def test_no_room_is_said_before_anything_is_written(tmp_path: Path, target: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "big").write_bytes(os.urandom(1 << 20) * 3)
    write(tmp_path / "tree", tmp_path / "backup")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", target], check=True)
    try:
        with pytest.raises(StorageError, match="unpacks to 3.0 MiB, and 1.0 MiB are free|unpacks to .* are free"):
            restore(tmp_path / "backup", target)
        assert listing(target) == []
    finally:
        subprocess.run(["umount", target], check=True)


def test_an_incremental_backup_has_only_what_changed(tree: Path, tmp_path: Path, target: Path) -> None:
    (tree / "big").write_bytes(os.urandom(1 << 20))
    time.sleep(0.05)  # what changed just before might change again at the same time
    first = write(tree, tmp_path / "one")
    (tree / "plain.txt").write_text("changed")
    (tree / "new").write_text("new")
    (tree / "empty").unlink()
    second = write(tree, tmp_path / "two", base=first, base_name="one")
    (tree / "new").write_text("newer")
    write(tree, tmp_path / "three", base=second, base_name="two", about=About("data"))
    assert second.parent == first.id
    assert (tmp_path / "two").stat().st_size < 20_000
    with archive.open(tmp_path / "three") as backup:
        verify(backup)
    restore(tmp_path / "three", target)
    assert look(target) == look(tree)


def test_a_base_that_is_another_one_is_refused(tree: Path, tmp_path: Path, target: Path) -> None:
    time.sleep(0.05)
    first = write(tree, tmp_path / "one")
    write(tree, tmp_path / "two", base=first, base_name="one")
    (tmp_path / "one").rename(tmp_path / "moved")
    with pytest.raises(NotFound, match="is incremental to one that is not there: backup .*/one: not found"):
        restore(tmp_path / "two", target)
    with archive.open(tmp_path / "two") as backup:
        unpack(backup, target, base=tmp_path / "moved")
    assert look(target) == look(tree)
    (tree / "new").touch()
    write(tree, tmp_path / "one")
    with archive.open(tmp_path / "two") as backup, pytest.raises(InvalidArgument, match="is another"):
        verify(backup)
    with pytest.raises(InvalidArgument, match="is the one that it would be incremental to"):
        write(tree, tmp_path / "one", base=first, base_name="one")


def test_what_changed_as_the_base_began_is_backed_up_again(tmp_path: Path) -> None:
    # One tick of the clock may have two changes of a file, and the base but the first.
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"12345678")
    base = write(tree, tmp_path / "one")
    for after, elsewhere in ((0, False), (1, True)):
        base.settled_ns = (tree / "file").stat().st_ctime_ns + after
        second = write(tree, io.BytesIO(), base=base)
        assert [item.elsewhere for item in second.items if item.kind == FILE] == [elsewhere]


def test_a_large_backup_takes_little_memory(tmp_path: Path, target: Path) -> None:
    (tmp_path / "tree").mkdir()
    for number in range(4):
        (tmp_path / "tree" / f"{number}").write_bytes(os.urandom(64 << 20))
    code = """
import re, sys
from containerkit.backup import archive
from containerkit.backup.unpack import unpack
from containerkit.backup.write import write
write(sys.argv[1], sys.argv[2], passphrase="secret")
with archive.open(sys.argv[2], passphrase="secret") as backup:
    unpack(backup, sys.argv[3])
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""
    command: list[str | Path] = [sys.executable, "-c", code, tmp_path / "tree", tmp_path / "backup", target]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 150_000  # KiB
    assert look(target) == look(tmp_path / "tree")


def test_what_changed_behind_times_is_found_by_content(tmp_path: Path, target: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "same").write_bytes(os.urandom(100_000))
    (tree / "other").write_bytes(b"a" * 1000)
    first = write(tree, tmp_path / "one")
    os.utime(tree / "same")
    (tree / "other").write_bytes(b"b" * 1000)
    second = write(tree, tmp_path / "two", base=first, base_name="one", by_content=True)
    assert {item.path: item.elsewhere for item in second.items if item.kind == FILE} == {"same": True, "other": False}
    restore(tmp_path / "two", target)
    assert look(target) == look(tree)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_age_and_we_open_what_a_passphrase_locks(tree: Path, tmp_path: Path, target: Path, compression: str) -> None:
    write(tree, tmp_path / "backup", passphrase="secret", compression=compression)
    write(tree, tmp_path / "plain", compression=compression)
    opened = pyrage.passphrase.decrypt((tmp_path / "backup").read_bytes(), "secret")
    with archive.open(io.BytesIO(opened)) as backup:
        verify(backup)
    restore(tmp_path / "backup", target, passphrase="secret")
    assert look(target) == look(tree)
    with pytest.raises(InvalidArgument, match="the passphrase is not the right one"):
        archive.open(tmp_path / "backup", passphrase="wrong")
    with pytest.raises(InvalidArgument, match="is encrypted: it takes its passphrase"):
        archive.open(tmp_path / "backup")


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 16 * 65536, 16 * 65536 + 1, 3_000_000])
def test_another_reader_of_age_reads_every_length(size: int) -> None:
    data = os.urandom(size)
    file = io.BytesIO()
    sealing = Sealing(file, "pässword")
    for start in range(0, size, 100_000):
        sealing.write(data[start : start + 100_000])
    sealing.end()
    assert pyrage.passphrase.decrypt(file.getvalue(), "pässword") == data
    ours = Opened(file, "pässword", "file")
    assert ours.size == size and ours.read() == data
    ours.seek(size // 2)
    assert ours.read(1000) == data[size // 2 :][:1000]


def test_what_another_writer_of_age_encrypted_is_read(tree: Path, target: Path) -> None:
    file = io.BytesIO()
    write(tree, file)
    restore(io.BytesIO(pyrage.passphrase.encrypt(file.getvalue(), "x")), target, passphrase="x")
    assert look(target) == look(tree)


def test_backups_live_at_urls(tree: Path, tmp_path: Path, target: Path) -> None:
    first = write(tree, "memory://backups/one")
    (tree / "new").write_text("new")
    write(tree, "memory://backups/two", base=first, base_name="one")
    restore("memory://backups/two", target)
    assert look(target) == look(tree)
    write(tree, f"file://{tmp_path}/three")
    with archive.open(tmp_path / "three") as backup:
        verify(backup)
    with pytest.raises(NotFound, match="not found"):
        archive.open("memory://backups/none")
    with pytest.raises((InvalidArgument, Unsupported), match="nosuch"):
        write(tree, "nosuch://backups/one")


def test_an_upload_that_fails_is_not_there(tree: Path) -> None:
    (tree / "plain.txt").write_bytes(os.urandom(9 << 20))

    def fail(done: int, total: int, files: int) -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        write(tree, "memory://backups/failed", told=fail)
    with pytest.raises(NotFound):
        archive.open("memory://backups/failed")


def test_backups_go_through_open_files_and_pipes(tree: Path, target: Path) -> None:
    file = io.BytesIO()
    write(tree, file)
    reading, writing = os.pipe()
    with open(reading, "rb") as reader, open(writing, "wb") as writer:

        def send() -> None:
            writer.write(file.getvalue())
            writer.close()

        thread = threading.Thread(target=send)
        thread.start()
        restore(reader, target)
        thread.join()
    assert look(target) == look(tree)


def test_a_name_is_taken_when_all_is_there(tree: Path, tmp_path: Path) -> None:
    destination = tmp_path / "backup"
    destination.write_text("the old one")
    parts: list[str] = []

    def told(done: int, total: int, files: int) -> None:
        assert destination.read_text() == "the old one"
        parts.extend(path.name for path in tmp_path.glob("backup.*.part"))

    write(tree, destination, told=told)
    assert parts and not list(tmp_path.glob("*.part"))
    with archive.open(destination) as backup:
        verify(backup)


def test_a_writer_that_is_killed_leaves_no_name_and_the_next_one_tidies_up(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "big").write_bytes(os.urandom(8 << 20) * 32)
    code = "import sys; from containerkit.backup.write import write; write(sys.argv[1], sys.argv[2])"
    child = subprocess.Popen([sys.executable, "-c", code, tmp_path / "tree", tmp_path / "backup"])
    deadline = time.monotonic() + 60
    while not [path for path in tmp_path.glob("*.part") if path.stat().st_size > 1 << 20]:
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "backup").exists() and len(list(tmp_path.glob("*.part"))) == 1
    with open(tmp_path / "backup.01234567.part", "wb") as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        (tmp_path / "tree" / "big").write_bytes(b"small")
        write(tmp_path / "tree", tmp_path / "backup")
        assert [path.name for path in tmp_path.glob("*.part")] == ["backup.01234567.part"]


def test_a_file_that_shrinks_or_grows_while_it_is_read_spoils_nothing(tmp_path: Path, target: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, size in (("a", 6), ("grows", 20), ("shrinks", 40), ("z", 6)):
        (tree / name).write_bytes(os.urandom(size << 20))

    class Meddling(io.BytesIO):
        def write(self, data: object, /) -> int:
            # What is written was read a moment ago: some megabytes later, it is one of the two that is read.
            if 12 << 20 < self.tell() < 20 << 20:
                os.truncate(tree / "grows", 30 << 20)
            if self.tell() > 36 << 20:
                os.truncate(tree / "shrinks", 1 << 20)
            return super().write(data)  # type: ignore[arg-type]  # bytes

    file = Meddling()
    said = write(tree, file, compression="none")
    assert said.torn == ["grows", "shrinks"]
    with archive.open(file) as backup:
        verify(backup)
        unpack(backup, target)
    assert (target / "z").read_bytes() == (tree / "z").read_bytes()
    said.settled_ns += 10**9  # as if nothing had changed just before
    second = write(tree, io.BytesIO(), base=said)
    assert [item.path for item in second.items if item.kind == FILE and not item.elsewhere] == said.torn


def test_a_tree_that_changes_all_the_time_is_backed_up(tmp_path: Path, target: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "stays").mkdir(parents=True)
    (tree / "stays" / "file").write_text("content")
    stop = threading.Event()

    def churn() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            (tree / f"d{number % 50}" / "x").mkdir(parents=True, exist_ok=True)
            (tree / f"d{number % 50}" / "file").write_bytes(b"x" * (number % 5000))
            shutil.rmtree(tree / f"d{(number + 25) % 50}", ignore_errors=True)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(30):
            file = io.BytesIO()
            write(tree, file)
            with archive.open(file) as backup:
                verify(backup)
    finally:
        stop.set()
        thread.join()
    with archive.open(file) as backup:
        unpack(backup, target)
    assert (target / "stays" / "file").read_text() == "content"


def test_progress_comes_to_its_total(tree: Path, tmp_path: Path, target: Path) -> None:
    told: list[tuple[int, int, int]] = []
    said = write(tree, tmp_path / "backup", told=lambda *numbers: told.append(numbers))
    assert told[-1] == (said.size, said.size, said.files)
    with archive.open(tmp_path / "backup") as backup:
        verify(backup, told=lambda *numbers: told.append(numbers))
        unpack(backup, target, told=lambda *numbers: told.append(numbers))
    assert told[-1] == (said.size, said.size, said.files)


def test_the_digest_of_a_sparse_file_is_that_of_its_zeros(tree: Path, tmp_path: Path) -> None:
    said = {item.path: item for item in write(tree, tmp_path / "backup").items}
    assert said["sparse"].digest == hashlib.sha256((tree / "sparse").read_bytes()).hexdigest()
    assert said["sparse"].extents is not None and said["hole"].extents == ()


def test_times_that_no_archive_has_do_not_spoil_it(tmp_path: Path, target: Path) -> None:
    tree = Path("/dev/shm") / f"containerkit-test-{os.getpid()}"  # takes any time
    tree.mkdir()
    try:
        for name, seconds in (("future", 1 << 50), ("past", -(1 << 50)), ("before", -5)):
            (tree / name).touch()
            os.utime(tree / name, (seconds, seconds))
        write(tree, tmp_path / "backup")
    finally:
        shutil.rmtree(tree)
    with archive.open(tmp_path / "backup") as backup:
        verify(backup)
        assert [item.mtime_ns for item in backup.manifest.items if item.path == "before"] == [-5 * 10**9]


def test_an_unknown_compression_is_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="compression 'lz4'"):
        write(tree, tmp_path / "backup", compression="lz4")
    with pytest.raises(InvalidArgument, match="is a directory"):
        write(tree, tmp_path)
    with pytest.raises(InvalidArgument, match="the passphrase is empty"):
        write(tree, tmp_path / "backup", passphrase="")
    assert listing(tmp_path) == ["tree", *(f"tree/{path}" for path in listing(tree))]
