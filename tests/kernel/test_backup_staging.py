"""A tree as it is at one moment: what is changed between the copies and then is in it, and nothing from after."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerkit import InvalidState
from containerkit.backup.directory import Directory
from containerkit.backup.staging import staged
from containerkit.backup.unpack import unpack
from containerkit.backup.walk import glance
from containerkit.backup.write import About
from tests.backups import look, make_tree


def change(tree: Path) -> None:
    """All that somebody can change, in the last moment."""
    stays = os.stat(tree / "empty")
    with open(tree / "plain.txt", "r+b") as file:
        file.write(b"OTHER")
    (tree / "program").chmod(0o600)
    os.setxattr(tree / "empty", "user.new", b"1")
    os.utime(tree / "empty", ns=(stays.st_atime_ns, stays.st_mtime_ns))
    (tree / "hole").unlink()
    (tree / "new").write_text("new")
    os.link(tree / "sparse", tree / "a second name")
    (tree / "link").unlink()
    (tree / "link").symlink_to("elsewhere")
    (tree / "a directory" / "deeper").chmod(0o700)
    os.rename(tree / "fifo", tree / "pipe")


@pytest.mark.parametrize("is_incremental", [False, True])
def test_what_changes_in_the_last_moment_is_in_it(tmp_path: Path, is_incremental: bool) -> None:
    tree, space, then = make_tree(tmp_path / "tree"), tmp_path / "space", {}
    space.mkdir()
    time.sleep(0.05)
    with Directory(tmp_path / "b", create=True) as directory:
        if is_incremental:
            directory.add(tree, About("v"))
        last = directory.last("v")

        @contextlib.contextmanager
        def still() -> Iterator[None]:
            change(tree)
            then.update(look(tree))
            yield

        seen = staged(os.fspath(tree), space, still, last.earlier if last is not None else None)
        for path in tree.glob("*.txt"):
            path.write_text("from after")
        one, said = directory.add(seen, About("v"), last=last)
        (tmp_path / "back").mkdir()
        unpack(directory.reading(one), tmp_path / "back")
    assert look(tmp_path / "back") == then
    assert said.torn == [] and 0 < said.frozen_seconds < 60


def test_a_tree_that_is_replaced_meanwhile_is_an_error(tmp_path: Path) -> None:
    tree, space = make_tree(tmp_path / "tree"), tmp_path / "space"
    space.mkdir()

    @contextlib.contextmanager
    def still() -> Iterator[None]:
        tree.rename(tmp_path / "old")
        tree.mkdir()
        yield

    with pytest.raises(InvalidState, match=r"tree: was removed or replaced while it was read"):
        staged(os.fspath(tree), space, still)


def test_a_glance_has_the_bytes_of_a_walk(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    assert glance(tree) == sum(item.size for item in look(tree).values())
