"""Files in and out of containers, running or not, and the same as paths."""

from __future__ import annotations

import os
import stat
import tarfile
import time
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Container, Engine, Image


@pytest.fixture(params=["running", "created", "exited"])
def container(request: pytest.FixtureRequest, engine: Engine, image: Image) -> Container:
    if request.param == "running":
        return engine.run("busybox", "sleep 60", name="box")
    made = engine.create("busybox", "true", name="box")
    if request.param == "exited":
        made.start().wait(timeout=60)
    return made


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with something of everything."""
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "file").write_text("text")
    (root / "sub" / "file").chmod(0o640)
    os.utime(root / "sub" / "file", (1_600_000_000, 1_600_000_000))
    (root / "link").symlink_to("/etc/passwd")
    os.link(root / "sub" / "file", root / "second")
    os.mkfifo(root / "fifo")
    os.chown(root / "sub" / "file", 1234, 5678)
    os.setxattr(root / "sub" / "file", "user.note", b"kept")
    return root


def test_a_tree_goes_in_and_comes_out_as_it_was(container: Container, tree: Path, tmp_path: Path) -> None:
    container.copy_in(tree, "/data", archive=True)
    container.copy_out("/data", tmp_path / "back", archive=True)
    back = tmp_path / "back"
    assert sorted(os.listdir(back)) == ["fifo", "link", "second", "sub"]
    found = (back / "sub" / "file").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 5678, 0o640)
    assert int(found.st_mtime) == 1_600_000_000 and found.st_ino == (back / "second").stat().st_ino
    assert os.readlink(back / "link") == "/etc/passwd" and stat.S_ISFIFO((back / "fifo").stat().st_mode)
    assert os.getxattr(back / "sub" / "file", "user.note") == b"kept"


def test_where_things_go_is_where_docker_cp_puts_them(container: Container, tree: Path, tmp_path: Path) -> None:
    file = tree / "sub" / "file"
    container.copy_in(file, "/new-name").copy_in(file, "/mnt").copy_in(file, "/mnt/other")
    assert container.path("/new-name").read_text() == "text"
    assert [path.name for path in container.path("/mnt").iterdir()] == ["file", "other"]
    assert container.path("/mnt/file").stat().st_uid == 0
    container.copy_in(tree, "/mnt").copy_in(f"{tree}/.", "/var/www").copy_in(tree / "sub", "/fresh")
    assert container.path("/mnt/tree/sub/file").exists() and container.path("/var/www/sub/file").exists()
    assert [path.name for path in container.path("/fresh").iterdir()] == ["file"]
    container.copy_in(tree / "link", "/mnt")
    assert container.path("/mnt/link").readlink() == "/etc/passwd"
    with pytest.raises(ck.NotFound, match="container box: /absent/name"):
        container.copy_in(file, "/absent/name")
    with pytest.raises(ck.NotFound):
        container.copy_in(tmp_path / "absent", "/mnt")
    with pytest.raises(ck.InvalidState, match="a file is there"):
        container.copy_in(tree, "/new-name")
    container.copy_out("/etc/passwd", tmp_path).copy_out("/etc/passwd", tmp_path / "renamed")
    assert (tmp_path / "renamed").read_text() == (tmp_path / "passwd").read_text()
    container.copy_out("/etc/.", tmp_path / "etc")
    assert (tmp_path / "etc" / "group").exists() and (tmp_path / "etc" / "group").stat().st_uid == os.geteuid()


def test_paths(container: Container) -> None:
    etc = container.path("/etc")
    assert "root" in (etc / "passwd").read_text() and etc.is_dir() and not etc.is_file()
    assert (etc / "motd").write_text("hello\n") == 6 and (etc / "motd").is_file()
    container.path("/srv/deep").mkdir(parents=True)
    (container.path("/srv/deep") / "data").write_bytes(b"\0\1")
    assert container.path("/srv/deep/data").read_bytes() == b"\0\1"
    container.path("/srv/deep/data").unlink()
    container.path("/srv/deep").rmdir()
    assert not container.path("/srv/deep").exists() and container.path("/srv").parent == container.path("/")
    assert container.path("/bin/sh").is_symlink() and container.path("/bin/sh").is_file()
    with pytest.raises(ck.NotFound, match="container box: /absent"):
        container.path("/absent").read_text()
    with pytest.raises(ck.ContainerkitError):
        etc.read_text()


def test_what_is_written_from_outside_is_seen_inside_and_stays(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", "sleep 60", tmpfs=["/run"])
    container.path("/run/note").write_text("in memory")
    assert container.exec("cat /run/note").stdout == "in memory"
    container.path("/note").write_text("on disk")
    container.stop(timeout=0)
    assert container.path("/note").read_text() == "on disk" and not container.path("/run/note").exists()
    assert container.start().exec("cat /note").stdout == "on disk"
    container.remove(force=True)


def test_export_is_an_image_again(engine: Engine, image: Image, tmp_path: Path) -> None:
    with engine.run(
        "busybox", ["sh", "-c", "echo mine >/made; ln /made /also; chown 33 /made; exec sleep 60"]
    ) as container:
        while not container.path("/also").exists():
            time.sleep(0.01)
        container.export(tmp_path / "running.tar")
        container.kill()
        container.export(tmp_path / "ended.tar")
    for name in ("running", "ended"):
        with tarfile.open(tmp_path / f"{name}.tar") as tar:
            found = {member.name: member for member in tar}
            assert found["made"].uid == 33 and {found["made"].islnk(), found["also"].islnk()} == {True, False}
            assert not any(path.startswith(("proc/", "dev/", "sys/")) for path in found), "what is mounted is left out"
        Image.import_(tmp_path / f"{name}.tar", tag=name, engine=engine)
        assert engine.call(name, ["sh", "-c", "cat /also; stat -c %h /made"]).stdout == "mine\n2\n"
    with pytest.raises(ck.NotFound, match="export to"):
        engine.create("busybox", "true", name="lost").export(tmp_path / "nosuch" / "file.tar")
