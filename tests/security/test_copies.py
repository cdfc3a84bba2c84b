"""A container that attacks whoever copies its files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image


@pytest.mark.parametrize("target", ["/etc/shadow", "/root", "../../../../etc/shadow"])
def test_links_lead_where_they_lead_inside(engine: Engine, image: Image, tmp_path: Path, target: str) -> None:
    with engine.run("busybox", ["sh", "-c", f"ln -s {target} /link; sleep 60"]) as container:
        while not container.path("/link").is_symlink():
            pass
        container.copy_out("/link", tmp_path / "copied")
        assert os.readlink(tmp_path / "copied") == target
        secret = tmp_path / "secret"
        secret.write_text("of the host")
        container.exec(f"ln -s {secret} /outside")
        with pytest.raises(ck.NotFound):
            container.path("/outside").read_text()
        with pytest.raises(ck.NotFound):
            container.path("/outside").write_text("from the container")
        assert secret.read_text() == "of the host"


def test_a_directory_that_is_swapped_for_a_link_while_copying_in(engine: Engine, image: Image, tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    source = tmp_path / "source"
    (source / "a" / "b").mkdir(parents=True)
    for number in range(20):
        (source / "a" / "b" / f"evil{number}").write_text("written")
    swap = f"while true; do mkdir -p /t/a/b; mv /t/a /t/x; ln -s {host} /t/a; rm /t/a; mv /t/x /t/a; rm -rf /t/x; done"
    with engine.run("busybox", ["sh", "-c", f"mkdir -p /t; {swap}"]) as container:
        for _ in range(200):
            try:
                container.copy_in(f"{source}/.", "/t")
            except ck.ContainerkitError:
                continue
        assert list(host.iterdir()) == []


def test_a_file_that_is_swapped_for_a_link_while_copying_out(engine: Engine, image: Image, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    swap = f"while true; do rm -rf /t/d; ln -s {tmp_path} /t/d; rm /t/d; mkdir /t/d; echo mine > /t/d/secret; done"
    with engine.run("busybox", ["sh", "-c", f"mkdir -p /t; {swap}"]) as container:
        for number in range(200):
            try:
                container.copy_out("/t", tmp_path / f"copy{number}")
                container.path("/t/d/secret").read_text()
            except ck.ContainerkitError:
                continue
        read = [path.read_text() for path in tmp_path.glob("copy*/d/secret") if not path.parent.is_symlink()]
        assert set(read) <= {"mine\n", ""}


def test_a_fifo_or_a_device_in_a_files_place_holds_nobody_up(engine: Engine, image: Image, tmp_path: Path) -> None:
    with engine.run("busybox", ["sh", "-c", "mkfifo /fifo; sleep 60"]) as container:
        while not container.path("/fifo").exists():
            pass
        with pytest.raises(ck.InvalidState, match="not a regular file"):
            container.path("/fifo").read_text()
        with pytest.raises(ck.ContainerkitError):
            container.path("/fifo").write_text("x")
        with pytest.raises(ck.InvalidState, match="not a regular file"):
            container.path("/dev/zero").read_bytes()
        container.copy_out("/fifo", tmp_path / "fifo")
