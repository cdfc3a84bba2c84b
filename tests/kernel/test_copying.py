"""Containers where overlayfs is not to be had: their trees are copies. The store lies on an overlay, which is no place
for another's writable layer.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image
from containerkit.layers.apply import OPAQUE
from containerkit.layers.flatten import flatten
from tests.trees import facts


@pytest.fixture
def engine(nothing_is_left: None, tmp_path: Path) -> Iterator[Engine]:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, tmp_path / "merged"], check=True)
    engine = Engine(root=tmp_path / "merged" / "root", run=tmp_path / "run")
    try:
        yield engine
        for container in engine.containers:
            container.remove(force=True)
    finally:
        engine.close()
        subprocess.run(["umount", tmp_path / "merged"], check=True)


def test_a_life_on_copies(engine: Engine, image: Image, tmp_path: Path) -> None:
    assert not engine.doctor()["writable layers"].ok
    assert engine.call("busybox", ["sh", "-c", "echo x >/etc/new; cat /etc/new"]).stdout == "x\n"
    script = "echo changed >>/etc/passwd; rm /bin/wc; mkdir /d; touch /d/f; exec sleep 60"
    with engine.run("busybox", ["sh", "-c", script], name="box", stop_timeout=0) as box:
        assert box.exec("cat /d/f")
        assert [step.operation for step in box.explain() if "ootfs" in step.operation] == ["BindRootfs"]
        wanted = ["C /bin", "D /bin/wc", "A /d", "A /d/f", "C /etc/passwd"]
        assert [line for line in map(str, box.diff()) if line in wanted] == wanted
        box.path("/d/more").write_text("more")
        box.restart()
        assert box.exec("cat /d/more").stdout == "more"
        box.stop()
        assert box.path("/d/more").read_text() == "more"
    assert engine.call("busybox", "id -u", user="web").stdout == "33\n"
    # This file system shows no other owners: that is said, and nothing is left.
    with pytest.raises(ck.RuntimeFailure, match="with other owners, for /: invalid argument"):
        engine.call("busybox", "true", userns="remap")


def test_layers_come_to_what_overlayfs_makes_of_them(engine: Engine, tmp_path: Path, busybox_tar: Path) -> None:
    with tarfile.open(busybox_tar) as tar:
        tar.extractall(tmp_path / "one", filter="tar")
    for path in ("kept/file", "gone/file", "emptied/old", "a_file", "a_directory/inner"):
        (tmp_path / "one" / path).parent.mkdir(exist_ok=True)
        (tmp_path / "one" / path).write_text(path)
    two = tmp_path / "two"
    for path in ("emptied/new", "a_file/now_a_directory", "kept/more"):
        (two / path).parent.mkdir(parents=True, exist_ok=True)
        (two / path).write_text(path)
    (two / "a_directory").symlink_to("kept")
    (two / "kept").chmod(0o700)
    layers = [tmp_path / "one", two]
    os.mknod(two / "gone", 0o020000, 0)
    os.setxattr(two / "emptied", OPAQUE[False], b"y")
    (tmp_path / "flat").mkdir()
    flatten(layers, tmp_path / "flat")
    for name in ("u", "w", "m"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={two}:{tmp_path}/one,upperdir={tmp_path}/u,workdir={tmp_path}/w"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, tmp_path / "m"], check=True)
    try:
        copied, stacked = facts(tmp_path / "flat"), facts(tmp_path / "m")
        # The time of the root itself is that of the writable layer.
        assert copied.pop(".")[:3] == stacked.pop(".")[:3] and copied == stacked
    finally:
        subprocess.run(["umount", tmp_path / "m"], check=True)
