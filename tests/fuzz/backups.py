"""Backups: what a file says of itself, and what others wrote into an archive."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import io
import json
import tempfile
from contextlib import suppress
from pathlib import Path

import zstandard
from hypothesis import strategies as st

from containerkit.backup import acl, age, manifest, packs, snapshots, trailer
from containerkit.backup import archive as backups
from containerkit.backup.chain import verify
from containerkit.backup.directory import MARKER, Directory
from containerkit.backup.headers import header
from containerkit.backup.items import Item
from containerkit.backup.manifest import Manifest
from containerkit.backup.retention import Retention
from containerkit.backup.trailer import Trailer
from containerkit.backup.unpack import plan, unpack
from containerkit.errors import ContainerkitError
from containerkit.layers import tar
from tests.fuzz.case import parser
from tests.fuzz.edits import documents, spoiled
from tests.fuzz.layers import ARCHIVES, WAYS, walled
from tests.tars import block, pax

_CONTENT = b"hello" * 100
_DIGEST, _EMPTY = (hashlib.sha256(data).hexdigest() for data in (_CONTENT, b""))


def _whole() -> Manifest:
    items = [
        Item(".", "directory", 0o755),
        Item("a", "file", 0o644, 1, 2, len(_CONTENT), 5, 6, 7, xattrs={"user.x": b"\xff"}, digest=_DIGEST),
        Item("b", "directory", 0o755),
        Item("b/c", "symlink", link="../x"),
        Item("b/d", "hardlink", link="a"),
        Item("e", "char", major=1, minor=3),
        Item("f\udcff", "file", size=10**6 + 500, digest="ab" * 32, extents=((0, 500),), blocks=("ab" * 32, "cd" * 32)),
    ]
    return Manifest(items, volume="data", labels={"a": "b"}, created=1.5, id=manifest.identify(items))


def _spoiled_lines(lines: list[bytes]) -> st.SearchStrategy[bytes]:
    """A manifest of which one line is another."""
    return st.builds(
        lambda number, line: b"\n".join([*lines[:number], line, *lines[number + 1 :]]),
        st.integers(0, len(lines) - 1),
        st.sampled_from(lines).flatmap(lambda line: documents(json.loads(line))),
    )


_LINES = [line.rstrip() for line in manifest.dumps(_whole())]


@parser(
    "backup manifest", st.one_of(_spoiled_lines(_LINES), spoiled(b"\n".join(_LINES))), subject="backup x", examples=120
)
def _manifest(data: bytes) -> None:
    found = manifest.loads(data.split(b"\n"), "backup x")
    assert manifest.loads(manifest.dumps(found), "backup x") == found
    plan(found.items, None, "backup x")


def _packed(data: bytes, compression: str) -> bytes:
    if compression == "none":
        return data
    return gzip.compress(data, mtime=0) if compression == "gzip" else zstandard.compress(data)


def _end(content: bytes, said: bytes, compression: str) -> bytes:
    first, second = _packed(content, compression), _packed(said, compression)
    end = Trailer(len(first), len(said), hashlib.sha256(said).digest(), compression)
    return first + second + end.dumps()


def _backup(said: bytes, compression: str) -> bytes:
    """A backup's file with a manifest that says this, whose digest is right."""
    members = b"".join(
        header(item) + (_CONTENT + bytes(-len(_CONTENT) % 512) if item.path == "a" else b"") for item in _KEPT
    )
    return _end(members + tar.END, said, compression)


_KINDS = st.sampled_from(["none", "gzip", "zstd"])
_KEPT = _whole().items[:-1]
_SOUND = b"".join(manifest.dumps(Manifest(_KEPT, volume="v", created=1.5, id=manifest.identify(_KEPT))))


@parser(
    "backup",
    st.one_of(
        spoiled(*[_backup(_SOUND, kind) for kind in ("none", "gzip", "zstd")]),
        st.builds(_backup, spoiled(_SOUND), _KINDS),
    ),
    subject="backup stream",
    examples=100,
)
def _archive(data: bytes) -> None:
    with backups.open(io.BytesIO(data)) as found:
        verify(found)


_SPARSE = (
    pax(
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", b"s"),
        (b"GNU.sparse.realsize", b"1000"),
    )
    + block(name=b"GNUSparseFile.0/s", data=b"2\n0\n5\n10\n5\n".ljust(512, b"\0") + b"helloworld"),
    pax((b"GNU.sparse.map", b"0,5,10,5"), (b"GNU.sparse.size", b"20")) + block(name=b"s", data=b"helloworld"),
    pax((b"SCHILY.acl.access", b"user::rw-,user:1000:r--,group::r--,mask::r--,other::---")) + block(name=b"s"),
    pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"1000"))
    + block(data=b"999999\n" + b"0\n" * 20000),
)


@parser(
    "foreign backup",
    st.one_of(spoiled(ARCHIVES), spoiled(*_SPARSE)),
    subject="backup stream",
    examples=150,
)
def _foreign(data: bytes) -> None:
    with backups.open(io.BytesIO(data)) as found:
        verify(found)
        assert manifest.loads(manifest.dumps(found.manifest), "backup x") == found.manifest


_ELSEWHERE = st.builds(
    lambda target, name: _backup(_manifest_of(target, name), "none"),
    st.sampled_from(["..", "/proc/self/cwd", "../outside"]), st.sampled_from(["l/x", "l/outside", "../outside", "l"]),
)  # fmt: skip


def _manifest_of(target: str, name: str) -> bytes:
    """A tree in which something is below a link."""
    items = [Item(".", "directory", 0o755), Item("l", "symlink", link=target), Item(name, "file", digest=_EMPTY)]
    return b"".join(manifest.dumps(Manifest(items, volume="v", created=1.5, id=manifest.identify(items))))


@parser(
    "restore",
    st.one_of(_ELSEWHERE, WAYS, spoiled(ARCHIVES, _backup(_SOUND, "none"))),
    subject="backup stream", errors=(OSError,), examples=100,
)  # fmt: skip
def _restore(data: bytes) -> None:
    with walled() as root, backups.open(io.BytesIO(data)) as found:
        unpack(found, root)


@parser("trailer", spoiled(*[Trailer(5, 6, b"d" * 32, kind).dumps() for kind in ("none", "gzip", "zstd")]))
def _trailer(data: bytes) -> None:
    found = trailer.find(data, len(data) + 100)
    assert found is None or data.endswith(found.dumps())


def _wrapped(work: int) -> bytes:
    """An age file for the passphrase ``p`` that takes little work."""
    key, salt, nonce = b"k" * 16, b"s" * 16, b"n" * 16
    wrapped = age._cipher(age._wrapping_key("p", salt, work)).encrypt(bytes(12), key, None)
    head = b"%b%b%b %d\n%b\n---" % (age.MAGIC, age._STANZA, age._encode(salt), work, age._encode(wrapped))
    mac = hmac.digest(age._derive(key, b"", b"header"), head, "sha256")
    body = age._cipher(age._derive(key, nonce, b"payload")).encrypt(age._nonce(0, is_last=True), b"hello", None)
    return bytes(head + b" " + age._encode(mac) + b"\n" + nonce + body)


@parser("age", st.deferred(lambda: spoiled(_wrapped(1))), subject="backup x", seconds=20.0, memory=3 << 30, examples=40)
def _age(data: bytes) -> None:
    assert age.Opened(io.BytesIO(data), "p", "backup x").read() == b"hello"


@parser("sealing", spoiled(b"", b"hello", b"x" * 65536, b"x" * 65537), examples=3, seconds=10.0)
def _sealing(data: bytes) -> None:
    sink = io.BytesIO()
    sealing = age.Sealing(sink, "p")
    sealing.write(data)
    sealing.end()
    assert age.Opened(sink, "p", "backup x").read() == data


_ACL = acl.from_text("user::rw-,user:1000:r--,group::r--,mask::r--,other::---") or b""


@parser("acl", spoiled(_ACL))
def _acl(data: bytes) -> None:
    text = acl.to_text(data)
    if text:
        again = acl.from_text(text)
        assert again is not None and acl.to_text(again) is not None
    acl.from_text(data.decode("utf-8", "replace"))


@parser("acl text", spoiled(b"user::rw-,user:1000:r--,group::r--,mask::r--,other::---", b"default:user::r\nu:5:x # c"))
def _acl_text(data: bytes) -> None:
    value = acl.from_text(data.decode("utf-8", "replace"))
    assert value is None or acl.to_text(value) is not None


_ITEMS = b"".join(manifest.dump_items(_whole().items))


@parser(
    "snapshot items",
    st.one_of(spoiled(_ITEMS), _spoiled_lines(_LINES[1:]).map(lambda data: data + b"\n")),
    subject="backup x",
)
def _items(data: bytes) -> None:
    snapshots.items(data, "backup x")


#: A directory of backups: its marker, one pack, the file of one backup.
_BLOCKS = [_CONTENT, b"x" * 3000, _ITEMS]
_ROWS = b"".join(
    packs._ROW.pack(
        hashlib.sha256(data).digest(), sum(len(packs.packed(one)) for one in _BLOCKS[:place]), len(packs.packed(data))
    )
    for place, data in enumerate(_BLOCKS)
)
_PACK = (
    b"".join(map(packs.packed, _BLOCKS))
    + _ROWS
    + packs._FOOTER.pack(len(_BLOCKS), hashlib.sha256(_ROWS).digest(), packs._MAGIC)
)
_HEAD = snapshots.dumps(snapshots.summary(_whole(), [(hashlib.sha256(_ITEMS).hexdigest(),)]))
_MARKER = b'{"format": 2}'


def _pack(rows: list[tuple[bytes, int, int]], more: bytes) -> bytes:
    """A pack with any rows, and a digest that is right."""
    said = b"".join(packs._ROW.pack(*row) for row in rows) + more
    return (
        b"x" * 100
        + said
        + packs._FOOTER.pack(len(said) // packs._ROW.size, hashlib.sha256(said).digest(), packs._MAGIC)
    )


def _head(lines: tuple[bytes, bytes]) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(b"\n".join(lines) + b"\n")


_HEAD_LINES = [line.rstrip() for line in zstandard.decompress(_HEAD, 1 << 20).splitlines()]
_NUMBERS = st.integers(0, 200) | st.integers(0, 2**64 - 1)
_PACKS = st.builds(
    _pack,
    st.lists(
        st.tuples(st.binary(min_size=32, max_size=32), _NUMBERS, st.integers(0, 200) | st.integers(0, 2**32 - 1)),
        max_size=3,
    ),
    st.sampled_from([b"", b"x"]),
)
_HEADS = st.builds(_head, st.tuples(*[documents(json.loads(line)) for line in _HEAD_LINES]))


@parser(
    "backup directory",
    st.one_of(
        st.tuples(
            documents(json.loads(_MARKER), {"format": 2, "salt": "00" * 16, "proof": "11" * 40}),
            st.just(_PACK),
            st.just(_HEAD),
        ),
        st.tuples(st.just(_MARKER), spoiled(_PACK, _PACKS), st.just(_HEAD)),
        st.tuples(st.just(_MARKER), st.just(_PACK), spoiled(_HEAD, _HEADS)),
    ),
    examples=120,
)
def _directory(case: tuple[bytes, bytes, bytes]) -> None:
    with tempfile.TemporaryDirectory() as around:
        place = Path(around)
        (place / "packs").mkdir()
        (place / "snapshots" / "v").mkdir(parents=True)
        marker, pack, head = case
        (place / MARKER).write_bytes(marker)
        (place / "packs" / "1.pack").write_bytes(pack)
        for name in ("20300131T120000.000000-abcd.json.zst", "x.json.zst"):
            (place / "snapshots" / "v" / name).write_bytes(head)
        with Directory(place, passphrase="p", alone=True) as found:
            for one in found.list():
                assert one.created
                with suppress(ContainerkitError):
                    verify(found.reading(one))
            found.last("v")
            with suppress(ContainerkitError):
                found.collect()
            found.expired(Retention(last=1))
