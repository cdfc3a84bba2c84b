"""Layers and archives of images."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path

import zstandard
from hypothesis import strategies as st

from containerkit.archives.load import load
from containerkit.layers import apply, compression, pack, tar
from containerkit.layers.lookup import read_text
from containerkit.layers.tar import Entry
from containerkit.progress import Progress
from containerkit.store.paths import Paths
from containerkit.store.store import Store
from tests import archives
from tests.fuzz.case import parser
from tests.fuzz.edits import spoiled
from tests.tars import block, info, number, pax
from tests.tars import tar as archive

#: Names, and targets of links, that would like to be elsewhere: beside the root. A case's directory is around it.
_NAMES = (
    "a", "a/b", "./c", "../outside", "a/../../outside", "link/x", "link/outside", "link/../../outside", "link", ".wh.a",
    ".wh..wh..opq", "a/.wh.b", ".wh...", ".wh.", "", ".", "..", "x" * 300, "d/" * 300, "a\n", "ü", "a//b/", "/",
    "/proc/self/cwd/outside", "link/.wh.outside", "link/.wh..wh..opq",
)  # fmt: skip
_TARGETS = ("..", "../outside", "/proc/self/cwd", "/proc/self/cwd/outside", "link/outside", "a", "link", "nowhere")
_KINDS = (
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.FIFOTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
)


def _members(names: Sequence[str]) -> st.SearchStrategy[tuple[tarfile.TarInfo, bytes]]:
    return st.builds(
        lambda name, kind, link, mode, size: (
            info(name, kind, linkname=link, mode=mode, devmajor=1, devminor=3),
            b"x" * size if kind == tarfile.REGTYPE else b"",
        ),
        st.sampled_from(names), st.sampled_from(_KINDS), st.sampled_from(_TARGETS), st.integers(0, 0o7777),
        st.sampled_from([0, 1, 600]),
    )  # fmt: skip


def _archive(members: list[tuple[tarfile.TarInfo, bytes]], form: int) -> bytes:
    return archive(*members, form=form)


_FORMS = st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
_BLOCKS = (
    block(data=b"hello"),
    block(b"5", b"d"),
    block(b"2", b"link", link=b".."),
    block(b"1", b"h", link=b"x"),
    block(b"3", b"n"),
    block(size=number(-5)),
    block(uid=number(2**40, 8)),
    block(mtime=number(2**70)),
    block(b"L", b"x", b"n" * 200),
    block(b"K", b"x", b"l"),
    block(b"S", b"s"),
    block(b"V", b"v"),
    block(b"7", b"f"),
    block(b"0", b"d/"),
    block(b"Z", b"z"),
    block(size=b"7" * 11),
    pax((b"path", b"../p")),
    pax((b"size", b"9" * 30)),
    pax((b"mtime", b"-5.5")),
    pax((b"SCHILY.xattr.user.a", b"b")),
    pax((b"SCHILY.xattr.trusted.overlay.redirect", b"/x")),
    pax((b"SCHILY.xattr.security.capability", b"x")),
    pax((b"uid", b"5"), kind=b"g"),
    pax((b"path", b"\xff\0")),
    pax((b"linkpath", b"a")),
    pax((b"GNU.sparse.major", b"1")),
    pax((b"mtime", b"1e5")),
    tar.END,
    bytes(512),
)
#: A way out, and somebody who takes it.
WAYS = st.builds(
    lambda target, members, form: _archive([(info("link", tarfile.SYMTYPE, linkname=target), b""), *members], form),
    st.sampled_from(_TARGETS),
    st.lists(_members([name for name in _NAMES if name.startswith("link")]), min_size=1, max_size=2),
    _FORMS,
)
ARCHIVES = st.one_of(
    st.builds(_archive, st.lists(_members(_NAMES), max_size=6), _FORMS),
    st.builds(b"".join, st.lists(st.sampled_from(_BLOCKS), max_size=6)),
)


@parser("tar", spoiled(ARCHIVES), subject="layer x", examples=150)
def _tar(data: bytes) -> None:
    reader = tar.Reader(io.BytesIO(data), "layer x")
    for entry in reader:
        content = b"".join(iter(reader.read, b""))
        again = tar.header(entry) + content + bytes(-len(content) % tar.BLOCK) + tar.END
        second = tar.Reader(io.BytesIO(again), "layer x")
        (found,) = [(one, b"".join(iter(second.read, b""))) for one in second]
        if entry.kind == tar.DIRECTORY:
            entry.name = entry.name.rstrip("/")
            found[0].name = found[0].name.rstrip("/")
        assert found == (entry, content)


@contextmanager
def walled() -> Iterator[Path]:
    """A directory to work in; an error when something beside it is another thing after that."""
    with tempfile.TemporaryDirectory() as around, chdir(around):
        root = Path(around, "root")
        root.mkdir()
        Path(around, "outside").write_text("as it was")
        before = _seen(around)
        try:
            yield root
        finally:
            assert _seen(around) == before, "a file outside of the root was changed"


def _seen(around: str) -> dict[str, tuple[int, ...]]:
    """What is there. The root itself may change."""
    found = {}
    for name in os.listdir(around):
        of = os.lstat(f"{around}/{name}")
        own = () if name == "root" else (of.st_mode, of.st_size, of.st_mtime_ns, of.st_nlink, of.st_uid, of.st_gid)
        found[name] = (of.st_ino, *own)
    return found


@parser("layer", st.one_of(WAYS, spoiled(ARCHIVES, WAYS)), errors=(OSError,), examples=200)
def _layer(data: bytes) -> None:
    with walled() as root:
        try:
            apply.apply(tar.Reader(io.BytesIO(data), "layer x"), root, "layer x")
        finally:
            for path in ("link", "link/outside", "a/b", "../outside", "proc/self/cwd/outside"):
                assert read_text([root], path) != "as it was", "a file outside of the root was read"


def _packed(data: bytes) -> list[bytes]:
    return [
        data,
        gzip.compress(data, mtime=0),
        zstandard.compress(data),
        lzma.compress(data),
        bz2.compress(data),
        gzip.compress(data, mtime=0) * 2,
        zstandard.compress(data) + b"\x50\x2a\x4d\x18\4\0\0\0abcd" + zstandard.compress(data),
    ]


_PLAIN = (b"", b"hello" * 50, bytes(5000), bytes(range(256)) * 8)
_STREAMS = st.sampled_from([one for data in _PLAIN for one in _packed(data)])


@parser("compressed", spoiled(_STREAMS), subject="layer x", examples=150)
def _compressed(data: bytes) -> None:
    kind = compression.detect(data)
    with compression.reader(io.BytesIO(data), kind, "layer x") as stream:
        while stream.read(compression.CHUNK):
            pass


@parser("compressing", st.tuples(spoiled(*_PLAIN), st.sampled_from(["gzip", "zstd", "none"])), subject="layer x")
def _compressing(case: tuple[bytes, str]) -> None:
    data, kind = case
    sink = io.BytesIO()
    with compression.writer(sink, kind) as out:
        out.write(data)
    with compression.reader(io.BytesIO(sink.getvalue()), kind, "layer x") as stream:
        assert b"".join(iter(lambda: stream.read(1000), b"")) == data


@parser(
    "repacking", spoiled(st.builds(lambda data: gzip.compress(data, mtime=0), ARCHIVES), ARCHIVES), subject="import x"
)
def _repacking(data: bytes) -> None:
    pack.repack(io.BytesIO(data), io.BytesIO(), "import x")


_LAYER = archive(a=b"hello")
_DOCKER = archives.tar(archives.docker(_LAYER, tags=["a:1", "b:2"]))
_MADE, _FILES = archives.image(_LAYER, blobs={_LAYER: (gzip.compress(_LAYER, mtime=0), "+gzip")})
_LAYOUT = archives.tar(
    archives.layout(
        [archives.described(_MADE, archives.MANIFEST, annotations={"org.opencontainers.image.ref.name": "a:1"})], _FILES
    )
)
_INDEX = archives.index(archives.described(_MADE, archives.MANIFEST))
_NESTED = archives.tar(archives.layout([archives.described(_INDEX, archives.INDEX)], _FILES, archives.blob(_INDEX)))


@parser(
    "archive",
    spoiled(_DOCKER, _LAYOUT, _NESTED, gzip.compress(_DOCKER, mtime=0)),
    subject="archive",
    examples=40,
    seconds=20.0,
)
def _image_archive(data: bytes) -> None:
    with walled() as root:
        store = Store(Paths(root, root))
        try:
            load(store, data, Progress())
        finally:
            store.close()


_ENTRIES = st.builds(
    lambda name, kind, link, numbers, xattrs: Entry(
        name,
        kind,
        numbers[0] & 0o7777,
        numbers[1],
        numbers[2],
        0,
        numbers[3] * numbers[4],
        link if kind in (b"1", b"2") else "",
        xattrs=xattrs,
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=200),
    st.sampled_from([b"0", b"1", b"2", b"5", b"6"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=150),
    st.tuples(*[st.integers(0, 2**32 - 2)] * 5),
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0="), min_size=1, max_size=60),
        st.binary(max_size=60),
        max_size=2,
    ),
)


@parser(
    "tar writing",
    _ENTRIES.map(
        lambda entry: (
            entry.name,
            entry.kind,
            entry.mode,
            entry.uid,
            entry.gid,
            0,
            entry.mtime,
            entry.link,
            0,
            0,
            entry.xattrs,
        )
    ),
)
def _writing(case: tuple[object, ...]) -> None:
    entry = Entry(*case)  # type: ignore[arg-type]  # as the strategy has put them
    (found,) = tar.Reader(io.BytesIO(tar.header(entry) + tar.END), "layer x")
    found.name = found.name.removesuffix("/") if entry.kind == tar.DIRECTORY else found.name
    assert found == entry
