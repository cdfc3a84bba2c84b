"""A directory of backups: everything comes back, what several have is kept once, and no kill loses it."""

from __future__ import annotations

import mmap
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from containerkit import InvalidArgument, InvalidState, NotFound, StorageError
from containerkit.backup import chain, compare
from containerkit.backup.directory import MARKER, Directory, Kept
from containerkit.backup.retention import Retention
from containerkit.backup.snapshots import Summary
from containerkit.backup.unpack import unpack
from containerkit.backup.write import About
from tests.backups import look, make_tree


def add(place: Path, root: Path, volume: str = "v", passphrase: str | None = None) -> tuple[Kept, Summary]:
    with Directory(place, passphrase=passphrase, create=True) as directory:
        return directory.add(root, About(volume))


def restore(place: Path, id: str, target: Path, passphrase: str | None = None) -> None:
    target.mkdir()
    with Directory(place, passphrase=passphrase) as directory:
        unpack(directory.reading(directory.find(id)), target)


def verify(place: Path, passphrase: str | None = None) -> int:
    """Read every backup; how many there are."""
    with Directory(place, passphrase=passphrase) as directory:
        found = directory.list()
        for one in found:
            chain.verify(directory.reading(one))
    return len(found)


def size(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def contents(place: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


def parts(place: Path) -> list[Path]:
    return list(place.rglob("*.part"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.mark.parametrize("passphrase", [None, "a secret"])
def test_everything_comes_back_as_it_was(tmp_path: Path, place: Path, passphrase: str | None) -> None:
    tree = make_tree(tmp_path / "tree")
    (tree / "large").write_bytes(random.Random(1).randbytes(5 << 20) + bytes(100_000))
    one, said = add(place, tree, passphrase=passphrase)
    restore(place, one.id, tmp_path / "back", passphrase)
    assert look(tmp_path / "back") == look(tree)
    assert verify(place, passphrase) == 1
    assert (said.volume, said.torn) == ("v", [])
    if passphrase is not None:
        kept = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
        assert b"plain.txt" not in kept and b"hello" not in kept


def test_ten_backups_with_little_changed_cost_little(tmp_path: Path, place: Path) -> None:
    tree, chance = tmp_path / "tree", random.Random(2)
    tree.mkdir()
    for number in range(300):
        (tree / str(number)).write_bytes(chance.randbytes(20_000))
    (tree / "database").write_bytes(chance.randbytes(20 << 20))
    add(place, tree)
    first = size(place)
    for number in range(9):
        (tree / str(number)).write_bytes(chance.randbytes(20_000))
        with open(tree / "database", "r+b") as file:
            file.seek(chance.randrange(20 << 20) // 2)
            file.write(b"changed in place")
        add(place, tree)
    assert verify(place) == 10
    assert size(place) < 1.6 * first
    before = size(place)
    _, again = add(place, tree)
    assert again.added == 0 and size(place) - before < 100_000
    add(place, tree, volume="another")
    assert size(place) - before < 200_000


def make_names(root: Path, count: int) -> Path:
    """A tree of many names without any content, a directory for each hundred."""
    for number in range(count):
        if number % 100 == 0:
            (root / str(number)).mkdir(parents=True)
        (root / str(number // 100 * 100) / f"{number}-ü").touch()
    return root


def test_what_has_not_changed_adds_little_however_many_names_there_are(tmp_path: Path, place: Path) -> None:
    tree = make_names(tmp_path / "tree", 20_000)
    time.sleep(0.05)
    _, first = add(place, tree)
    before = size(place)
    _, again = add(place, tree)
    assert (again.files, again.added) == (20_000, 0) and size(place) - before < 5_000
    (tree / "0" / "new").touch()
    (tree / "900" / "901-ü").unlink()
    _, changed = add(place, tree)
    assert (changed.files, verify(place)) == (20_000, 3) and changed.added < 100_000 < first.added
    with Directory(place) as directory:
        assert directory.add(tree, About("v"), by_content=True)[1].added == 0


def test_backups_of_a_tree_that_changes_and_changes_have_each_what_there_was(tmp_path: Path, place: Path) -> None:
    tree, chance = make_names(tmp_path / "tree", 3_000), random.Random(7)
    for round in range(6):
        time.sleep(0.05)
        for number, path in enumerate(chance.sample(sorted(tree.rglob("*-ü")), 12)):
            if number % 6 == 0:
                path.unlink()
            elif number % 6 == 1:
                path.rename(path.parent / f"renamed-{round}-ü")
            elif number % 6 == 2:
                path.write_text(f"written in round {round}")
            elif number % 6 == 3:
                os.setxattr(path, "user.round", str(round).encode())
            elif number % 6 == 4:
                os.link(path, tree / "0" / f"{round}-{number}-another name of {path.name}")
            else:
                (path.parent / f"{round}-{number}-link").symlink_to(path)
        os.setxattr(chance.choice(list(tree.iterdir())), "user.round", str(round).encode())
        (tree / f"zzz{round}-ü").touch()
        one, _ = add(place, tree)
        restore(place, one.id, tmp_path / str(round))
        assert look(tmp_path / str(round)) == look(tree)
    assert verify(place) == 6


def test_lines_of_a_manifest_that_are_longer_than_a_block(tmp_path: Path, place: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(2000):
        (tree / str(number)).symlink_to(f"{number:04000}")
    one, said = add(place, tree)
    assert any(len(group) > 1 for group in said.groups)
    restore(place, one.id, tmp_path / "back")
    assert look(tmp_path / "back") == look(tree)


def test_what_changes_behind_its_time_is_seen_by_its_change_time(tmp_path: Path, place: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "f").write_bytes(b"one")
    before = os.stat(tree / "f")
    time.sleep(0.05)
    add(place, tree)
    (tree / "f").write_bytes(b"two")
    os.utime(tree / "f", ns=(before.st_atime_ns, before.st_mtime_ns))
    one, _ = add(place, tree)
    restore(place, one.id, tmp_path / "back")
    assert (tmp_path / "back" / "f").read_bytes() == b"two"


@pytest.mark.parametrize("disk", ["on a disk", "in memory"])
def test_what_is_written_through_a_memory_map_is_seen(tmp_path: Path, place: Path, disk: str) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path if disk == "on a disk" else "/dev/shm") as root:
        tree = Path(root)
        (tree / "f").write_bytes(bytes(8192))
        with open(tree / "f", "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            memory[0] = 1
            time.sleep(0.1)
            add(place, tree)
            memory[0] = 2  # to a page that is open for writing: its file's times stay as they are
            one, _ = add(place, tree)
        restore(place, one.id, tmp_path / "back")
    assert (tmp_path / "back" / "f").read_bytes()[0] == 2


def test_backups_are_found_by_id_by_digest_and_as_the_latest(tmp_path: Path, place: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    first, said = add(place, tree)
    (tree / "new").touch()
    last, _ = add(place, tree, volume="w")
    with Directory(place) as directory:
        assert [one.volume for one in directory.list()] == ["v", "w"]
        assert directory.find(first.id) == directory.find(said.id) == directory.find(said.id[:8]) == first
        assert directory.find("latest") == last
        assert directory.find("latest", "v") == first
        with pytest.raises(NotFound, match="nothing: not found"):
            directory.find("nothing")


WRITER = """
import sys
from containerkit.backup.directory import Directory
from containerkit.backup.write import About
print("ready", flush=True)
with Directory(sys.argv[1], create=True) as directory:
    directory.add(sys.argv[2], About("v"))
"""


def test_a_writer_that_is_killed_loses_nothing(tmp_path: Path, place: Path) -> None:
    tree, chance = tmp_path / "tree", random.Random(3)
    tree.mkdir()
    cut = whole = 0
    for attempt in range(10):
        (tree / f"large{attempt}").write_bytes(chance.randbytes(8 << 20))
        for number in range(200):
            (tree / f"{attempt}-{number}").write_bytes(chance.randbytes(3000))
        words = [sys.executable, "-c", WRITER, str(place), str(tree)]
        child = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        assert child.stdout is not None and child.stdout.readline()
        try:
            child.wait(timeout=0.03 + 0.02 * attempt)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            cut += 1
        child.stdout.close()
        if (place / MARKER).exists():
            assert verify(place) >= whole
            whole = verify(place)
    assert cut, "no attempt was early enough to be cut off"
    one, _ = add(place, tree)
    assert parts(place) == []
    restore(place, one.id, tmp_path / "back")
    assert look(tmp_path / "back") == look(tree)


def test_two_write_at_once(tmp_path: Path, place: Path) -> None:
    trees = []
    for name in ("one", "two", "three"):
        tree = tmp_path / name
        tree.mkdir()
        (tree / "own").write_bytes(random.Random(name).randbytes(4 << 20))
        (tree / "same").write_bytes(random.Random(0).randbytes(4 << 20))
        trees.append(tree)
    threads = [threading.Thread(target=add, args=(place, tree, tree.name)) for tree in trees]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(place) == 3


def test_what_is_used_stays_when_the_rest_goes(tmp_path: Path, place: Path) -> None:
    tree, chance = tmp_path / "tree", random.Random(4)
    tree.mkdir()
    (tree / "stays").write_bytes(chance.randbytes(3 << 20))
    for _ in range(4):
        (tree / "changes").write_bytes(chance.randbytes(10 << 20))
        last, _ = add(place, tree)
    full = size(place)
    with Directory(place, alone=True) as directory:
        expired = directory.expired(Retention(last=1))
        assert len(expired) == 3
        for one in expired:
            directory.remove(one)
        assert directory.collect() > 25 << 20
        assert directory.collect() == 0
    assert verify(place) == 1 and size(place) < full - (25 << 20)
    restore(place, last.id, tmp_path / "back")
    assert look(tmp_path / "back") == look(tree)
    add(place, tree)
    assert verify(place) == 2


def test_what_is_used_of_manifests_stays_when_the_rest_goes(tmp_path: Path, place: Path) -> None:
    tree = make_names(tmp_path / "tree", 5_000)
    time.sleep(0.05)
    add(place, tree)
    for directory in tree.iterdir():
        if int(directory.name) >= 1000:
            directory.rename(tree / f"moved-{directory.name}")
    last, _ = add(place, tree)
    with Directory(place, alone=True) as backups:
        assert backups.collect() == 0
        before = size(place / "packs")
        freed = backups.collect(backups.expired(Retention(last=1)))
        assert freed == before - size(place / "packs") > before / 4
        assert backups.list() == [last]
    restore(place, last.id, tmp_path / "back")
    assert look(tmp_path / "back") == look(tree)
    assert add(place, tree)[1].added == 0


COLLECTOR = """
import sys
from containerkit.backup.directory import Directory
from containerkit.backup.retention import Retention
with Directory(sys.argv[1], alone=True) as directory:
    print("ready", flush=True)
    directory.collect(directory.expired(Retention(last=1)))
"""


def test_who_frees_and_is_killed_loses_nothing(tmp_path: Path, place: Path) -> None:
    tree, chance = make_names(tmp_path / "tree", 2_000), random.Random(8)
    (tree / "stays").write_bytes(chance.randbytes(3 << 20))
    cut = 0
    for attempt in range(10):
        for number in range(40):
            (tree / f"own-{number}").write_bytes(chance.randbytes(300_000))
        (tree / "0").rename(tree / "1")
        (tree / "1").rename(tree / "0")
        add(place, tree)
        last, _ = add(place, tree)
        words = [sys.executable, "-c", COLLECTOR, str(place)]
        child = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        assert child.stdout is not None and child.stdout.readline()
        time.sleep(0.002 + 0.006 * attempt)
        child.send_signal(signal.SIGKILL)
        cut += child.wait() != 0
        child.stdout.close()
        assert verify(place) >= 1
        with Directory(place) as directory:
            assert directory.find("latest") == last
    assert cut, "no attempt was early enough to be cut off"
    with Directory(place, alone=True) as directory:
        directory.collect(directory.expired(Retention(last=1)))
    assert verify(place) == 1 and parts(place) == [] and size(place) < 40 << 20


def test_nothing_is_freed_while_a_backup_is_written(tmp_path: Path, place: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "f").write_bytes(random.Random(6).randbytes(3 << 20))
    one, _ = add(place, tree)
    done: list[str] = []

    def free() -> None:
        with Directory(place, alone=True) as directory:
            directory.remove(one)
            directory.collect()
            done.append("freed")

    with Directory(place) as reader, Directory(place, create=True) as writer:
        with pytest.raises(InvalidState, match="somebody else may be"):
            writer.collect()
        thread = threading.Thread(target=free)
        thread.start()
        time.sleep(0.2)
        writer.add(tree, About("v"))  # counts on the blocks that are there
        assert reader.list() and done == []
    thread.join()
    assert done == ["freed"] and verify(place) == 1


def test_a_damaged_pack_is_in_nobody_elses_way(tmp_path: Path, place: Path) -> None:
    trees = []
    for name in ("one", "two"):
        trees.append(make_tree(tmp_path / name))
        (tmp_path / name / "own").write_bytes(random.Random(name).randbytes(1 << 20))
    first, _ = add(place, trees[0], "one")
    (pack,) = (place / "packs").iterdir()
    pack.write_bytes(b"damaged")
    with pytest.raises(InvalidArgument, match=pack.name):
        restore(place, first.id, tmp_path / "back")
    second, _ = add(place, trees[1], "two")
    restore(place, second.id, tmp_path / "back2")
    assert look(tmp_path / "back2") == look(trees[1])
    add(place, trees[0], "one")
    assert verify(place) == 3


@pytest.mark.parametrize("how", ["flipped", "lost"])
@pytest.mark.parametrize("passphrase", [None, "a secret"])
def test_a_manifest_that_is_damaged_is_an_error_and_made_anew(
    tmp_path: Path, place: Path, how: str, passphrase: str | None
) -> None:
    tree = make_names(tmp_path / "tree", 2_000)
    time.sleep(0.05)
    one, _ = add(place, tree, passphrase=passphrase)
    other, _ = add(place, make_names(tmp_path / "other", 10), "w", passphrase=passphrase)
    pack, *_ = sorted((place / "packs").iterdir())  # there is no content: all of it is of the first one's manifest
    data = pack.read_bytes()
    pack.write_bytes(data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])
    if how == "lost":
        pack.unlink()
    before = contents(place)
    with pytest.raises(InvalidArgument, match=one.name):
        restore(place, one.id, tmp_path / "back", passphrase)
    with Directory(place, passphrase=passphrase, alone=True) as directory:
        with pytest.raises(InvalidArgument, match=one.name):
            directory.collect()
        with pytest.raises(InvalidArgument, match=one.name):
            directory.collect([other])
    assert contents(place) == before
    last, _ = add(place, tree, passphrase=passphrase)
    restore(place, last.id, tmp_path / "again", passphrase)
    assert look(tmp_path / "again") == look(tree)
    assert verify(place, passphrase) == 3
    with Directory(place, passphrase=passphrase, alone=True) as directory:
        directory.collect([one])
    assert verify(place, passphrase) == 2


@pytest.mark.parametrize("what", ["packs/*.pack", "snapshots/v/*", MARKER])
@pytest.mark.parametrize("how", ["flipped", "cut off", "emptied"])
def test_what_is_damaged_is_an_error_that_names_it(tmp_path: Path, place: Path, what: str, how: str) -> None:
    one, _ = add(place, make_tree(tmp_path / "tree"))
    (path,) = place.glob(what)
    data = path.read_bytes()
    if how == "flipped":
        path.write_bytes(data[:13] + bytes([data[13] ^ 1]) + data[14:])
    else:
        path.write_bytes(data[: len(data) // 2 if how == "cut off" else 0])
    with pytest.raises((InvalidArgument, NotFound), match=f"backups? {place}"):
        restore(place, one.id, tmp_path / "back")
    assert not (tmp_path / "back").exists() or os.listdir(tmp_path / "back") == []


def test_a_pack_that_is_lost_is_made_anew_by_the_next_backup(tmp_path: Path, place: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    add(place, tree)
    (pack,) = (place / "packs").iterdir()
    pack.unlink()
    with pytest.raises(InvalidArgument, match="the block .* is missing"):
        verify(place)
    last, _ = add(place, tree)
    restore(place, last.id, tmp_path / "back")
    assert look(tmp_path / "back") == look(tree)
    assert verify(place) == 2


def test_passphrases(tmp_path: Path, place: Path) -> None:
    add(place, make_tree(tmp_path / "tree"), passphrase="right")
    with pytest.raises(InvalidArgument, match="is encrypted"):
        Directory(place)
    with pytest.raises(InvalidArgument, match="the passphrase is wrong"):
        Directory(place, passphrase="wrong")


def test_what_is_no_directory_of_backups(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not a directory of backups"):
        Directory(tmp_path)
    (tmp_path / MARKER).write_text('{"format": 99}')
    with pytest.raises(InvalidArgument, match="of another format"):
        Directory(tmp_path)


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    tree, disk = tmp_path / "tree", tmp_path / "disk"
    tree.mkdir()
    disk.mkdir()
    (tree / "small").write_bytes(b"x" * 1000)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], check=True)
    try:
        add(disk / "b", tree)
        (tree / "large").write_bytes(random.Random(5).randbytes(8 << 20))
        with pytest.raises(StorageError, match="no space left"):
            add(disk / "b", tree)
        assert verify(disk / "b") == 1 and parts(disk / "b") == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_what_two_trees_do_not_have_in_common(tmp_path: Path) -> None:
    one, other = make_tree(tmp_path / "one"), make_tree(tmp_path / "other")
    (other / "plain.txt").write_text("other")
    (other / "program").chmod(0o700)
    (other / "empty").unlink()
    (other / "new").touch()
    (other / "link").unlink()
    (other / "link").symlink_to("elsewhere")
    found = []
    for root in (one, other):
        descriptor = os.open(root, os.O_RDONLY)
        found.append(compare.hashed(descriptor))
        os.close(descriptor)
    changes = [str(change) for change in compare.changes(*found)]
    assert changes == ["D /empty", "C /link", "A /new", "C /plain.txt", "C /program", "C /second name"]
