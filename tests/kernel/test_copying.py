"""Containers where overlayfs is not to be had: their trees are copies. The store lies on an overlay, which is no place
for another's writable layer.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image
from containerkit.layers.flatten import flatten
from containerkit.layers.whiteouts import OPAQUE
from tests.engines import emptied
from tests.trees import facts


@pytest.fixture
def engine(nothing_is_left: None, tmp_path: Path) -> Iterator[Engine]:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, tmp_path / "merged"], check=True)
    try:
        with emptied(tmp_path / "merged" / "root", tmp_path / "run") as engine:
            yield engine
    finally:
        subprocess.run(["umount", tmp_path / "merged"], check=True)


def test_a_life_on_copies(engine: Engine, image: Image, tmp_path: Path) -> None:
    assert not engine.doctor()["writable layers"].ok
    assert engine.call("busybox", ["sh", "-c", "echo x >/etc/new; cat /etc/new"]).stdout == "x\n"
    script = "echo changed >>/etc/passwd; rm /bin/wc; mkdir /d; touch /d/f; exec sleep 60"
    with engine.run("busybox", ["sh", "-c", script], name="box", stop_timeout=0) as box:
        box.wait_for(ck.until.file("/d/f"))
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
    with pytest.raises(ck.RuntimeFailure, match="with other owners, for /: .* has no idmapped mounts"):
        engine.call("busybox", "true", userns="remap")


def test_a_commit_has_what_is_no_longer_as_it_was_copied(engine: Engine, busybox_tar: Path, tmp_path: Path) -> None:
    root = tmp_path / "root-of-image"
    root.mkdir()
    subprocess.run(["tar", "-xf", busybox_tar, "-C", root], check=True)
    for name in ("emptied/old", "gone/deep/file", "file", "directory/inner", "kept/inner", "same/as/before", "able"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    os.link(root / "kept/inner", root / "kept/other")
    (root / ("n" * 255)).write_text("x")
    Image.import_(root, tag="base", engine=engine)
    script = """
    rm -r /emptied; mkdir /emptied; touch /emptied/new; rm -r /gone; rm /file; mkdir /file; touch /file/inside
    rm -r /directory; ln -s etc /directory; ln /same/as/before /linked; chmod 700 /kept; rm /nnnn*; echo x >>/etc/passwd
    """
    box = engine.run("base", ["sh", "-c", script], name="box", tmpfs=["/a/place", "/etc/place"])
    assert box.wait(timeout=60) == 0, box.logs()
    upper = engine.store.snapshots.upper(box.id)
    os.setxattr(upper / "able", "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))
    box.path("/put").write_text("from outside")
    made = box.commit("app", message="copied")
    shutil.rmtree(upper / "a")
    os.rmdir(upper / "etc/place")
    for name in ("hostname", "hosts", "resolv.conf"):
        os.unlink(upper / "etc" / name)
    expected = facts(upper)
    for name in (".", "etc"):  # whose times the places for mounts have changed
        expected[name] = expected[name][:3]
    seen = facts(engine.store.snapshots.upper(made.create("true").id))
    for name in (".", "etc"):
        seen[name] = seen[name][:3]
    assert seen == expected and seen["linked"][-1] == seen["same/as/before"][-1] == "linked"
    listed = ["tar", "--zstd", "-tf", engine.store.blobs.path(made._record.layers[-1].digest)]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()
    assert sorted(names) == sorted([
        "./", ".wh.gone", ".wh." + "n" * 255, "able", "directory", "emptied/", "emptied/.wh.old", "emptied/new", "etc/",
        "etc/passwd", "file/", "file/inside", "kept/", "linked", "put", "same/", "same/as/", "same/as/before",
    ])  # fmt: skip
    assert engine.call("app", "cat /put").stdout == "from outside"


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
