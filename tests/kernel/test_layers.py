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
from tests.tars import info


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
    with pytest.raises(InvalidArgument, match=r"file \.wh\.x: "):
        Image.import_(tmp_path / "source", engine=engine)


# -- what archives leave out -------------------------------------------------------------------------------------------


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
    assert not any(engine.paths.tmp.iterdir()) and not any(engine.paths.blobs.iterdir())


def test_a_sparse_file_of_gigabytes_stays_one(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with open(tmp_path / "tree/disk", "wb") as file:
        file.write(b"begin")
        file.truncate(3 << 29)
        file.seek(1 << 30)
        file.write(b"middle")
    image = Image.import_(tmp_path / "tree", engine=engine)
    found = (layer_of(image) / "disk").stat()
    assert found.st_size == 3 << 29 and found.st_blocks * 512 < 16 << 20
    with open(layer_of(image) / "disk", "rb") as file:
        assert file.read(5) == b"begin"
        file.seek(1 << 30)
        assert file.read(6) == b"middle"
