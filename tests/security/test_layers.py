"""Hostile layers: a stranger's archives and images end in an error that names them, or in something harmless.

Nothing is touched outside the store, nothing is left in it, and no attack takes more memory than a right image would.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard

import containerkit as ck
from containerkit import Engine, Image
from containerkit.errors import InvalidArgument, Unsupported
from containerkit.layers import apply
from tests import archives, trees
from tests.engines import emptied
from tests.registry_stub import Stub, layer
from tests.security.conftest import left_in
from tests.tars import END, Member, block, info, number, pax, tar

SYMLINK, HARDLINK, DIRECTORY = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


@pytest.fixture(autouse=True)
def victim(tmp_path: Path) -> Iterator[Path]:
    """A directory outside the store that must stay as it is."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "secret").write_text("secret")
    before = trees.facts(victim)
    yield victim
    assert trees.facts(victim) == before


def import_(engine: Engine, *members: Member) -> Image:
    return Image.import_(io.BytesIO(tar(*members)), engine=engine)


def pull(engine: Engine, stub: Stub, name: str = "app") -> Image:
    return Image.pull(stub.name(name), engine=engine, progress=False)


def refused(engine: Engine, *blocks: bytes, words: str = "", kind: type[ck.ContainerkitError] = InvalidArgument) -> str:
    """Import an archive that cannot be; what is said then."""
    with pytest.raises(kind, match=words) as raised:
        Image.import_(io.BytesIO(b"".join(blocks)), engine=engine)
    said = str(raised.value)
    assert said.startswith(("import: ", "layer sha256:")) and len(said) < 600 and said.isprintable()
    assert left_in(engine) == [] and len(engine.images) == 0
    return said


def root_of(image: Image) -> Path:
    """Where its one layer is."""
    (directory,) = image.engine.store.layers.ensure(image._record.chain_ids, image._record.layers)
    return directory


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/../x", "a/.."])
def test_names_with_dots_are_refused(engine: Engine, name: str) -> None:
    refused(engine, tar(info("fine"), info(name)), words="leads out of its directory")


def test_absolute_names_are_below_the_root(engine: Engine, victim: Path) -> None:
    image = import_(engine, (info(f"{victim}/secret"), b"changed"))
    assert (root_of(image) / f"{victim}/secret".lstrip("/")).read_text() == "changed"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("n" * 256, "the name is too long"),
        ("a" + "/a" * 300, "more than 256 directories deep"),
        (("d" * 250 + "/") * 20 + "x", "the name is too long"),
    ],
)
def test_huge_names_are_refused(engine: Engine, name: str, words: str) -> None:
    refused(engine, tar(info(name)), words=words)


def test_a_file_above_a_file_is_refused(engine: Engine) -> None:
    refused(engine, tar(info("file"), info("file/below")), words="what is above it is no directory")


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, SYMLINK])
def test_the_root_is_a_directory(engine: Engine, kind: bytes) -> None:
    refused(engine, tar(info("./.", kind, linkname="/etc")), words="is not a directory")


def test_of_a_name_that_comes_twice_the_last_one_counts(engine: Engine, victim: Path) -> None:
    image = import_(
        engine,
        (info("file", mode=0o4777), b"first"), (info("other", HARDLINK, linkname="file")), (info("file"), b"second"),
        info("link", SYMLINK, linkname=f"{victim}/secret"), (info("link"), b"changed"),
        info("directory", DIRECTORY), info("directory", SYMLINK, linkname=str(victim)),
        info("became", SYMLINK, linkname=str(victim)), info("became", DIRECTORY), (info("became/secret"), b"changed"),
    )  # fmt: skip
    root = root_of(image)
    # What was written first under two names is still there under the other.
    assert (root / "file").read_text() == "second" and (root / "other").read_text() == "first"
    assert (root / "link").read_text() == (root / "became/secret").read_text() == "changed"
    assert os.readlink(root / "directory") == str(victim) and stat.S_IMODE((root / "file").stat().st_mode) == 0o644


def test_a_filled_directory_does_not_become_a_file(engine: Engine) -> None:
    refused(engine, tar(info("d/file"), info("d")), words="takes the place of a directory that is not empty")


# -- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("up", ["", "../../../../../../../../../../.."])
def test_links_out_lead_nowhere(engine: Engine, victim: Path, up: str) -> None:
    link = info("door", SYMLINK, linkname=f"{up}{victim}")
    refused(engine, tar(link, (info("door/secret"), b"changed")), words="what is above it is no directory")
    # With a directory of that name inside, the link leads there, as it would in the container.
    image = import_(engine, info(str(victim), DIRECTORY), link, (info("door/secret"), b"changed"))
    assert (root_of(image) / str(victim).lstrip("/") / "secret").read_text() == "changed"


def test_a_chain_of_links_leads_no_further_than_one(engine: Engine, victim: Path) -> None:
    def chain(length: int, end: str) -> list[tarfile.TarInfo]:
        targets = [*(f"../l{place}" if place % 2 else f"/l{place}" for place in range(1, length)), end]
        return [info(f"l{place}", SYMLINK, linkname=target) for place, target in enumerate(targets)]

    out: list[Member] = [*chain(10, f"../../../..{victim}"), (info("l0/secret"), b"changed")]
    refused(engine, tar(*out), words="what is above it is no directory")
    refused(engine, tar(*chain(60, "/d"), info("d", DIRECTORY), info("l0/x")), words="too many symbolic links above it")
    refused(engine, tar(*chain(5, "/l0"), info("l0/x")), words="too many symbolic links above it")
    image = import_(engine, info("d", DIRECTORY), *chain(20, "../../d"), (info("l0/x"), b"inside"))
    assert (root_of(image) / "d/x").read_text() == "inside"


def test_a_directory_becomes_a_link_under_the_next_name(engine: Engine, victim: Path) -> None:
    """The directory of the last entry is remembered: what takes its place meanwhile is not followed."""
    link = info("d", SYMLINK, linkname=str(victim))
    refused(
        engine,
        tar(info("d/.wh..wh..opq"), link, (info("d/secret"), b"changed")),
        words="what is above it is no directory",
    )


@pytest.mark.parametrize("target", ["/secret", "door/secret"])
def test_a_hard_link_to_outside_is_refused(engine: Engine, victim: Path, target: str) -> None:
    members = [info("door", SYMLINK, linkname=str(victim))]
    name = f"{victim}{target}" if target[0] == "/" else target
    refused(engine, tar(*members, info("x", HARDLINK, linkname=name)), words="not in the archive")


@pytest.mark.parametrize("target", ["x", "missing", "directory", ".", "../x", "n" * 5000])
def test_a_hard_link_that_cannot_be_is_refused(engine: Engine, target: str) -> None:
    refused(engine, tar(info("directory", DIRECTORY), info("x", HARDLINK, linkname=target)), words="entry '.*'")


def test_a_hard_link_to_a_symbolic_link_is_one_more_name_of_the_link(engine: Engine, victim: Path) -> None:
    link = info("link", SYMLINK, linkname=f"{victim}/secret")
    image = import_(engine, link, info("second", HARDLINK, linkname="link"))
    assert os.readlink(root_of(image) / "second") == f"{victim}/secret"


@pytest.mark.parametrize(("link", "words"), [(b"", "a link to nothing"), (b"n" * 5000, "the name is too long")])
def test_a_symbolic_link_that_cannot_be_is_refused(engine: Engine, link: bytes, words: str) -> None:
    refused(engine, pax((b"linkpath", link)), block(SYMLINK), END, words=words)


# -- links of the layers below ---------------------------------------------------------------------------------------


def load(engine: Engine, *layers: bytes) -> list[Path]:
    """An image of these layers; where they are, the lowest first."""
    (image,) = Image.load(archives.tar(archives.docker(*layers)), engine=engine)
    return [*engine.store.layers.ensure(image._record.chain_ids, image._record.layers)]


def refused_above(engine: Engine, lower: bytes, *members: Member, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as raised:
        load(engine, lower, tar(*members))
    assert len(str(raised.value)) < 600 and left_in(engine) == [] and len(engine.images) == 0


@pytest.mark.parametrize("up", ["", "../../../../../../../../../../.."])
def test_links_of_the_layers_below_lead_nowhere_outside(engine: Engine, victim: Path, up: str) -> None:
    door, below = info("door", SYMLINK, linkname=f"{up}{victim}"), str(victim).lstrip("/")
    members = (info("door/secret"), b"changed"), info("door/new/x"), info("door/.wh.gone"), info("door/.wh..wh..opq")
    lower, upper = load(engine, tar(door), tar(*members))
    assert os.readlink(lower / "door") == f"{up}{victim}" and not (upper / "door").is_symlink()
    assert (upper / below / "secret").read_text() == "changed" and (upper / below / "new/x").exists()


def test_layers_change_nothing_of_those_below(engine: Engine) -> None:
    members = (
        info("usr/lib", DIRECTORY, mode=0o700, mtime=1),
        (info("usr/lib/x"), b"1"),
        info("lib", SYMLINK, linkname="usr/lib"),
    )
    (alone,) = load(engine, tar(*members))
    before = trees.facts(alone)
    lower, _ = load(engine, tar(*members), tar((info("lib/x"), b"2"), info("lib/.wh.x"), info("lib/y", DIRECTORY)))
    assert lower == alone and trees.facts(lower) == before


def test_links_of_the_layers_below_without_end_are_refused(engine: Engine) -> None:
    words = "too many symbolic links above it"
    rounds = [info(f"l{number}", SYMLINK, linkname=f"l{(number + 1) % 3}") for number in range(3)]
    refused_above(engine, tar(*rounds), info("l0/x"), words=words)
    chain = [info(f"l{number}", SYMLINK, linkname=f"/l{number + 1}") for number in range(60)]
    refused_above(engine, tar(*chain, info("l60", DIRECTORY)), info("l0/x"), words=words)
    # Each step is one that the kernel would do in no time; here it looks into every layer.
    long = [info("d", DIRECTORY), info("long", SYMLINK, linkname="d/../" * 800)]
    refused_above(engine, tar(*long), info("long/x"), words=words)


def test_links_of_the_layers_below_make_no_tree_deeper_than_one_may_be(engine: Engine) -> None:
    deep = info("l", SYMLINK, linkname="/".join("d" * 200))
    refused_above(engine, tar(deep), info("l/" + "/".join("e" * 100) + "/x"), words="more than 256 directories deep")


def test_no_attribute_of_overlayfs_comes_up_from_below(engine: Engine) -> None:
    _, upper = load(engine, tar(info("d/.wh..wh..opq"), info("d/x")), tar(info("d/y")))
    assert os.listxattr(upper / "d") == []


# -- whiteouts -------------------------------------------------------------------------------------------------------


def test_whiteouts_of_what_has_no_name_are_nothing(engine: Engine, victim: Path) -> None:
    """``.wh.`` and ``.wh..`` and ``.wh...``: nothing, the directory itself, the one above."""
    names = [f"{where}.wh.{what}" for where in ("", "d/", "/", "./") for what in ("", ".", "..")]
    image = import_(engine, *(info(name) for name in names), info("kept"))
    assert set(trees.facts(root_of(image))) == {".", "d", "kept"}


@pytest.mark.parametrize("name", [".wh.x/y", ".wh../x", ".wh.../x", "d/.wh./x", ".wh.x/.wh.y"])
def test_nothing_is_below_a_whiteout(engine: Engine, name: str) -> None:
    refused(engine, tar(info(name)), words="is below a whiteout")


def test_aufss_own_directories_are_left_out(engine: Engine) -> None:
    image = import_(engine, info(".wh..wh.plnk", DIRECTORY), info(".wh..wh.plnk/1.2"), info(".wh..wh.aufs"), info("x"))
    assert set(trees.facts(root_of(image))) == {".", "x"}


def test_a_whiteout_through_a_link_stays_inside(engine: Engine, victim: Path) -> None:
    door = info("door", SYMLINK, linkname=str(victim))
    for name in ("door/.wh.secret", "door/.wh..wh..opq"):
        refused(engine, tar(door, info(name)), words="what is above it is no directory")
    inside = info(str(victim), DIRECTORY)
    root = root_of(import_(engine, inside, door, info("door/.wh.secret"), info("door/.wh..wh..opq")))
    hidden = (root / str(victim).lstrip("/") / "secret").lstat()
    assert stat.S_ISCHR(hidden.st_mode) and hidden.st_rdev == 0
    assert os.listxattr(root / str(victim).lstrip("/")) == ["trusted.overlay.opaque"]


def test_a_whiteout_reaches_no_file_but_below_the_root(engine: Engine, victim: Path) -> None:
    for name in (f"../..{victim}/.wh.secret", "../.wh.layers", ".wh..wh..opq/../../.wh.x"):
        refused(engine, tar(info(name)), words="leads out of its directory")


def test_an_opaque_mark_at_the_root_hides_all_that_is_below(engine: Engine, stub: Stub, busybox_tar: Path) -> None:
    bottom, mark = layer(tar(hidden=b"x")), layer(tar(info(".wh..wh..opq"), top=b"x"))
    stub.image("app", [bottom, mark, layer(busybox_tar.read_bytes())], container={"Cmd": ["ls", "/"]})
    with pull(engine, stub).run() as container:
        container.wait(timeout=60)
        assert "top" in container.logs() and "hidden" not in container.logs()


def test_attributes_of_overlayfs_are_dropped(engine: Engine) -> None:
    headers = {"SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.overlay.opaque": "y",
               "SCHILY.xattr.trusted.overlay.overlay.opaque": "y", "SCHILY.xattr.user.mine": "kept"}  # fmt: skip
    image = import_(engine, info("d", DIRECTORY, pax_headers=headers))
    assert os.listxattr(root_of(image) / "d") == ["user.mine"]


# -- devices, set-user-ID --------------------------------------------------------------------------------------------


def test_a_device_in_a_layer_opens_nothing(engine: Engine, stub: Stub, busybox_tar: Path) -> None:
    """The disk that the store is on, and the kernel's log, with every right."""
    disk = os.stat(engine.paths.root.parent).st_dev
    members = [
        info("disk", tarfile.BLKTYPE, devmajor=os.major(disk), devminor=os.minor(disk), mode=0o666),
        info("kmsg", tarfile.CHRTYPE, devmajor=1, devminor=11, mode=0o666),
    ]
    stub.image("app", [layer(busybox_tar.read_bytes()), layer(tar(*members))])
    script = "for d in disk kmsg; do test -b /$d -o -c /$d && (head -c1 </$d || echo x >/$d); done 2>&1"
    result = pull(engine, stub).call(["sh", "-c", script])
    assert result.stdout.count("ermitted") == 4, result


def _as_nobody(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """What somebody else of this machine gets."""
    # By a shell: setpriv itself has rights up to its exec.
    words = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", 'exec "$@"', "sh"]
    return subprocess.run([*words, *map(str, command)], capture_output=True, text=True, check=False)


@pytest.fixture
def reachable(nothing_is_left: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine whose root everybody could reach, as they can ``/var/lib/containerkit``."""
    place = Path(subprocess.check_output(["mktemp", "-d", "/tmp/ck-test-XXXXXX"], text=True).strip())
    place.chmod(0o755)
    with emptied(place / "root", place / "run") as engine:
        yield engine
    subprocess.run(["rm", "-rf", place], check=True)


@pytest.mark.parametrize("mask", [0o022, 0o000])
def test_set_user_id_programs_of_layers_and_containers_are_nobody_elses(
    reachable: Engine, busybox_tar: Path, mask: int
) -> None:
    """CVE-2021-41091: an image, or a container's root, makes a program root's; another user of the host runs it."""
    before = os.umask(mask)
    try:
        image = Image.import_(busybox_tar, tag="busybox", engine=reachable)
        script = "cp /bin/busybox /id; chmod 6755 /id; echo secret >/secret; sleep 60"
        with reachable.run("busybox", ["sh", "-c", script], env={"PASSWORD": "secret"}) as box:
            box.wait_for(ck.until.file("/secret"))
            upper = reachable.store.snapshots.upper(box.id)
            assert upper.joinpath("id").stat().st_mode & stat.S_ISUID
            assert _as_nobody(upper / "id", "-u").stdout == ""
            for path in (upper, root_of(image), *reachable.paths.root.iterdir()):
                done = _as_nobody("cat" if path.is_file() else "ls", path)
                assert done.returncode != 0 and done.stdout == "", (path, done)
    finally:
        os.umask(before)


# -- headers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ([block(uid=number(-5, 8))], "owner -5:0, whom there cannot be"),
        ([block(gid=number(2**32 - 1, 8))], "owner 0:4294967295, whom there cannot be"),  # chown(2): "no change"
        ([pax((b"uid", b"9999999999")), block()], "owner 9999999999:0"),
        ([block(mtime=number(2**80))], "of a time"),
        ([block(mtime=number(-(2**80)))], "of a time"),
        ([pax((b"mtime", b"900000000000")), block()], "of a time"),
        ([pax((b"mtime", b"1.5e3")), block()], "a damaged pax header"),
        ([block(b"3", major=number(2**40, 8))], "device 1099511627776:0"),
        ([block(b"4", minor=number(-4, 8))], "device 0:-4"),
        ([block(size=number(-512))], "a negative size"),
        ([block(size=number(2**62))], "larger than 274877906944 bytes unpacked"),
        ([block(size=b"0000_0000")], "not a tar archive, or a damaged one"),
        ([block(uid=b"-0000001")], "not a tar archive, or a damaged one"),
        ([block(b"x", size=number(-512)), block()], "an extension header of -512 bytes"),
        ([block(b"L", size=number(-512)), block()], "an extension header of -512 bytes"),
        ([block(b"x", size=number(1 << 40)), block()], "an extension header of 1099511627776 bytes"),
        ([pax((b"size", b"-5")), block()], "a damaged pax header"),
        ([pax((b"size", b"3")), block(data=b"x" * 1000)], "not a tar archive, or a damaged one"),
        ([pax((b"size", b"100000")), block(data=b"x" * 10)], "the archive is cut off"),
        ([pax((b"size", str(2**62).encode())), block()], "larger than 274877906944 bytes unpacked"),
        ([pax((b"linkpath", b"a\0b")), block(SYMLINK)], "a zero byte"),
        ([pax((b"path", b"a\0b")), block()], "a zero byte"),
        ([pax((b"SCHILY.xattr.user.a\0b", b"")), block()], "attribute 'user.a\\\\x00b' of 0 bytes"),
        ([pax((b"SCHILY.xattr.", b"x")), block()], "attribute '' of 1 bytes"),
        ([pax((b"SCHILY.xattr.user." + b"x" * 300, b"")), block()], "attribute 'user.x+…?"),
        ([pax((b"SCHILY.xattr.user.x", bytes(70_000))), block()], "attribute 'user.x' of 70000 bytes"),
        ([block(b"x", data=b"99999999999999999999999 a=b\n"), block()], "a damaged pax header"),
        ([block(b"x", data=b"3 a=b\n"), block()], "a damaged pax header"),
        ([block(b"x", data=b"0 a=b\n"), block()], "a damaged pax header"),
        ([block(data=b"x" * 5000)[:1000]], "the archive is cut off"),
    ],
)
def test_headers_that_cannot_be_are_refused(engine: Engine, blocks: list[bytes], words: str) -> None:
    refused(engine, *blocks, END, words=words)


@pytest.mark.parametrize(
    "blocks",
    [
        [block(b"Z", b"\x1b[2J\n")],
        [pax((b"path", b"\x1b]0;title\x07" * 50_000)), block(b"Z")],
        [pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.name", b"../../x")), block()],
        [block(b"S")],
    ],
)
def test_what_is_not_known_is_named_in_few_words(engine: Engine, blocks: list[bytes]) -> None:
    refused(engine, *blocks, END, words="import: entry '", kind=Unsupported)


@pytest.mark.parametrize(
    "record",
    [
        (b"SCHILY.xattr.moon.x", b"x"), (b"SCHILY.xattr.security.capability", b"x"),
        (b"SCHILY.xattr.system.posix_acl_access", b"x"), (b"SCHILY.xattr.system.posix_acl_default", b"x"),
    ],
)  # fmt: skip
def test_attributes_that_the_kernel_refuses_are_an_error(engine: Engine, record: tuple[bytes, bytes]) -> None:
    blocks = (pax(record), block(DIRECTORY, b"named"), END)
    refused(engine, *blocks, words="named", kind=ck.ContainerkitError)


# -- memory ----------------------------------------------------------------------------------------------------------

#: Imports the archive on its standard input with little memory: python itself takes a hundred megabytes.
IMPORT = """
import resource, sys
import containerkit as ck
resource.setrlimit(resource.RLIMIT_DATA, (350 << 20, 350 << 20))
engine = ck.Engine(sys.argv[1], sys.argv[2])
try:
    ck.Image.import_(sys.stdin.buffer, engine=engine)
except ck.ContainerkitError as error:
    print(type(error).__name__, error)
"""


def import_with_little_memory(engine: Engine, pieces: Iterator[bytes], compress: str) -> str:
    """What is said of a large archive, by a process that has little memory."""
    compressor = zstandard.ZstdCompressor(level=1).compressobj() if compress == "zstd" else _Gzip()
    words = [sys.executable, "-c", IMPORT, str(engine.paths.root), str(engine.paths.run)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False, cwd=root) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            for piece in pieces:
                process.stdin.write(compressor.compress(piece))
            process.stdin.write(compressor.flush())
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it has heard enough
        with suppress(BrokenPipeError):
            process.stdin.close()
        said = process.stdout.read().decode()
    assert left_in(engine) == [] and len(engine.images) == 0
    return said


class _Gzip:
    def __init__(self) -> None:
        import zlib

        self._object = zlib.compressobj(1, wbits=31)

    def compress(self, data: bytes) -> bytes:
        return self._object.compress(data)

    def flush(self) -> bytes:
        return self._object.flush()


def _many_headers(kind: bytes, *between: bytes) -> Iterator[bytes]:
    """Six hundred headers of a megabyte, each with something new to remember, and an entry at the end."""
    for turn in range(600):
        yield pax((b"remark.%d" % turn, bytes(1_000_000)), kind=kind)
        yield from between
    yield block() + END


def _one_header() -> Iterator[bytes]:
    yield block(b"x", size=number(800 << 20))
    yield from (bytes(1 << 20) for _ in range(800))


def _many_records() -> Iterator[bytes]:
    yield pax(*[(b"%d" % turn, b"") for turn in range(90_000)]) + block() + END


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (lambda: _many_headers(b"x"), "an extension header of"),
        (lambda: _many_headers(b"g", block(DIRECTORY)), "global headers of more than"),
        (_one_header, "an extension header of 838860800 bytes"),
    ],
)
def test_headers_are_not_piled_up(engine: Engine, pieces: Callable[[], Iterator[bytes]], words: str) -> None:
    assert words in import_with_little_memory(engine, pieces(), "zstd")


def test_records_without_end_are_read(engine: Engine) -> None:
    image = Image.import_(io.BytesIO(b"".join(_many_records())), engine=engine)
    assert set(trees.facts(root_of(image))) == {".", "x"}


@pytest.mark.parametrize("compress", ["gzip", "zstd"])
def test_a_decompression_bomb_is_refused_soon(engine: Engine, compress: str) -> None:
    def noughts() -> Iterator[bytes]:
        yield block(size=number(200 << 30))
        yield from (b"0" * (16 << 20) for _ in range(100))

    said = import_with_little_memory(engine, noughts(), compress)
    assert said.startswith("InvalidArgument") and "a decompression bomb" in said, said


def test_a_dictionary_of_gigabytes_is_refused(engine: Engine) -> None:
    import lzma

    header = lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 3 << 29}])
    refused(engine, header, words="damaged xz stream: memory usage limit")
    wide = zstandard.ZstdCompressionParameters(window_log=30)
    frame = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    refused(engine, frame.compress(b"x" * 1000) + frame.flush(), words="damaged zstd stream")


def test_directories_without_end_are_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their times are given at the end: until then they are remembered."""
    monkeypatch.setattr(apply, "_REMEMBERED", 10_000)
    refused(engine, tar(*[info(f"d{place}", DIRECTORY) for place in range(50)]), words="more directories than fit")
    refused(engine, tar(info("/".join("d" * 60) + "/x")), words="more directories than fit")


def test_members_without_content_take_no_time(engine: Engine) -> None:
    """A hundred thousand gzip members of nothing."""
    data = gzip.compress(b"", mtime=0) * 100_000 + gzip.compress(tar(x=b"1"))
    assert Image.import_(io.BytesIO(data), engine=engine).size == 1
