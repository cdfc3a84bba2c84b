"""ADD: archives that are unpacked, and what is fetched."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import tarfile

from tests.peers.builds.case import BOTH, BUILDKIT, CLASSIC, NEITHER, THEN, WEB, Builder, Case, Expected, Files
from tests.tars import info, tar

SERVED = b"from the web\n"
SUM = hashlib.sha256(SERVED).hexdigest()


def archive() -> bytes:
    """Modes, owners, times and links, as an archive has them."""
    return tar(
        info("d", tarfile.DIRTYPE, mode=0o750, uid=5, gid=6, mtime=THEN - 5),
        (info("d/file", mode=0o4755, uid=33, gid=50, mtime=THEN - 1000), b"from an archive"),
        info("d/link", tarfile.SYMTYPE, mode=0o777, linkname="file", mtime=THEN),
        info("d/hard", tarfile.LNKTYPE, linkname="d/file", mode=0o4755, uid=33, gid=50, mtime=THEN - 1000),
        (info("deep/without/parents", mtime=THEN), b"x"),
        info("pipe", tarfile.FIFOTYPE, mode=0o640, mtime=THEN),
        form=tarfile.GNU_FORMAT,
    )


PLAIN = archive()
ARCHIVES: Files = {
    "a.tar": PLAIN,
    "a.tar.gz": gzip.compress(PLAIN, mtime=0),
    "a.tgz": gzip.compress(PLAIN, mtime=0),
    "a.tar.bz2": bz2.compress(PLAIN),
    "a.tar.xz": lzma.compress(PLAIN),
    "no-suffix": gzip.compress(PLAIN, mtime=0),
    "text.tar": "this is no archive",
    "only.gz": gzip.compress(b"compressed, and no archive", mtime=0),
    "damaged.tar.gz": gzip.compress(PLAIN, mtime=0)[:150],
    "plain.txt": "p",
    "d/inner.tar": PLAIN,
    "d/file": "f",
}


def _case(
    name: str, lines: str, base: str = "FROM busybox\n", builders: tuple[Builder, ...] = BOTH, **more: object
) -> Case:
    return Case(f"add-{name}", base + lines, ARCHIVES, builders=builders, **more)  # type: ignore[arg-type]


CASES = (
    _case("tar", "ADD a.tar /to/\nADD a.tar /named\n"),
    _case("tar-gz", "ADD a.tar.gz /to\n"),
    _case("tgz", "ADD a.tgz /to\n"),
    _case("tar-bz2", "ADD a.tar.bz2 /to\n"),
    _case("tar-xz", "ADD a.tar.xz /to\n"),
    _case("archive-without-a-suffix", "ADD no-suffix /to/\n"),
    _case("text-named-tar", "ADD text.tar /to/\nADD text.tar /x\n"),
    _case("gzip-of-no-archive", "ADD only.gz /to/\nADD only.gz /x\n"),
    _case("files", "ADD plain.txt /x\nADD plain.txt /to/\nADD plain.txt a.tar d /several/\n"),
    _case("directory-with-an-archive", "ADD d /to\n"),
    _case("wildcard", "ADD *.tar /to/\n"),
    _case("tar-to-scratch", "ADD a.tar /\n", "FROM scratch\n"),
    _case("tar-relative", "WORKDIR /w\nADD a.tar .\nADD a.tar sub\n"),
    _case(
        "tar-chown",
        "ADD --chown=web:staff a.tar /to\nADD --chown=1:2 plain.txt d /x/\n",
        ours={r"^file /to/": "BuildKit has come to give what is unpacked to --chown, too"},
    ),
    _case("tar-over-what-is-there", "RUN mkdir -p /to/d/file2 /to/deep && echo old >/to/d/file\nADD a.tar /to\n"),
    _case("tar-over-a-link", "RUN mkdir /real && ln -s /real /to\nADD a.tar /to\n"),
    _case("tar-over-a-file", "RUN touch /to\nADD a.tar /to\n", refused=True),
    _case("copy-does-not-unpack", "COPY a.tar a.tar.gz /to/\n"),
    _case("chmod", "ADD --chmod=600 plain.txt /x\nADD --chmod=711 d /to\n", builders=BUILDKIT),
    _case("tar-damaged", "ADD damaged.tar.gz /to/\n", refused=True),
    _case(
        "tar-not-unpacked",
        "ADD --unpack=false a.tar /to/\n",
        builders=NEITHER,
        expected=Expected(files={"to/a.tar": {"size": len(PLAIN)}}, absent=("to/d",), layers=1),
    ),
    _case(
        "link",
        "ADD --link a.tar /to\nADD --link plain.txt /x\n",
        builders=NEITHER,
        expected=Expected(files={"to/d/file": "from an archive", "x": "p"}, layers=2),
    ),
    _case(
        "exclude",
        "ADD --exclude=*.tar --exclude=*gz . /to\n",
        builders=NEITHER,
        expected=Expected(files={"to/plain.txt": "p", "to/a.tar.xz": {}}, absent=("to/a.tar", "to/only.gz")),
    ),
    _case(
        "heredoc",
        "ADD <<EOF /x\nsaid\nEOF\n",
        builders=NEITHER,
        expected=Expected(files={"x": "said\n"}, layers=1),
    ),
    _case("url", f"ADD {WEB}/note.txt /x\n"),
    _case("url-into-a-directory", f"ADD {WEB}/dir/note.txt?query=1 /to/\n"),
    _case("url-among-files", f"ADD plain.txt {WEB}/note.txt /to/\n"),
    _case("url-variables", f"ARG V=note\nADD {WEB}/$V.txt /$V\n"),
    _case("url-chown", f"ADD --chown=web:staff {WEB}/note.txt /x\n"),
    _case(
        "url-chmod",
        f"ADD --chmod=755 {WEB}/note.txt /x\n",
        builders=BUILDKIT,
        ours={"^file /x: file, 0755, .* not file, 0600": "BuildKit of that age has its own mode for what it fetches"},
    ),
    _case("url-without-time", f"ADD {WEB}/undated.txt /x\n"),
    _case("url-of-an-archive", f"ADD {WEB}/a.tar.gz /to/\n"),
    _case("url-without-a-name", f"ADD {WEB}/ /to/\n", builders=CLASSIC, refused=True),
    _case("url-named", f"ADD {WEB}/ /name\n"),
    _case("url-absent", f"ADD {WEB}/absent /x\n", refused=True),
    _case("url-redirected", f"ADD {WEB}/moved /to/\n"),
    _case(
        "url-unpacked",
        f"ADD --unpack=true {WEB}/a.tar.gz /to\n",
        builders=NEITHER,
        expected=Expected(files={"to/d/file": "from an archive"}, absent=("to/a.tar.gz",), layers=1),
    ),
    _case(
        "url-checksum",
        f"ADD --checksum=sha256:{SUM} {WEB}/note.txt /x\n",
        builders=NEITHER,
        expected=Expected(files={"x": SERVED.decode()}, layers=1),
    ),
    _case(
        "url-checksum-wrong", f"ADD --checksum=sha256:{'0' * 64} {WEB}/note.txt /x\n", builders=NEITHER, refused=True
    ),
    _case("checksum-of-a-file", f"ADD --checksum=sha256:{SUM} plain.txt /x\n", builders=NEITHER, refused=True),
)
