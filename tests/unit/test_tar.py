"""The tar format, against the standard library's; and what is no archive."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from containerkit.errors import InvalidArgument, Unsupported
from containerkit.layers import compression, pack, tar
from containerkit.layers.tar import DIRECTORY, FILE, HARDLINK, SYMLINK, Entry, Limits, Reader
from tests.tars import info, pax
from tests.tars import tar as archive


def read(data: bytes, limits: Limits | None = None) -> list[tuple[Entry, bytes]]:
    reader = Reader(io.BytesIO(data), "layer x", limits)
    return [(entry, b"".join(iter(reader.read, b""))) for entry in reader]


def written(*entries: tuple[Entry, bytes]) -> bytes:
    out = b"".join(tar.header(entry) + data + bytes(-len(data) % 512) for entry, data in entries)
    return out + tar.END


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_archives_of_every_format_are_read(form: int) -> None:
    name = "d/" * 40 + "n" * 60
    data = archive(
        (info(name, mode=0o4755, uid=12, gid=34, mtime=1_700_000_000), b"hello"),
        (info("link", tarfile.SYMTYPE, linkname="l" * 90), b""),
        (info("dir", tarfile.DIRTYPE, mode=0o1777), b""),
        form=form,
    )
    (first, content), (link, _), (directory, _) = read(data)
    assert (first.name, first.mode, first.uid, first.gid, first.size) == (name, 0o4755, 12, 34, 5)
    assert (first.mtime, content) == (1_700_000_000 * 10**9, b"hello")
    assert (link.kind, link.link) == (SYMLINK, "l" * 90)
    assert (directory.kind, directory.mode) == (DIRECTORY, 0o1777)


def test_large_numbers_and_old_times_are_read() -> None:
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        ((entry, _),) = read(archive((info("x", uid=2**31, gid=2**32 - 2, mtime=-5), b""), form=form))
        assert (entry.uid, entry.gid, entry.mtime) == (2**31, 2**32 - 2, -5 * 10**9)


names = st.text(st.characters(blacklist_characters="\0/", codec="utf-8"), min_size=1, max_size=150)


@given(
    names, st.binary(max_size=2000), st.integers(0, 0o7777), st.integers(0, 2**32 - 2),
    st.integers(-(10**18), 4 * 10**18), st.dictionaries(names.filter(lambda n: "=" not in n), st.binary(max_size=90)),
)  # fmt: skip
def test_what_is_written_is_read_again(
    name: str, data: bytes, mode: int, uid: int, mtime: int, xattrs: dict[str, bytes]
) -> None:
    entry = Entry(name, FILE, mode, uid, uid, len(data), mtime, xattrs=xattrs)
    packed = written((entry, data), (Entry("h", HARDLINK, link=name), b""))
    (found, content), (link, _) = read(packed)
    assert (found, content) == (entry, data)
    assert link.link == name
    with tarfile.open(fileobj=io.BytesIO(packed)) as file:
        member = file.getmembers()[0]
        assert (member.mode, member.uid, member.size) == (mode, uid, len(data))
        assert member.pax_headers.get("path", member.name).rstrip("/") == name.rstrip("/")


@given(st.binary(max_size=4000))
def test_noise_is_refused_and_nothing_worse(data: bytes) -> None:
    try:
        read(data)
    except (InvalidArgument, Unsupported) as error:
        assert str(error).startswith("layer x: ")


@given(st.integers(0, 3000), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_read(position: int, value: int) -> None:
    data = bytearray(archive((info("näme" * 40, mtime=1.5, linkname="x" * 150), b"content")))
    data[position % len(data)] = value
    try:
        read(bytes(data))
    except (InvalidArgument, Unsupported) as error:
        assert str(error).startswith("layer x: ")


def test_a_pax_record_that_ends_in_the_middle_of_the_next_is_refused() -> None:
    data = bytearray(archive((info("näme" * 40, mtime=1.5, linkname="x" * 150), b"content")))
    assert data[512:513].isdigit()
    data[512] = ord("0")  # its length: 12 bytes, and no number where the next should begin
    with pytest.raises(InvalidArgument, match="damaged pax header"):
        read(bytes(data))


def test_a_cut_off_archive_is_refused() -> None:
    data = archive((info("x"), bytes(5000)))
    with pytest.raises(InvalidArgument, match="cut off"):
        read(data[:3000])


def test_bounds_hold() -> None:
    many = archive(*[(info(f"{n}"), b"") for n in range(11)])
    with pytest.raises(InvalidArgument, match="more than 10 entries"):
        read(many, Limits(entries=10))
    with pytest.raises(InvalidArgument, match="larger than 4000 bytes"):
        read(archive((info("x"), bytes(5000))), Limits(total=4000))
    # A header that announces more than there is room for is refused before it is read.
    with pytest.raises(InvalidArgument, match="extension header of 8388608 bytes"):
        read(tar.header(Entry("x", b"x", size=8 << 20)))
    with pytest.raises(InvalidArgument, match="larger than"):
        read(tar.header(Entry("x", FILE, size=1 << 50)))


def test_sparse_files_are_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="entry 'holes': a sparse file"):
        read(tar.header(Entry("holes", b"S")) + tar.END)


@pytest.mark.parametrize("kind", ["gzip", "zstd", "xz", "bzip2", "none"])
def test_every_compression_is_recognised_and_read(kind: str) -> None:
    plain = archive((info("x"), b"hello" * 1000))
    compress: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress, "xz": lzma.compress, "bzip2": bz2.compress, "none": bytes,
        "zstd": zstandard.ZstdCompressor().compress,
    }  # fmt: skip
    data = compress[kind](plain)
    assert compression.detect(data[:8]) == kind
    out = io.BytesIO()
    packed = pack.repack(io.BytesIO(data), out, "import")
    kept = kind in ("gzip", "zstd")
    assert (out.getvalue() == data) is kept and packed.compression == (kind if kept else "zstd")
    with compression.reader(io.BytesIO(out.getvalue()), packed.compression, "x") as stream:
        assert read(b"".join(iter(lambda: stream.read(1000), b"")))[0][1] == b"hello" * 1000


@pytest.mark.parametrize("kind", ["gzip", "zstd", "xz"])
def test_a_damaged_stream_says_so(kind: str) -> None:
    plain = archive((info("x"), bytes(range(256)) * 1000))
    compress: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "xz": lzma.compress,
        "zstd": zstandard.ZstdCompressor().compress,
    }
    data = compress[kind](plain)
    with pytest.raises(InvalidArgument, match="^import x: "):
        pack.repack(io.BytesIO(data[: len(data) // 2]), io.BytesIO(), "import x")


def test_several_frames_are_one_stream() -> None:
    plain = archive((info("x"), b"hello"))
    for compress in (gzip.compress, zstandard.ZstdCompressor().compress):
        data = compress(plain[:700]) + compress(plain[700:])
        assert pack.repack(io.BytesIO(data), io.BytesIO(), "import").diff_id == pack.repack(
            io.BytesIO(plain), io.BytesIO(), "import"
        ).diff_id  # fmt: skip


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_an_archive_is_known_by_its_first_block(form: int) -> None:
    data = archive((info("x"), b"hello"), form=form)
    assert tar.begins_archive(data) and tar.begins_archive(data[:512])
    assert tar.begins_archive(tar.END) and tar.begins_archive(tar.header(Entry("x")))
    changed = bytearray(data)
    changed[0] ^= 1
    for other in (b"", data[:511], b"{" + bytes(600), b'{"architecture":"amd64"}' * 30, bytes(changed)):
        assert not tar.begins_archive(other)


def test_what_is_said_of_all_entries_is_little() -> None:
    assert len(read(pax((b"comment", b"x" * 8000), kind=b"g") + archive(x=b""))) == 1
    with pytest.raises(InvalidArgument, match="global headers of more than 8192 bytes"):
        read(pax((b"comment", b"x" * 9000), kind=b"g") + archive(x=b""))
