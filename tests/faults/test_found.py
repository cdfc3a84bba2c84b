"""What hitting operations has found: each by itself, as it was."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image, Volume


def opened_anew(engine: Engine) -> Engine:
    """As another process opens it."""
    return Engine(engine.paths.root, engine.paths.run)


def test_a_sized_volume_whose_maker_was_killed_keeps_nobody_out(engine: Engine) -> None:
    Volume.create("disk", options={"size": "2m"}, engine=engine)
    shutil.rmtree(engine.paths.volumes / "disk")  # its row comes before its directory
    again = opened_anew(engine)
    with again.volumes["disk"].mounted() as path:
        Path(path, "file").write_text("written")
    assert again.volumes["disk"].remove() and not again.volumes
    again.close()


def test_a_container_whose_remover_was_killed_is_pruned(engine: Engine, image: Image) -> None:
    for name in ("half", "whole"):
        engine.create("busybox", "true", name=name)
    shutil.rmtree(engine.paths.containers / engine.containers["half"].id)  # its files go before its row
    assert set(engine.prune().containers) == {"half", "whole"}


def test_a_half_removed_container_is_gone_for_who_comes_next(engine: Engine, image: Image) -> None:
    engine.create("busybox", "true", name="half", volumes=["/data"])
    shutil.rmtree(engine.paths.containers / engine.containers["half"].id)
    again = opened_anew(engine)
    assert not again.containers and len(again.volumes) == 1  # nobody has said that its volume goes, too
    again.close()


def test_what_a_killed_save_has_left_goes_with_the_next(image: Image, tmp_path: Path) -> None:
    left, written = tmp_path / "a.tar.0123abcd.part", tmp_path / "a.tar.4567abcd.part"
    for path in (left, written, tmp_path / "b.tar.0123abcd.part"):
        path.write_bytes(b"half of it")
    with written.open() as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)  # it lives
        image.save(tmp_path / "a.tar", progress=False)
    assert not left.exists() and written.exists()
    assert (tmp_path / "b.tar.0123abcd.part").exists(), "another file's"


def test_an_index_that_cannot_be_written_is_named(engine: Engine, image: Image) -> None:
    index = engine.paths.root / "index.json"
    index.unlink()
    index.mkdir()
    for work in (lambda: image.tag("other"), lambda: engine.prune(all=True)):
        with pytest.raises(ck.ContainerkitError, match="^images?[ :].*: is a directory"):
            work()
    assert [one.tags for one in engine.images] == [("busybox:latest",)]
    index.rmdir()
    assert image.tag("other").tags == ("busybox:latest", "other:latest")


def test_a_download_from_the_future_is_pruned(engine: Engine) -> None:
    assert not list(engine.images)
    path = engine.paths.downloads / ("0" * 64)
    path.write_bytes(b"half a layer")
    os.utime(path, (time.time() + 3600,) * 2)  # the clock was set back
    engine.prune(all=True)
    assert not path.exists()
