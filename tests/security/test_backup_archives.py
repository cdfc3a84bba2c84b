"""A hostile or damaged backup is an error, and changes nothing: not outside, and not in the target."""

from __future__ import annotations

import hashlib
import io
import os
import random
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from containerkit.backup import archive, headers, manifest
from containerkit.backup.chain import verify
from containerkit.backup.items import Item
from containerkit.backup.manifest import Manifest
from containerkit.backup.trailer import Trailer
from containerkit.backup.unpack import unpack
from containerkit.backup.write import COMMENT, write
from containerkit.errors import ContainerkitError, InvalidArgument, StorageError
from containerkit.layers import tar
from tests.backups import listing, look, make_tree

COMPRESSIONS = ["zstd", "gzip", "none"]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "inner" / "target"
    path.mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("mine")
    return path


def restore(data: bytes, target: Path) -> None:
    with archive.open(io.BytesIO(data)) as backup:
        unpack(backup, target)


def refused(data: bytes, target: Path, match: str) -> None:
    """It is an error, and nothing is anywhere."""
    before = listing(target.parent.parent)
    with pytest.raises(ContainerkitError, match=match):
        restore(data, target)
    assert listing(target.parent.parent) == before and not listing(target)
    outside = target.parent.parent / "outside" / "file"
    assert outside.read_text() == "mine" and outside.stat().st_nlink == 1


def foreign(*members: tuple[str, bytes, str], content: bytes = b"x") -> bytes:
    """An archive of entries: name, type, link."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, kind, link in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, link
            entry.size = len(content) if kind == tarfile.REGTYPE else 0
            made.addfile(entry, io.BytesIO(content))
    return file.getvalue()


FILE, LINK, HARD, DIRECTORY = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ([("../x", FILE, "")], "leads out"),
        ([("a/../../x", FILE, "")], "leads out"),
        ([("/x", FILE, "")], "leads out"),
        ([("../outside/file", FILE, "")], "leads out"),
        ([("a", LINK, "../../outside"), ("a/file", FILE, "")], "has files below it, and is no directory"),
        ([("a", LINK, "/etc"), ("a/x", DIRECTORY, "")], "has files below it, and is no directory"),
        ([("a", DIRECTORY, ""), ("a", LINK, "/"), ("a/x", FILE, "")], "has files below it"),
        ([("a", FILE, ""), ("a/b/c", FILE, "")], "has files below it"),
        ([("a", HARD, "../../outside/file")], "leads out"),
        ([("a", HARD, "/etc/passwd")], "leads out"),
        ([("a", LINK, "../../outside"), ("b", HARD, "a/file")], "is a hard link to 'a/file', which is no file"),
        ([("a", HARD, "a")], "is a hard link to 'a', which is no file"),
        ([("a", HARD, "b"), ("b", HARD, "a")], "which is no file"),
        ([("d", DIRECTORY, ""), ("a", HARD, "d")], "which is no file"),
        ([("x/" * 300 + "x", FILE, "")], "cannot be"),
        ([("x" * 300, FILE, "")], "cannot be"),
        ([(".", LINK, "/etc")], "has the root's name"),
    ],
)
def test_archives_that_lead_outside_are_refused(
    members: list[tuple[str, bytes, str]], match: str, target: Path
) -> None:
    refused(foreign(*members), target, match)


def test_a_link_to_outside_is_but_a_link(target: Path) -> None:
    restore(foreign(("link", LINK, "../../outside/file"), ("file", FILE, "")), target)
    assert os.readlink(target / "link") == "../../outside/file"
    assert (target.parent.parent / "outside" / "file").read_text() == "mine"


def forged(said: Manifest, body: bytes) -> bytes:
    """A backup with that archive and that manifest."""
    text = b"".join(manifest.dumps(said))
    return body + text + Trailer(len(body), len(text), hashlib.sha256(text).digest(), "none").dumps()


def body_of(*items: Item, content: bytes = b"x") -> bytes:
    parts = [tar.global_header({"comment": COMMENT.encode()})]
    for item in items:
        parts.append(headers.header(item))
        if item.kind == "file":
            parts.append(content + bytes(-len(content) % tar.BLOCK))
    return b"".join([*parts, tar.END])


ROOT = Item(".", "directory", 0o755)
GOOD = Item("a", "file", 0o644, size=1, digest=hashlib.sha256(b"x").hexdigest())


def lying(change: Callable[[], tuple[list[Item], list[Item]]]) -> bytes:
    told, there = change()
    return forged(Manifest(told, id=manifest.identify(told)), body_of(*there))


def test_the_forgery_of_these_tests_is_good_otherwise(target: Path) -> None:
    restore(lying(lambda: ([ROOT, GOOD], [ROOT, GOOD])), target)
    assert (target / "a").read_text() == "x"


OTHER = Item("b", "file", 0o644, size=1, digest=GOOD.digest)
LINKED = Item("a", "symlink", 0o777, link="../../outside")


@pytest.mark.parametrize(
    ("told", "there", "match"),
    [
        ([ROOT, GOOD], [ROOT], "'a' is missing"),
        ([ROOT, GOOD], [ROOT, OTHER], "is not what its manifest says"),
        ([ROOT, GOOD], [ROOT, GOOD, OTHER], "is not what its manifest says"),
        ([ROOT], [ROOT, Item("../x", "file", 0o644, size=1)], "is not what its manifest says"),
        ([ROOT, Item("a", size=1, digest="ab" * 32)], [ROOT, Item("a", size=1)], "'a' is not what was backed up"),
        ([ROOT, Item("a", size=2, digest=GOOD.digest)], [ROOT, Item("a", size=1)], "is not what its manifest says"),
        ([ROOT, Item("a", mode=0o4755, size=1, digest=GOOD.digest)], [ROOT, GOOD], "is not what its manifest says"),
        ([ROOT, LINKED, Item("a/file", size=1, digest=GOOD.digest)], [ROOT], "below what is no directory"),
        ([ROOT, Item("../x", size=1, digest=GOOD.digest)], [ROOT], "is no path in it"),
        ([ROOT, Item("a", "hardlink", link="../../outside/file")], [ROOT], "a name of what is no file before it"),
        ([ROOT, Item("a", size=1, digest=GOOD.digest, elsewhere=True)], [ROOT], "contents are elsewhere"),
    ],
)
def test_a_manifest_that_lies_is_refused(told: list[Item], there: list[Item], match: str, target: Path) -> None:
    refused(lying(lambda: (told, there)), target, match)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "..", "a/b", "x\0y"])
def test_a_base_is_only_ever_beside(name: str, target: Path) -> None:
    said = Manifest([ROOT], parent="ab" * 32, parent_name=name, id=manifest.identify([ROOT]))
    refused(forged(said, body_of(ROOT)), target, "says of parent_name what cannot be")


def test_backups_that_are_incremental_to_each_other_end(target: Path, tmp_path: Path) -> None:
    item = Item("a", size=1, digest=GOOD.digest, elsewhere=True)
    whole = manifest.identify([ROOT, item])
    said = Manifest([ROOT, item], parent=whole, parent_name="self", id=whole)
    (tmp_path / "self").write_bytes(forged(said, body_of(ROOT)))
    with archive.open(tmp_path / "self") as backup, pytest.raises(InvalidArgument, match="incremental to each other"):
        unpack(backup, target)
    assert not listing(target)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_bomb_of_another_is_refused(compression: str, target: Path) -> None:
    head = tarfile.TarInfo("bomb")
    head.size = 8 << 30
    piece = b"not zeros" * 100_000
    count = head.size // len(piece) // 4
    if compression == "gzip":
        packer = zlib.compressobj(1, wbits=31)
        data = packer.compress(head.tobuf()) + packer.compress(piece * 20)
        whole = data + b"".join(packer.compress(piece) for _ in range(1500)) + packer.flush()
    else:
        stream = zstandard.ZstdCompressor(level=1).compressobj()
        whole = stream.compress(head.tobuf())
        whole += b"".join(stream.compress(piece) for _ in range(min(count, 1500))) + stream.flush()
    refused(whole, target, "a decompression bomb|is cut off")


def test_a_backup_of_more_than_there_is_room_for_writes_nothing(target: Path) -> None:
    room = os.statvfs(target)
    size = room.f_bavail * room.f_frsize + (1 << 30)
    refused(lying(lambda: ([ROOT, Item("a", size=size, digest=GOOD.digest)], [ROOT])), target, "unpacks to .* are free")
    with pytest.raises(StorageError):
        restore(lying(lambda: ([ROOT, Item("a", size=size, digest=GOOD.digest)], [ROOT])), target)


def test_a_bomb_of_a_manifest_is_refused(target: Path) -> None:
    body = zstandard.ZstdCompressor().compress(body_of(ROOT))
    text = b" " * (40 << 20)
    packed = zstandard.ZstdCompressor().compress(text)
    end = Trailer(len(body), len(text), hashlib.sha256(text).digest(), "zstd")
    refused(body + packed + end.dumps(), target, "not a line of JSON")


def sparse(stored: bytes, *, size: str, name: str = "a") -> bytes:
    """An archive with a sparse file in GNU's format 1.0."""
    records = {"major": b"1", "minor": b"0", "name": name.encode(), "realsize": size.encode()}
    entry = tar.Entry("GNUSparseFile.0/a", size=len(stored))
    head = tar.header(entry, {f"GNU.sparse.{key}": value for key, value in records.items()})
    return head + stored + bytes(-len(stored) % tar.BLOCK) + tar.END


def test_the_sparse_file_of_these_tests_is_good_otherwise(target: Path) -> None:
    restore(sparse(b"1\n3\n1\n".ljust(512, b"\0") + b"x", size="10"), target)
    assert (target / "a").read_bytes() == b"\0\0\0x".ljust(10, b"\0")


@pytest.mark.parametrize(
    ("said", "size"),
    [
        ("1\n3\n2\n", "10"), ("1\n10\n1\n", "10"), ("2\n3\n1\n0\n0\n", "10"), ("1\n-3\n1\n", "10"), ("1\n3\n1\n", "x"),
        ("99999999\n", "10"), ("1\n3\n", "10"), ("", "10"), ("1\n0\n1\n", str(1 << 62)), ("x\n", "10"), ("0\n", "10"),
        ("9" * 19 + "\n", "10"),
    ],
)  # fmt: skip
def test_a_map_of_regions_that_cannot_be_is_refused(said: str, size: str, target: Path) -> None:
    refused(sparse(said.encode().ljust(512, b"\0") + b"x", size=size), target, "^backup stream: ")


def test_a_sparse_file_does_not_lead_outside(target: Path) -> None:
    refused(sparse(b"0\n".ljust(512, b"\0"), size="10", name="../outside/new"), target, "leads out")


def test_device_numbers_that_cannot_be_are_refused(target: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as made:
        entry = tarfile.TarInfo("device")
        entry.type, entry.devmajor, entry.devminor = tarfile.CHRTYPE, 1 << 13, 0
        made.addfile(entry)
    refused(file.getvalue(), target, "which there cannot be")


@pytest.fixture(scope="module", params=[*COMPRESSIONS, "encrypted"])
def backup(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path, str | None]:
    root = tmp_path_factory.mktemp("backup")
    tree = make_tree(root / "tree")
    (tree / "sparse").unlink()
    (tree / "random").write_bytes(os.urandom(70_000))
    passphrase = "secret" if request.param == "encrypted" else None
    kind = "zstd" if passphrase else request.param
    write(tree, root / "backup", compression=kind, passphrase=passphrase)
    return (root / "backup").read_bytes(), tree, passphrase


def attempt(data: bytes, passphrase: str | None, target: Path) -> bool:
    """Whether it was taken for good; when not, nothing is in the target."""
    try:
        with archive.open(io.BytesIO(data), passphrase=passphrase) as found:
            verify(found)
            unpack(found, target)
    except ContainerkitError:
        assert not listing(target)
        return False
    return True


def test_a_backup_that_is_cut_off_anywhere_is_refused(backup: tuple[bytes, Path, str | None], target: Path) -> None:
    data, _, passphrase = backup
    generator = random.Random(5)
    places = {*range(0, 600, 37), *range(len(data) - 300, len(data), 7), *generator.sample(range(len(data)), 60)}
    for place in sorted(list(places)[:12] if passphrase else places):
        assert not attempt(data[:place], passphrase, target), f"cut off at {place} of {len(data)}"


def test_a_bit_that_flips_anywhere_is_refused_or_harmless(backup: tuple[bytes, Path, str | None], target: Path) -> None:
    data, tree, passphrase = backup
    generator = random.Random(6)
    places = [*range(64), *range(len(data) - 80, len(data)), *generator.choices(range(len(data)), k=120)]
    accepted = 0
    for place in places[::12] if passphrase else places:
        broken = bytearray(data)
        broken[place] ^= 1 << generator.randrange(8)
        if attempt(bytes(broken), passphrase, target):
            accepted += 1
            assert look(target) == look(tree), f"a bit of byte {place} changed what came back"
            for path in sorted(target.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    # In an archive that is not compressed, what fills up blocks means nothing.
    assert accepted < len(places) // (2 if data.startswith(b"PaxHeaders") else 10)


@pytest.mark.parametrize("data", [b"", b"x", b"hello world" * 1000, bytes(5000), b"\x28\xb5\x2f\xfd", b"\x1f\x8b"])
def test_what_is_no_backup_is_refused(data: bytes, target: Path) -> None:
    if data == bytes(5000):
        restore(data, target)  # an archive of nothing
        assert not listing(target)
        return
    refused(data, target, "^backup stream: ")
