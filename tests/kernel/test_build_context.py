"""A context is a directory, an archive, a stream, names and contents, or nothing: the files in it are the same."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import resource
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from containerkit.builder.context import Source, open_context
from containerkit.builder.tree import Digests, File, Tree, walk
from containerkit.errors import InvalidArgument, InvalidState, NotFound, PermissionDenied
from tests import trees
from tests.tars import info, tar


def everything(tree: Tree) -> dict[str, tuple[object, ...]]:
    """By name: what a copy of it depends on."""
    with tree.opened():
        root = tree.get("")
        assert root is not None
        return {
            file.path: (file.kind, file.mode, file.size, file.link, file.mtime, file.major, file.minor, of(tree, file))
            for file in walk(tree, root)
        }


def of(tree: Tree, file: File) -> str:
    if file.kind != b"0":
        return ""
    with tree.content(file) as content:
        data = b""
        while more := content.read(1000):
            data += more
    assert len(data) == file.size
    return tree.digest(file)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_an_archive_has_what_its_directory_has(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    source = trees.build(tmp_path / "source")
    made = subprocess.run(["tar", "--format=posix", "-c", "-C", source, "."], stdout=subprocess.PIPE, check=True).stdout
    (tmp_path / "archive").write_bytes(pack(made))
    expected = everything(open_context(source, tmp_path))
    for context in (tmp_path / "archive", pack(made), io.BytesIO(pack(made)), str(tmp_path / "archive")):
        assert everything(open_context(context, tmp_path)) == expected
    assert "etc/deep/er/ünïcode ☃ with spaces\n" in expected
    assert os.fsdecode(b"not-utf8-\xff\xfe") in expected


def test_names_and_contents(tmp_path: Path) -> None:
    context = open_context({"a/b.txt": "täxt", "c": b"\xff", "empty/": ""}, tmp_path)
    found = everything(context)
    assert set(found) == {"", "a", "a/b.txt", "c", "empty"}
    assert (found["a/b.txt"][1:3], found["a"][1], found["c"][2]) == ((0o644, 5), 0o755, 1)
    assert set(everything(open_context(None, tmp_path))) == {""}
    with pytest.raises(InvalidArgument, match="leads out"):
        open_context({"../x": ""}, tmp_path)
    with pytest.raises(InvalidArgument, match="what is above it is no directory"):
        open_context({"x": "", "x/y": ""}, tmp_path)


def test_what_is_no_context(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x" * 600)
    os.mkfifo(tmp_path / "fifo")
    cases: list[tuple[type[Exception], Source]] = [
        (NotFound, tmp_path / "absent"), (InvalidArgument, tmp_path / "file"), (InvalidArgument, tmp_path / "fifo"),
        (InvalidArgument, b""), (InvalidArgument, gzip.compress(b"x" * 600)), (InvalidArgument, io.BytesIO(b"x" * 99)),
        (InvalidArgument, tar(info("../x"))),
        (InvalidArgument, tar(info("x", tarfile.LNKTYPE, linkname="/etc/passwd"))),
        (InvalidArgument, tar((info("x"), b"x" * 2000))[:1500]),
    ]  # fmt: skip
    for kind, source in cases:
        with pytest.raises(kind):
            open_context(source, tmp_path)


def test_links_of_an_archive_lead_nowhere_else(tmp_path: Path) -> None:
    members = (
        info("out", tarfile.SYMTYPE, linkname=str(tmp_path)),
        (info("out/x"), b"x"),
        info("up", tarfile.SYMTYPE, linkname="../.."),
    )
    context = open_context(tar(*members), tmp_path)
    inside = str(tmp_path).lstrip("/")
    assert f"{inside}/x" in everything(context)
    assert not (tmp_path / "x").exists()
    assert context.follow("up/out/x") == f"{inside}/x"


def test_of_several_entries_the_last_one_counts(tmp_path: Path) -> None:
    members = (
        (info("a"), b"first"),
        (info("d/x"), b"x"),
        (info("a"), b"second"),
        info("d", tarfile.SYMTYPE, linkname="a"),
    )
    context = open_context(tar(*members), tmp_path)
    assert set(everything(context)) == {"", "a", "d"}
    assert context.get("d/x") is None
    file = context.get("a")
    assert file is not None
    with context.content(file) as content:
        assert content.read() == b"second"


def test_a_file_that_becomes_another_while_it_is_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "f").write_bytes(b"x" * 100)
    context = open_context(source, tmp_path)
    with context.opened():
        file = context.get("f")
        assert file is not None
        with (
            pytest.raises(InvalidState, match="file f: changed while the context was read"),
            context.content(file) as content,
        ):
            content.read(10)
            (source / "f").write_bytes(b"y" * 100)
        for kind in ("link", "fifo", "absent"):
            (source / "f").unlink(missing_ok=True)
            if kind == "link":
                (source / "f").symlink_to("/etc/passwd")
            elif kind == "fifo":
                os.mkfifo(source / "f")
            with pytest.raises(InvalidState, match="file f: changed"), context.content(file):
                pass


def test_an_archive_that_becomes_another_while_it_is_read(tmp_path: Path) -> None:
    archive = tmp_path / "archive.tar"
    archive.write_bytes(tar((info("f"), b"one")))
    context = open_context(archive, tmp_path)
    file = context.get("f")
    assert file is not None
    time.sleep(0.02)
    archive.write_bytes(tar((info("f"), b"two")))
    with pytest.raises(InvalidState, match=r"context .*/archive.tar: changed while it was read"):
        context.digest(file)


def test_a_directory_that_becomes_a_link_leads_nowhere(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / "d/passwd").write_text("mine")
    context = open_context(source, tmp_path)
    with context.opened():
        file = context.get("d/passwd")
        assert file is not None
        (source / "d").rename(source / "e")
        (source / "d").symlink_to("/etc")
        with pytest.raises(InvalidState), context.content(file):
            pass


def test_digests_are_remembered_by_the_times_of_a_file(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "f").write_text("one")
    digests: Digests = {}
    everything(open_context(source, tmp_path, digests=digests))
    assert digests == {}  # it may change again within the same tick of the clock
    time.sleep(2.1)
    found = everything(open_context(source, tmp_path, digests=digests))
    ((key, digest),) = digests.items()
    assert (key[0], key[1], digest) == (str(source / "f"), 3, found["f"][-1])
    digests[key] = "known"
    assert everything(open_context(source, tmp_path, digests=digests))["f"][-1] == "known"
    os.utime(source / "f", (5, 5))
    assert everything(open_context(source, tmp_path, digests=digests))["f"][-1] == digest


def test_what_is_left_out_is_not_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "closed/below").mkdir(parents=True)
    (source / "closed/f").write_text("x")
    (source / "closed").rename(source / "gone")
    (source / ".dockerignore").write_text("gone\n")
    context = open_context(source, tmp_path)
    with context.opened():
        root = context.get("")
        assert root is not None
        before = (source / "gone").stat().st_atime_ns
        assert [file.path for file in walk(context, root)] == ["", ".dockerignore"]
        assert (source / "gone").stat().st_atime_ns == before


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "closed").mkdir(parents=True)
    (source / "secret").write_text("x")
    for name, mode in (("secret", 0o600), ("closed", 0o700)):
        (source / name).chmod(mode)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == 0 and path.name.startswith("pytest"):
            path.chmod(0o755)
    context = open_context(source, tmp_path)
    with context.opened():
        file = context.get("secret")
        assert file is not None
        os.seteuid(65534)
        try:
            with pytest.raises(PermissionDenied, match="file secret of the context: permission denied"):
                context.digest(file)
            with pytest.raises(PermissionDenied, match="file closed of the context: permission denied"):
                context.list("closed")
        finally:
            os.seteuid(0)


def test_a_large_file_takes_no_memory(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with open(source / "big", "wb") as file:
        file.truncate(1 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    context = open_context(source, tmp_path)
    with context.opened():
        found = context.get("big")
        assert found is not None and len(context.digest(found)) == 64
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_zeros_of_an_archive_take_no_room(tmp_path: Path) -> None:
    context = open_context(gzip.compress(tar((info("zeros"), bytes(32 << 20)), (info("x"), b"x"))), tmp_path)
    (spool,) = tmp_path.glob("context-*")
    assert (spool.stat().st_size, spool.stat().st_blocks < 1000) == ((32 << 20) + 1, True)
    file = context.get("zeros")
    assert file is not None and context.digest(file) == hashlib.sha256(bytes(32 << 20)).hexdigest()
