"""Trees and archives become layers and files again; strangers' archives reach nothing outside."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerkit import Engine, Image
from containerkit.errors import ContainerkitError, InvalidArgument
from containerkit.linux import mounts
from containerkit.store.snapshots import Snapshots
from tests import trees
from tests.unit.test_tar import info


def layer_of(image: Image) -> Path:
    (directory,) = image.engine.store.layers.ensure(image._record.chain_ids, image._record.layers)
    return directory


def import_members(engine: Engine, *members: tuple[tarfile.TarInfo, bytes]) -> Image:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for member, data in members:
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return Image.import_(io.BytesIO(out.getvalue()), engine=engine)


def names(image: Image) -> set[str]:
    return set(trees.facts(layer_of(image))) - {"."}


@pytest.fixture
def mounted(tmp_path: Path, engine: Engine) -> Iterator[Path]:
    """Where tests mount; unmounted afterwards."""
    target = tmp_path / "mounted"
    target.mkdir()
    yield target
    subprocess.run(["umount", "-q", target], check=False)


# -- fidelity --------------------------------------------------------------------------------------------------------


def test_a_directory_comes_out_as_it_went_in(engine: Engine, tmp_path: Path) -> None:
    source = trees.build(tmp_path / "source")
    image = Image.import_(source, engine=engine)
    assert trees.facts(layer_of(image)) == trees.facts(source)


@pytest.mark.parametrize("compression", [[], ["--gzip"], ["--zstd"], ["--xz"], ["--bzip2"]])
def test_an_archive_comes_out_as_it_went_in(engine: Engine, tmp_path: Path, compression: list[str]) -> None:
    source = trees.build(tmp_path / "source")
    archive = tmp_path / "archive"
    command: list[str | Path] = [
        "tar",
        "--format=posix",
        "--xattrs",
        "--xattrs-include=*",
        *compression,
        "-cf",
        archive,
        "-C",
        source,
        ".",
    ]
    subprocess.run(command, check=True)
    image = Image.import_(archive, engine=engine)
    expected = trees.facts(source)
    assert trees.facts(layer_of(image)) == expected
    if compression:
        assert image == Image.import_(archive.open("rb"), engine=engine)


def test_other_tools_unpack_our_layers(engine: Engine, tmp_path: Path) -> None:
    source = trees.build(tmp_path / "source")
    image = Image.import_(source, engine=engine)
    out = tmp_path / "out"
    out.mkdir()
    (descriptor,) = image._record.layers
    command = ["tar", "--zstd", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"]
    subprocess.run([*command, engine.store.blobs.path(descriptor.digest), "-C", out], check=True)
    assert trees.facts(out) == trees.facts(source)


def test_the_same_tree_is_the_same_image(engine: Engine, tmp_path: Path) -> None:
    one = Image.import_(trees.build(tmp_path / "one"), engine=engine)
    subprocess.run(["cp", "-a", tmp_path / "one", tmp_path / "two"], check=True)
    assert Image.import_(tmp_path / "two", engine=engine) == one
    listing = subprocess.run(
        ["tar", "--zstd", "-tf", engine.store.blobs.path(one._record.layers[0].digest)], check=True, capture_output=True
    ).stdout.splitlines()
    assert [name for name in listing if b"/" not in name] == sorted(name for name in listing if b"/" not in name)
    (tmp_path / "two/etc/passwd").chmod(0o600)
    assert Image.import_(tmp_path / "two", engine=engine) != one


def test_a_container_sees_the_tree_through_overlayfs(engine: Engine, tmp_path: Path, mounted: Path) -> None:
    source = trees.build(tmp_path / "source")
    image = Image.import_(source, engine=engine)
    snapshots: Snapshots = engine.store.snapshots
    (mount,) = snapshots.prepare("a" * 64, image._record)
    mounts.mount(mount.source, str(mounted), mount.type, 0, ",".join(mount.options))
    seen, expected = trees.facts(mounted), trees.facts(source)
    # The root is the container's own directory, made when it was.
    assert seen.pop(".")[:3] == expected.pop(".")[:3]
    assert seen == expected
    (mounted / "etc/passwd").write_text("changed")
    subprocess.run(["umount", mounted], check=True)
    assert (snapshots.upper("a" * 64) / "etc/passwd").read_text() == "changed"
    assert trees.facts(layer_of(image)) == trees.facts(source)
    snapshots.remove("a" * 64)
    snapshots.remove("a" * 64)
    assert list(engine.paths.containers.iterdir()) == []


def test_sockets_are_left_out(engine: Engine, tmp_path: Path) -> None:
    import socket

    (tmp_path / "source").mkdir()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "source/socket"))
    (tmp_path / "source/file").touch()
    assert names(Image.import_(tmp_path / "source", engine=engine)) == {"file"}


# -- whiteouts -------------------------------------------------------------------------------------------------------


def is_whiteout(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def test_whiteouts_become_what_overlayfs_reads(engine: Engine) -> None:
    root = layer_of(
        import_members(
            engine,
            (info("etc/.wh.gone"), b""),
            (info("var/.wh..wh..opq"), b""),
            (info("var/kept"), b"x"),
            (info(".wh..wh.aufs"), b""),
        )
    )
    assert is_whiteout(root / "etc/gone")
    assert os.getxattr(root / "var", "trusted.overlay.opaque") == b"y" and (root / "var/kept").exists()
    assert {path.name for path in root.iterdir()} == {"etc", "var"}


def test_a_whiteout_speaks_of_layers_below_only(engine: Engine) -> None:
    directory = info("replaced", tarfile.DIRTYPE)
    root = layer_of(
        import_members(
            engine,
            (info("kept"), b"x"), (info(".wh.kept"), b""),
            (info(".wh.later"), b""), (info("later"), b"x"),
            (info(".wh.replaced"), b""), (directory, b""), (info("replaced/new"), b"x"),
            (info("before", tarfile.DIRTYPE), b""), (info(".wh.before"), b""),
        )
    )  # fmt: skip
    assert (root / "kept").read_text() == (root / "later").read_text() == (root / "replaced/new").read_text() == "x"
    for name in ("replaced", "before"):
        assert os.getxattr(root / name, "trusted.overlay.opaque") == b"y"


def test_a_directory_with_a_whiteouts_name_is_refused(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/.wh.x").touch()
    with pytest.raises(InvalidArgument, match=r"import: \.wh\.x: "):
        Image.import_(tmp_path / "source", engine=engine)


# -- hostile archives ------------------------------------------------------------------------------------------------


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A directory outside the store that must stay as it is."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "secret").write_text("secret")
    before = trees.facts(victim)
    yield victim
    assert trees.facts(victim) == before


def left_in(engine: Engine) -> list[str]:
    paths = engine.paths
    return [
        str(path)
        for place in (paths.tmp, paths.blobs, paths.layers)
        for path in place.iterdir()
        if path.name != ".lock"
    ]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/../x", "a/.."])
def test_names_with_dots_are_refused_and_nothing_is_left(engine: Engine, name: str) -> None:
    with pytest.raises(InvalidArgument, match="leads out of its directory"):
        import_members(engine, (info("fine"), b"x"), (info(name), b"x"))
    assert left_in(engine) == []


def test_absolute_names_are_below_the_root(engine: Engine, victim: Path) -> None:
    image = import_members(engine, (info(f"{victim}/secret"), b"changed"))
    assert (layer_of(image) / f"{victim}/secret".lstrip("/")).read_text() == "changed"


@pytest.mark.parametrize("up", ["", "../../../../../../../../../../.."])
def test_links_out_lead_nowhere(engine: Engine, victim: Path, up: str) -> None:
    link = info("door", tarfile.SYMTYPE, linkname=f"{up}{victim}")
    with pytest.raises(InvalidArgument, match="what is above it is no directory"):
        import_members(engine, (link, b""), (info("door/secret"), b"changed"))
    # With a directory of that name inside, the link leads there, as it would in the container.
    inside = info(str(victim), tarfile.DIRTYPE)
    image = import_members(engine, (inside, b""), (link, b""), (info("door/secret"), b"changed"))
    assert (layer_of(image) / str(victim).lstrip("/") / "secret").read_text() == "changed"


def test_a_link_is_replaced_not_followed(engine: Engine, victim: Path) -> None:
    image = import_members(
        engine,
        (info("file", tarfile.SYMTYPE, linkname=f"{victim}/secret"), b""),
        (info("file", mode=0o777, uid=5), b"changed"),
        (info("directory", tarfile.SYMTYPE, linkname=str(victim)), b""),
        (info("directory", tarfile.DIRTYPE, mode=0o777, uid=5), b""),
        (info("directory/secret"), b"changed"),
    )
    assert (layer_of(image) / "directory/secret").read_text() == "changed"


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_a_hard_link_to_outside_is_refused(engine: Engine, victim: Path, kind: bytes) -> None:
    members = [(info("door", tarfile.SYMTYPE, linkname=str(victim)), b"")]
    target = "door/secret" if kind == tarfile.SYMTYPE else f"{victim}/secret"
    with pytest.raises(InvalidArgument, match="not in the archive"):
        import_members(engine, *members, (info("x", tarfile.LNKTYPE, linkname=target), b""))
    assert left_in(engine) == []


@pytest.mark.parametrize("target", ["x", "missing", "directory", ".", "../x"])
def test_a_hard_link_that_cannot_be_is_refused(engine: Engine, target: str) -> None:
    with pytest.raises(InvalidArgument, match="entry '.*x'"):
        import_members(
            engine, (info("directory", tarfile.DIRTYPE), b""), (info("x", tarfile.LNKTYPE, linkname=target), b"")
        )


def test_a_hard_link_to_a_symbolic_link_is_one_more_name_of_the_link(engine: Engine, victim: Path) -> None:
    image = import_members(
        engine,
        (info("link", tarfile.SYMTYPE, linkname=f"{victim}/secret"), b""),
        (info("second", tarfile.LNKTYPE, linkname="link"), b""),
    )
    assert os.readlink(layer_of(image) / "second") == f"{victim}/secret"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("n" * 256, "the name is too long"),
        ("a" + "/a" * 300, "more than 256 directories deep"),
        (("d" * 250 + "/") * 20 + "x", "the name is too long"),
    ],
)
def test_huge_names_are_refused(engine: Engine, name: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as raised:
        import_members(engine, (info(name), b""))
    assert len(str(raised.value)) < 500
    assert left_in(engine) == []


def test_a_file_above_a_file_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidArgument, match="what is above it is no directory"):
        import_members(engine, (info("file"), b""), (info("file/below"), b""))


def test_the_root_cannot_be_a_file(engine: Engine) -> None:
    with pytest.raises(InvalidArgument, match="is not a directory"):
        import_members(engine, (info("./."), b""))


def test_attributes_of_overlayfs_are_dropped(engine: Engine) -> None:
    headers = {"SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.overlay.opaque": "y",
               "SCHILY.xattr.user.mine": "kept"}  # fmt: skip
    image = import_members(engine, (info("d", tarfile.DIRTYPE, pax_headers=headers), b""))
    assert os.listxattr(layer_of(image) / "d") == ["user.mine"]


def test_directories_that_the_archive_does_not_name_are_made(engine: Engine) -> None:
    root = layer_of(import_members(engine, (info("a/b/c", mode=0o600), b"x")))
    assert stat.S_IMODE((root / "a/b").stat().st_mode) == 0o755 and (root / "a/b").stat().st_uid == 0


def test_what_is_no_archive_is_refused(engine: Engine, tmp_path: Path) -> None:
    for data in (b"", b"hello world", os.urandom(5000), b"\x1f\x8b" + os.urandom(100)):
        with pytest.raises(InvalidArgument, match="^import "):
            (tmp_path / "x").write_bytes(data)
            Image.import_(tmp_path / "x", engine=engine)
    with pytest.raises(ContainerkitError, match="not found|no such file"):
        Image.import_(tmp_path / "absent", engine=engine)
    assert left_in(engine) == []
