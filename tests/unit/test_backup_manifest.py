"""A backup's manifest says everything exactly, and a damaged or lying one is refused."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from containerkit.backup import acl, manifest, packs
from containerkit.backup import archive as backups
from containerkit.backup.directory import MARKER, Directory
from containerkit.backup.items import Item
from containerkit.backup.manifest import Manifest, dumps, identify, loads
from containerkit.errors import InvalidArgument, Unsupported
from containerkit.layers import tar
from tests.tars import tar as archive

DIGEST = "ab" * 32


def whole(*items: Item) -> Manifest:
    found = [Item(".", "directory", 0o755), *sorted(items, key=lambda item: manifest.order_of(item.path))]
    return Manifest(found, volume="data", id=identify(found))


def test_what_is_written_is_read_again() -> None:
    said = whole(
        Item("a", "directory", 0o2755, 1, 2, mtime_ns=-5),
        Item("a/f\udcff\x01\n\"ü", "file", 0o4755, 3, 4, 10, 5, 6, 7, 8, xattrs={"user.x": b"\0\xff"}, digest=DIGEST,
             extents=((2, 3), (6, 4)), blocks=(DIGEST, DIGEST), torn=True),
        Item("b", "symlink", link="../outside"),
        Item("c", "char", major=1, minor=3),
        Item("d", "hardlink", link="c"),
    )  # fmt: skip
    said.labels, said.parent, said.parent_name = {"a": "b"}, DIGEST, "earlier"
    said.consistency, said.frozen_seconds = "pause", 0.25
    assert loads(dumps(said), "backup x") == said


names = st.binary(min_size=1, max_size=12).map(lambda raw: os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"0")))
numbers = st.integers(0, 2**31)


@st.composite
def files(draw: st.DrawFn) -> Item:
    name = draw(names.filter(lambda text: text not in (".", "..")))
    xattrs = draw(st.dictionaries(names, st.binary(max_size=20), max_size=2))
    size = draw(st.integers(0, 1 << 40))
    times = st.integers(-(2**62), 2**62)
    return Item(
        name, "file", draw(st.integers(0, 0o7777)), draw(numbers), draw(numbers), size, draw(times), draw(times),
        draw(numbers), draw(numbers), xattrs=xattrs, digest=draw(st.binary(min_size=32, max_size=32)).hex(),
        extents=draw(st.sampled_from([None, (), ((0, size),) if size else ()])), elsewhere=draw(st.booleans()),
    )  # fmt: skip


@given(st.lists(files(), max_size=5, unique_by=lambda item: item.path), st.text(max_size=5).filter(str.isprintable))
@settings(max_examples=150, deadline=None)
def test_every_manifest_is_read_as_it_was_written(items: list[Item], volume: str) -> None:
    said = whole(*items)
    said.volume = volume
    assert loads(dumps(said), "backup x") == said


@given(st.integers(0, 10_000), st.integers(0, 7))
@settings(max_examples=300, deadline=None)
def test_a_bit_that_flips_is_noticed_or_changes_nothing_that_counts(place: int, bit: int) -> None:
    said = whole(Item("a", digest=DIGEST, size=3, mtime_ns=time.time_ns()), Item("b", "symlink", link="a"))
    data = bytearray(b"".join(dumps(said)))
    data[place % len(data)] ^= 1 << bit
    try:
        found = loads(bytes(data).splitlines(), "backup x")
    except (InvalidArgument, Unsupported):
        return
    assert identify(found.items) == said.id


def lines(**changes: Any) -> list[bytes]:
    """A manifest of one file, with other values in its line."""
    item: dict[str, Any] = {"path": "a", "kind": "file", "size": 3, "digest": DIGEST} | changes
    item = {name: value for name, value in item.items() if value is not None}
    head, root, _ = dumps(whole(Item("x", digest=DIGEST)))
    return [head, root, json.dumps(item).encode()]


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "../a"}, {"path": "/a"}, {"path": "a/../b"}, {"path": "a//b"}, {"path": "./a"}, {"path": ""},
        {"path": "a\0b"}, {"path": "\ud800"}, {"path": 5}, {"path": "x" * 256}, {"path": "a/" * 300 + "b"},
        {"path": "nowhere/a"}, {"path": "."}, {"kind": "door"}, {"kind": ["file"]}, {"size": -1}, {"size": 1 << 60},
        {"size": 1.5}, {"size": True}, {"mode": 0o10000}, {"uid": 2**32 - 1}, {"digest": "ab"}, {"digest": None},
        {"digest": DIGEST.upper()}, {"xattrs": {"user.a": "?"}}, {"xattrs": {"user.a": "\ud800"}}, {"xattrs": {"": ""}},
        {"xattrs": []},
        {"extents": [[0, 4]]}, {"extents": [[2, 1], [0, 1]]}, {"extents": [[0, 0]]}, {"extents": "all"},
        {"kind": "symlink"}, {"kind": "hardlink", "link": "b", "digest": None, "size": 0}, {"link": "b"},
        {"kind": "directory"}, {"kind": "fifo", "size": 0, "digest": None, "major": 1}, {"unknown": 1},
        {"elsewhere": False}, {"blocks": ["x"]},
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="^backup x: its manifest (says|has)"):
        loads(lines(**changes), "backup x")


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"5", b"[" * 100_000, b'{"a":' * 5000, b"\xff"])
def test_what_is_no_line_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidArgument, match="^backup x: "):
        loads([line], "backup x")
    with pytest.raises(InvalidArgument, match="^backup x: "):
        loads([*lines()[:2], line], "backup x")


def test_items_that_are_missing_too_many_or_others_are_refused() -> None:
    good = list(dumps(whole(Item("a", digest=DIGEST), Item("b", digest=DIGEST))))
    with pytest.raises(InvalidArgument, match="has 2 of 3 items"):
        loads(good[:-1], "backup x")
    with pytest.raises(InvalidArgument, match="more than the 3 items"):
        loads([*good, good[-1]], "backup x")
    with pytest.raises(InvalidArgument, match="'a' twice, or not in order"):
        loads([*good[:-1], good[-2]], "backup x")
    with pytest.raises(InvalidArgument, match="not in order"):
        loads([*good[:2], good[-1], good[-2]], "backup x")
    with pytest.raises(InvalidArgument, match="do not have its digest"):
        loads([*good[:-1], good[-1].replace(b'"b"', b'"c"')], "backup x")


def test_a_file_of_a_terabyte_has_many_blocks() -> None:
    one = Item("f", "file", size=1 << 40, digest="ab" * 32, blocks=("cd" * 32,) * (1 << 20))
    with pytest.raises(InvalidArgument, match="not a line of JSON"):
        loads(dumps(whole(one)), "backup x")
    assert loads(dumps(whole(one)), "backup x", longest=1 << 30).items[-1] == one


def test_a_later_format_says_so() -> None:
    head, *rest = dumps(whole())
    with pytest.raises(Unsupported, match="written in format 3; this version reads 2"):
        loads([head.replace(b'backup":2', b'backup":3'), *rest], "backup x")


def test_a_manifest_of_100000_files_takes_seconds() -> None:
    said = whole(*(Item(f"file{number:06}", "file", size=number, digest=f"{number:064x}") for number in range(100_000)))
    begin = time.process_time()
    assert loads(dumps(said), "backup x").id == said.id
    assert time.process_time() - begin < 30
    assert manifest.MAX_ITEMS > 100_000


@pytest.mark.parametrize(
    "text",
    ["user::rw-,group::r--,other::---", "user::rwx,user:1000:r-x,group::---,group:5:rwx,mask::rwx,other::r-x"],
)
def test_access_control_lists_are_the_same_as_text(text: str) -> None:
    value = acl.from_text(text)
    assert value is not None and acl.to_text(value) == text
    assert acl.from_text(text.replace(",", "\n") + "\n") == value


@given(st.binary(max_size=60), st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_what_is_no_access_control_list_is_none(value: bytes, said: str) -> None:
    acl.to_text(value)
    assert acl.from_text("user:alice:rwx") is None
    acl.from_text(said)


def test_another_s_archive_becomes_a_manifest_that_can_be_written(tmp_path: Path) -> None:
    linked = tarfile.TarInfo("d")
    linked.type, linked.linkname = tarfile.DIRTYPE, "nowhere"
    for data in (tar.END, archive(linked)):
        with backups.open(io.BytesIO(data)) as found:
            assert found.manifest.items[0].path == "."
            assert loads(dumps(found.manifest), "backup x") == found.manifest


@pytest.mark.parametrize(
    "marker",
    [b"[" * 9999, b"[]", b'{"format": 2, "salt": 5}', b'{"format": 2, "salt": "x"}', b'{"format": 2, "salt": "00"}',
     b"\xff", b'{"format": 2, "salt": "00", "proof": []}'],
)  # fmt: skip
def test_a_directory_with_a_damaged_marker_says_so(tmp_path: Path, marker: bytes) -> None:
    for name in ("packs", "snapshots"):
        (tmp_path / name).mkdir()
    (tmp_path / MARKER).write_bytes(marker)
    with pytest.raises(InvalidArgument, match="backups .*: damaged|of another format"):
        Directory(tmp_path, passphrase="p")


def test_files_that_are_no_backups_are_passed_over(tmp_path: Path) -> None:
    with Directory(tmp_path, create=True) as directory:
        (tmp_path / "snapshots" / "v").mkdir()
        for name in ("x.json.zst", "99999999T000000.000000-x.json.zst", "20300131T120000.5x0000-x.json.zst"):
            (tmp_path / "snapshots" / "v" / name).touch()
        assert directory.list() == [] and directory.last("v") is None


def test_a_block_that_says_to_be_large_takes_no_memory() -> None:
    assert packs.unpacked(packs.packed(b"x" * 5000)) == b"x" * 5000
    with pytest.raises(ValueError, match="larger than a block"):
        packs.unpacked(b"\x28\xb5\x2f\xfd\xe0" + (1 << 40).to_bytes(8, "little") + b"\x01\0\0")
