"""What one image changes of another."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image
from containerkit.layers.diff import between
from containerkit.layers.stack import Directory
from containerkit.layers.whiteouts import OPAQUE

Make = Callable[[str, dict[str, str]], Image]


@pytest.fixture
def make(engine: Engine, tmp_path: Path) -> Make:
    """An image of these files, by path; all of one time."""

    def made(tag: str, files: dict[str, str]) -> Image:
        root = tmp_path / tag
        root.mkdir()
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        settle(root)
        return Image.import_(root, tag=tag, engine=engine)

    return made


def settle(root: Path) -> None:
    for directory, _, names in os.walk(root, topdown=False):
        for name in (*names, "."):
            os.utime(f"{directory}/{name}", (1_700_000_000, 1_700_000_000), follow_symlinks=False)


def lines(changes: list[ck.Change]) -> list[str]:
    return [str(change) for change in changes]


def test_what_was_added_to_a_base(engine: Engine, image: Image) -> None:
    script = "echo x >/new; rm /etc/group; rm -r /root; mkdir /root; touch /root/f; echo y >>/etc/passwd; mkdir -p /a/b"
    box = engine.run("busybox", ["sh", "-c", script], name="box")
    box.wait(timeout=60)
    app = box.commit("app")
    assert image.diff(app) == image.diff("app") == box.diff()
    assert lines(image.diff(app)) == [
        "A /a", "A /a/b", "C /etc", "D /etc/group", "C /etc/passwd", "A /new", "C /root", "A /root/f",
    ]  # fmt: skip
    # The other way, what is missing there.
    assert lines(app.diff(image)) == [
        "D /a", "C /etc", "A /etc/group", "C /etc/passwd", "D /new", "C /root", "D /root/f",
    ]  # fmt: skip
    assert image.diff(image) == app.diff(app) == []


def test_images_without_a_common_layer(make: Make) -> None:
    one = make("one", {"same": "same", "size": "1", "content": "one", "kind": "file", "gone/a/b": "x", "d/kept": "x"})
    two = make("two", {"same": "same", "size": "22", "content": "two", "kind/x": "in it", "d/kept": "x", "d/new": "x"})
    assert lines(one.diff(two)) == ["C /content", "A /d/new", "D /gone", "C /kind", "A /kind/x", "C /size"]
    assert lines(two.diff(one)) == [
        "C /content",
        "D /d/new",
        "A /gone",
        "A /gone/a",
        "A /gone/a/b",
        "C /kind",
        "C /size",
    ]


def test_everything_about_a_file_counts(engine: Engine, make: Make, tmp_path: Path) -> None:
    names = ("mode", "owner", "time", "attribute", "target", "untouched")
    make("one", dict.fromkeys(names, "text"))
    root = tmp_path / "one"
    (root / "target").unlink()
    (root / "target").symlink_to("here")
    settle(root)
    one = Image.import_(root, engine=engine)
    (root / "target").unlink()
    (root / "target").symlink_to("else")
    (root / "mode").chmod(0o600)
    os.chown(root / "owner", 33, 44)
    os.setxattr(root / "attribute", "user.note", b"x")
    settle(root)
    os.utime(root / "time", (1, 1))
    two = Image.import_(root, engine=engine)
    assert lines(one.diff(two)) == ["C /attribute", "C /mode", "C /owner", "C /target", "C /time"]


def test_whiteouts_and_opaque_directories_in_any_layer(tmp_path: Path) -> None:
    """What the kernel makes of a stack is what is compared."""
    low, middle, top = (tmp_path / name for name in ("low", "middle", "top"))
    for path in ("a/x", "a/y", "b/x", "c/d/e", "f/x", "g/deep/x"):
        (low / path).parent.mkdir(parents=True, exist_ok=True)
        (low / path).write_text(path)
    for path in ("a", "c/d", "f", "g/deep"):
        (middle / path).mkdir(parents=True)
    os.mknod(middle / "a/x", 0o020000, 0)
    os.mknod(middle / "b", 0o020000, 0)
    os.setxattr(middle / "c/d", OPAQUE[False], b"y")
    (middle / "c/d/new").write_text("new")
    for path in ("a", "b", "c/d", "f", "g"):
        (top / path).mkdir(parents=True)
    (top / "b/again").write_text("again")
    os.mknod(top / "g/deep", 0o020000, 0)
    (top / "f").rmdir()
    (top / "f").write_text("a file now")
    for root in (low, middle, top):
        settle(root)
    assert lines(between([low], [middle, low])) == ["D /a/x", "D /b", "D /c/d/e", "A /c/d/new"]
    assert lines(between([middle, low], [top, middle, low])) == [
        "A /b", "A /b/again", "C /f", "D /g/deep",
    ]  # fmt: skip
    assert lines(between([low], [top, middle, low])) == [
        "D /a/x", "A /b/again", "D /b/x", "D /c/d/e", "A /c/d/new", "C /f", "D /g/deep",
    ]  # fmt: skip
    assert lines(between([top, middle, low], [])) == ["D /a", "D /b", "D /c", "D /f", "D /g"]


def test_what_both_have_from_the_same_layers_is_not_looked_at(
    engine: Engine, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = engine.create("busybox", "true", name="box")
    box.path("/etc/motd").write_text("x")
    app = box.commit("app")
    looked_at = set()
    children = Directory.children

    def watched(self: Directory) -> object:
        looked_at.add(self.path)
        return children(self)

    monkeypatch.setattr(Directory, "children", watched)
    assert lines(image.diff(app)) == ["C /etc", "A /etc/motd"]
    assert looked_at == {"", "etc"}


def test_an_absent_image_is_not_compared(engine: Engine, image: Image) -> None:
    with pytest.raises(ck.NotFound, match="image nosuch: not found locally"):
        image.diff("nosuch")
