"""COPY and ADD: which files a layer gets, and where, over the layers below. Docker's builders give the same."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import pickle
import socket
import stat
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import zstandard

from containerkit.builder.context import Source, open_context
from containerkit.builder.copying import Copying, plan
from containerkit.builder.sources import Request
from containerkit.builder.tree import Layers, Tree
from containerkit.errors import BuildError, ContainerkitError, InvalidArgument, InvalidState, NotFound, Unsupported
from containerkit.layers import tar as ours
from containerkit.layers.apply import apply
from containerkit.store.ingest import write_layer
from tests.tars import info, tar

DIRECTORY, LINK, HARDLINK = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
NOTE = {"SCHILY.xattr.user.note": "hers"}

BASE = tar(
    info("./", DIRECTORY, mode=0o711, uid=1, gid=2, mtime=9),
    info("etc", DIRECTORY, mode=0o755),
    (info("etc/passwd"), b"root:x:0:0::/:\napp:x:100:101::/:\n"),
    (info("etc/group"), b"app:x:101:\nstaff:x:50:\n"),
    info("there", DIRECTORY, mode=0o700, uid=5, gid=6, mtime=1000, pax_headers=NOTE),
    info("there/sub", DIRECTORY, mode=0o711, uid=6, gid=6, mtime=1000, pax_headers=NOTE),
    (info("there/old", mode=0o600, uid=6, gid=7, mtime=1000), b"old"),
    info("link", LINK, linkname="there"),
    info("absolute", LINK, linkname="/there"),
    info("dangling", LINK, linkname="/nowhere/deep"),
    (info("file", mode=0o600, uid=6), b"x"),
    info("tofile", LINK, linkname="/file"),
    info("one", LINK, linkname="two"),
    info("two", LINK, linkname="one"),
    (info("owned", uid=9, gid=10, mode=0o4755, mtime=3, pax_headers=NOTE), b"owned"),
)  # fmt: skip

Lines = dict[str, str]


class Bench:
    """A context, the layers below, and what a copy onto them gives."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.context = place / "context"
        self.workspace = place / "workspace"
        self.base = place / "base"
        for directory in (self.context, self.workspace, self.base):
            directory.mkdir()
        apply(ours.Reader(io.BytesIO(BASE), "base"), self.base, "base")
        self.layers: list[Path] = [self.base]
        self._count = 0

    def file(self, name: str, content: str | bytes = "x", mode: int = 0o644, mtime: int = 2000) -> Path:
        path = self.context / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        os.utime(path, (mtime, mtime))
        return path

    def plan(self, words: str, source: Source | Tree = None, epoch: int | None = None, **more: object) -> Copying:
        *sources, destination = words.split(" ")
        tree = source if isinstance(source, Tree) else open_context(source or self.context, self.workspace)
        request = Request(tuple(sources), destination, **more)  # type: ignore[arg-type] # as the tests say
        return plan(request, tree, self.layers, self.workspace, epoch=epoch)

    def write(self, copying: Copying) -> Path:
        self._count += 1
        space = self.place / f"space-{self._count}"
        write_layer(str(space), copying.write)
        return space / "fs"

    def copy(self, words: str, source: Source | Tree = None, **more: object) -> Lines:
        """The layer: by name, mode, owner, and content or what a link says."""
        return lines(self.write(self.plan(words, source, **more)))  # type: ignore[arg-type] # as the tests say

    def of_image(self, words: str, **more: object) -> Lines:
        return self.copy(words, Layers(self.layers, "image base"), **more)


def lines(root: Path) -> Lines:
    found = {}
    for directory, directories, files in os.walk(root):
        for name in [*directories, *files]:
            path = Path(directory, name)
            found[str(path.relative_to(root))] = line(path)
    return dict(sorted(found.items()))


def line(path: Path) -> str:
    status = path.lstat()
    kind = stat.filemode(status.st_mode)[0]
    words = [f"{kind}{stat.S_IMODE(status.st_mode):o} {status.st_uid}:{status.st_gid}"]
    if path.is_symlink():
        words = [f"-> {os.readlink(path)}"]
    elif path.is_file():
        words.append(path.read_text(errors="replace"))
    return " ".join(words)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


THERE = "d700 5:6"


# -- destinations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "more", "expected"), [
    ("f /new", {}, {"new": "-640 0:0 f"}),
    ("f /new/", {}, {"new": "d755 0:0", "new/f": "-640 0:0 f"}),
    ("f new", {"workdir": "/a/b"}, {"a": "d755 0:0", "a/b": "d755 0:0", "a/b/new": "-640 0:0 f"}),
    ("f .", {"workdir": "/a"}, {"a": "d755 0:0", "a/f": "-640 0:0 f"}),
    ("f ..", {"workdir": "/a/b"}, {"a": "d755 0:0", "a/f": "-640 0:0 f"}),
    ("f ../x", {"workdir": "/a/b"}, {"a": "d755 0:0", "a/x": "-640 0:0 f"}),
    ("f ../../../x", {"workdir": "/a"}, {"x": "-640 0:0 f"}),
    ("f /there", {}, {"there": THERE, "there/f": "-640 0:0 f"}),
    ("f /there/", {}, {"there": THERE, "there/f": "-640 0:0 f"}),
    ("f /file", {}, {"file": "-640 0:0 f"}),
    ("f /link/", {}, {"there": THERE, "there/f": "-640 0:0 f"}),
    ("f /link", {}, {"there": THERE, "there/f": "-640 0:0 f"}),
    ("f /absolute/", {}, {"there": THERE, "there/f": "-640 0:0 f"}),
    ("f /link/new/x", {}, {"there": THERE, "there/new": "d755 0:0", "there/new/x": "-640 0:0 f"}),
    ("f /link/../x", {}, {"x": "-640 0:0 f"}),
    ("f /dangling", {}, {"nowhere": "d755 0:0", "nowhere/deep": "-640 0:0 f"}),
    ("f /dangling/", {}, {"nowhere": "d755 0:0", "nowhere/deep": "d755 0:0", "nowhere/deep/f": "-640 0:0 f"}),
    ("f /tofile", {}, {"file": "-640 0:0 f"}),
    ("f d /new/", {}, {"new": "d755 0:0", "new/f": "-640 0:0 f", "new/h": "-644 0:0 h",
                       "new/sub": "d750 0:0", "new/sub/g": "-644 0:0 g"}),
    ("d f /new", {}, {"new": "d755 0:0", "new/f": "-640 0:0 f", "new/h": "-644 0:0 h",
                      "new/sub": "d750 0:0", "new/sub/g": "-644 0:0 g"}),
    ("d /there", {}, {"there": THERE, "there/h": "-644 0:0 h", "there/sub": "d750 0:0", "there/sub/g": "-644 0:0 g"}),
    ("d /", {}, {"h": "-644 0:0 h", "sub": "d750 0:0", "sub/g": "-644 0:0 g"}),
    ("d/sub /there", {}, {"there": THERE, "there/g": "-644 0:0 g"}),
    ("empty /new", {}, {"new": "d755 0:0"}),
    ("links /", {}, {"link": "-> other"}),
])  # fmt: skip
def test_files_go_where_docker_puts_them(bench: Bench, words: str, more: dict[str, Any], expected: Lines) -> None:
    fill(bench)
    assert bench.copy(words, **more) == expected


def fill(bench: Bench) -> None:
    bench.file("f", "f", 0o640)
    os.chown(bench.context / "f", 3, 4)
    bench.file("d/h", "h")
    bench.file("d/sub/g", "g")
    (bench.context / "d").chmod(0o700)
    (bench.context / "d/sub").chmod(0o750)
    (bench.context / "empty").mkdir()
    (bench.context / "links").mkdir()
    (bench.context / "links/link").symlink_to("other")
    bench.file("file-over-dir/there", "now a file")
    bench.file("dir-over-file/file/x", "x")
    bench.file("dir-over-link/link/x", "x")
    (bench.context / "link-over-dir").mkdir()
    (bench.context / "link-over-dir/there").symlink_to("other")


@pytest.mark.parametrize(("words", "message"), [
    ("d /file", "destination /file: a file, not a directory"),
    ("f /file/", "destination /file: a file, not a directory"),
    ("f /file/x", "destination /file: a file, not a directory"),
    ("f /one/x", "destination /one/x: too many links"),
    ("file-over-dir /", "destination /there: a directory, which a file cannot take the place of"),
    ("dir-over-file /", "destination /file: a file, which a directory cannot take the place of"),
    ("dir-over-link /", "destination /link: a link, which a directory cannot take the place of"),
    ("link-over-dir /", "destination /there: a directory, which a link cannot take the place of"),
    ("f d/h /new", "destination /new: more than one file goes there"),
    ("d/* /new", "destination /new: a file, not a directory"),
])  # fmt: skip
def test_what_cannot_take_the_place_of_what_is_there_is_refused(bench: Bench, words: str, message: str) -> None:
    fill(bench)
    with pytest.raises(InvalidArgument, match=message):
        bench.write(bench.plan(words))


def test_directories_that_are_there_stay_as_they_are(bench: Bench) -> None:
    fill(bench)
    root = bench.write(bench.plan("d /there"))
    assert (root / "there").stat().st_mtime == 1000
    assert os.getxattr(root / "there", "user.note") == b"hers"
    assert os.getxattr(root / "there/sub", "user.note") == b"hers"
    assert (root.stat().st_mode & 0o7777, root.stat().st_uid, root.stat().st_mtime) == (0o711, 1, 9)


def test_a_layer_is_the_same_each_time(bench: Bench) -> None:
    fill(bench)
    first = write_layer(str(bench.place / "a"), bench.plan("d f /new/x/").write)
    second = write_layer(str(bench.place / "b"), bench.plan("d f /new/x/").write)
    assert first.descriptor == second.descriptor


def test_later_times_become_the_epoch(bench: Bench) -> None:
    bench.file("early", mtime=500)
    bench.file("late", mtime=2000)
    root = bench.write(bench.plan("early late /new/", epoch=1000))
    times = {path.name: path.stat().st_mtime for path in root.rglob("*")}
    assert times == {"new": 1000, "early": 500, "late": 1000}


# -- sources ---------------------------------------------------------------------------------------------------------


def test_a_link_that_is_a_source_is_followed_inside_the_context(bench: Bench) -> None:
    fill(bench)
    for name, target in (("lf", "f"), ("ld", "d"), ("up", "../../f"), ("abs", "/d/h"), ("out", "/etc/hostname")):
        (bench.context / name).symlink_to(target)
    (bench.context / "d/back").symlink_to("/f")
    assert bench.copy("lf /got") == {"got": "-640 0:0 f"}
    assert bench.copy("d/back /got") == {"got": "-640 0:0 f"}
    assert bench.copy("lf /got/") == {"got": "d755 0:0", "got/lf": "-640 0:0 f"}
    assert bench.copy("up /got") == {"got": "-640 0:0 f"}
    assert bench.copy("abs /got") == {"got": "-644 0:0 h"}
    assert bench.copy("ld/h /got") == {"got": "-644 0:0 h"}
    assert bench.copy("ld /got") == bench.copy("d /got")
    with pytest.raises(NotFound, match=r"source out: a link to /etc/hostname, which is not in the context"):
        bench.plan("out /got")


def test_a_wildcard_may_match_nothing_beside_others(bench: Bench) -> None:
    bench.file("setup.py")
    assert set(bench.copy("setup.py lock* ./", workdir="/a")) == {"a", "a/setup.py"}
    with pytest.raises(NotFound, match=r"source lock\* more\?: nothing in the context matches"):
        bench.plan("lock* more? /a/")


def test_wildcards_take_files_and_the_content_of_directories(bench: Bench) -> None:
    for name in ("w/a.txt", "w/b.txt", "w/sub/c.txt", "v/a.txt"):
        bench.file(name)
    assert set(bench.copy("w/* /got/")) == {"got", "got/a.txt", "got/b.txt", "got/c.txt"}
    assert set(bench.copy("*/a.txt /got/")) == {"got", "got/a.txt"}
    assert set(bench.copy("w/[!b].txt v/?.txt /got/")) == {"got", "got/a.txt", "got/b.txt"}


def test_sources_that_are_not_there(bench: Bench) -> None:
    bench.file("src/application.py")
    bench.file("secret")
    bench.file(".dockerignore", "# nobody\nsecret\n")
    with pytest.raises(
        NotFound, match=r"source src/aplication.py: not in the context \(did you mean src/application.py"
    ):
        bench.plan("src/aplication.py /x")
    with pytest.raises(NotFound, match=r"source secret: left out by .dockerignore, line 2 \(secret\)"):
        bench.plan("secret /x")


def test_everything_a_context_can_hold(bench: Bench) -> None:
    context = bench.context
    odd = os.fsdecode(b"not-utf8-\xff and spaces\n")
    bench.file("a", "a", 0o4755)
    os.link(context / "a", context / "b")
    os.setxattr(context / "a", "user.note", b"mine")
    (context / odd).write_text("odd")
    os.mkfifo(context / "fifo", 0o640)
    os.mknod(context / "null", stat.S_IFCHR, os.makedev(1, 3))
    (context / "null").chmod(0o666)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(context / "socket"))
    root = bench.write(bench.plan(". /new"))
    found = lines(root)
    assert set(found) == {"new", "new/a", "new/b", f"new/{odd}", "new/fifo", "new/null"}
    assert (found["new/a"], found["new/fifo"], found["new/null"]) == ("-4755 0:0 a", "p640 0:0", "c666 0:0")
    assert os.path.samefile(root / "new/a", root / "new/b")
    assert os.listxattr(root / "new/a") == []
    with pytest.raises(InvalidArgument, match="source socket: a socket"):
        bench.plan("socket /x")
    assert set(bench.copy("[as]* /x/")) == {"x", "x/a"}


def test_names_that_only_deletions_have_are_refused(bench: Bench) -> None:
    bench.file("d/.wh.x")
    with pytest.raises(InvalidArgument, match=r"\.wh\. is a deletion"):
        bench.write(bench.plan("d /"))


def test_a_file_that_changes_between_plan_and_layer_is_refused(bench: Bench) -> None:
    bench.file("d/f", "before")
    copying = bench.plan("d /new")
    bench.file("d/f", "after!")
    with pytest.raises(InvalidState, match="file d/f: changed while the context was read"):
        bench.write(copying)


def test_holes_stay_holes(bench: Bench) -> None:
    with open(bench.context / "big", "wb") as file:
        file.truncate(300 << 20)
    root = bench.write(bench.plan("big /"))
    assert (root / "big").stat().st_size == 300 << 20
    assert (root / "big").stat().st_blocks < 1000


def test_a_plan_goes_to_another_process(bench: Bench) -> None:
    fill(bench)
    copying = pickle.loads(pickle.dumps(bench.plan("d f /new/", chmod="u+x")))
    assert lines(bench.write(copying)) == bench.copy("d f /new/", chmod="u+x")


# -- images and stages -----------------------------------------------------------------------------------------------


def test_files_of_an_image_keep_owners_and_attributes(bench: Bench) -> None:
    assert bench.of_image("/owned /new") == {"new": "-4755 9:10 owned"}
    assert bench.of_image("/there /cp") == {"cp": "d755 0:0", "cp/old": "-600 6:7 old", "cp/sub": "d711 6:6"}
    assert bench.of_image("/absolute/old /got") == {"got": "-600 6:7 old"}
    assert bench.of_image("/there /cp", chown="1:2") == {
        "cp": "d755 1:2",
        "cp/old": "-600 1:2 old",
        "cp/sub": "d711 1:2",
    }
    root = bench.write(bench.plan("/owned /new", Layers(bench.layers, "image base")))
    assert os.getxattr(root / "new", "user.note") == b"hers"
    with pytest.raises(NotFound, match="source /ownd: not in image base .did you mean owned"):
        bench.of_image("/ownd /x")


def test_an_image_is_what_its_layers_come_to(bench: Bench, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    members = (
        info(".wh.file"),
        info("there", DIRECTORY, mode=0o755),
        info("there/.wh.old"),
        (info("there/new"), b"new"),
    )
    apply(ours.Reader(io.BytesIO(tar(*members)), "upper"), upper, "upper", [bench.base])
    bench.layers.insert(0, upper)
    assert set(bench.of_image("/there /cp")) == {"cp", "cp/new", "cp/sub"}
    with pytest.raises(NotFound):
        bench.of_image("/file /cp")
    assert bench.copy("f /there", {"f": "f"}) == {"there": "d755 0:0", "there/f": "-644 0:0 f"}
    assert bench.copy("f /file/f", {"f": "f"}) == {"file": "d755 0:0", "file/f": "-644 0:0 f"}


def test_onto_nothing(bench: Bench) -> None:
    bench.layers = []
    assert bench.copy("f /link/", {"f": "f"}, chown="7:8") == {"link": "d755 7:8", "link/f": "-644 7:8 f"}
    with pytest.raises(InvalidArgument, match=r"--chown=app: user app: not in"):
        bench.copy("f /link/", {"f": "f"}, chown="app")


# -- flags -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chown", "expected"), [
    ("app", "100:101"), ("app:staff", "100:50"), ("77", "77:77"), ("100", "100:100"), ("7:8", "7:8"),
    ("app:9", "100:9"),
])  # fmt: skip
def test_chown_is_for_files_and_the_directories_that_are_made(bench: Bench, chown: str, expected: str) -> None:
    fill(bench)
    found = bench.copy("d /x/y", chown=chown)
    assert {text.split(" ")[1] for text in found.values()} == {expected}
    assert set(found) == {"x", "x/y", "x/y/h", "x/y/sub", "x/y/sub/g"}


@pytest.mark.parametrize("chown", ["nobody", "app:nogroup", "app:", ":nogroup"])
def test_chown_to_nobody_is_an_error(bench: Bench, chown: str) -> None:
    fill(bench)
    with pytest.raises(InvalidArgument, match=f"--chown={chown}: "):
        bench.write(bench.plan("f /x", chown=chown))


@pytest.mark.parametrize(("chmod", "file", "program", "directory"), [
    ("601", "601", "601", "601"), ("4755", "4755", "4755", "4755"), ("0", "0", "0", "0"),
    ("u+x", "740", "755", "750"), ("u+x,go-w", "740", "755", "750"), ("+x", "751", "755", "751"),
    ("a=rX", "444", "555", "555"), ("u=rwX,go=rX", "644", "755", "755"), ("g=u", "660", "775", "770"),
    ("o=g", "644", "755", "755"), ("u+s,+t", "5640", "5755", "5750"), ("go=", "600", "700", "700"),
])  # fmt: skip
def test_chmod(bench: Bench, chmod: str, file: str, program: str, directory: str) -> None:
    bench.file("d/f", "", 0o640)
    bench.file("d/p", "", 0o755)
    (bench.context / "d/s").mkdir()
    (bench.context / "d/s").chmod(0o750)
    (bench.context / "d/l").symlink_to("f")
    found = bench.copy("d /x/y", chmod=chmod)
    assert [found[f"x/y/{name}"].split(" ")[0][1:] for name in "fps"] == [file, program, directory]
    # What is only made on the way has what it always has.
    assert (found["x"], found["x/y"], found["x/y/l"]) == ("d755 0:0", "d755 0:0", "-> f")


@pytest.mark.parametrize("chmod", ["8", "17777", "u+y", "rwx", "u+x,", "-"])
def test_a_bad_mode_is_refused(bench: Bench, chmod: str) -> None:
    fill(bench)
    if chmod == "-":
        assert bench.copy("f /x", chmod=chmod)["x"] == "-640 0:0 f"
        return
    with pytest.raises(InvalidArgument, match="--chmod="):
        bench.plan("f /x", chmod=chmod)


def test_parents_keeps_the_directories_of_sources(bench: Bench) -> None:
    for name in ("x/a.txt", "y/a.txt", "x/z/b.txt", "x/z/c.md"):
        bench.file(name)
    (bench.context / "x").chmod(0o710)
    (bench.context / "y/l").symlink_to("a.txt")
    found = bench.copy("./x/a.txt ./y/a.txt /p/", parents=True)
    assert found == {"p": "d755 0:0", "p/x": "d710 0:0", "p/x/a.txt": "-644 0:0 x", "p/y": "d755 0:0",
                     "p/y/a.txt": "-644 0:0 x"}  # fmt: skip
    assert set(bench.copy("./x/./z/*.txt /p/", parents=True)) == {"p", "p/z", "p/z/b.txt"}
    assert set(bench.copy("**/*.txt /p/", parents=True)) == {
        "p", "p/x", "p/x/a.txt", "p/x/z", "p/x/z/b.txt", "p/y", "p/y/a.txt",
    }  # fmt: skip
    assert set(bench.copy("x/z /p", parents=True)) == {"p", "p/x", "p/x/z", "p/x/z/b.txt", "p/x/z/c.md"}
    assert set(bench.copy("x/z /p", parents=True, exclude=("**/*.md",))) == {"p", "p/x", "p/x/z", "p/x/z/b.txt"}
    assert bench.copy("y/l /p", parents=True)["p/y/l"] == "-> a.txt"
    with pytest.raises(NotFound, match=r"source x/q.txt: not in the context"):
        bench.plan("x/q.txt /p/", parents=True)
    assert bench.of_image("/there/./old /cp/", parents=True) == {"cp": "d755 0:0", "cp/old": "-600 6:7 old"}


def test_parents_leaves_directories_of_the_image_alone(bench: Bench) -> None:
    bench.file("there/f")
    assert bench.copy("there/f /", parents=True) == {"there": THERE, "there/f": "-644 0:0 x"}
    assert bench.copy("there /", parents=True) == {"there": "d755 0:0", "there/f": "-644 0:0 x"}


def test_exclude_leaves_files_out(bench: Bench) -> None:
    for name in ("home.txt", "home.md", "d/a.txt", "d/a.md", "d/sub/b.txt", "d/sub/keep.txt"):
        bench.file(name)
    assert set(bench.copy("home* /x/", exclude=("*.txt",))) == {"x", "x/home.md"}
    assert set(bench.copy("d /x/", exclude=("*.txt",))) == {"x", "x/a.md", "x/sub", "x/sub/b.txt", "x/sub/keep.txt"}
    assert set(bench.copy("d /x/", exclude=("**/*.txt", "*.md"))) == {"x", "x/sub"}
    assert set(bench.copy("d /x/", exclude=("sub", "!sub/keep.txt"))) == {
        "x",
        "x/a.md",
        "x/a.txt",
        "x/sub",
        "x/sub/keep.txt",
    }
    with pytest.raises(InvalidArgument, match=r"pattern \[: not a pattern"):
        bench.plan("d /x", exclude=("[",))


def test_what_is_written_in_the_dockerfile(bench: Bench) -> None:
    fill(bench)
    copying = bench.plan("/new", inline=(("EOF", b"hello"),))
    assert lines(bench.write(copying)) == {"new": "-644 0:0 hello"}
    assert list(copying.inputs) == ["inline EOF"]
    assert set(bench.copy("f /n/", inline=(("a", b"1"), ("b", b"2")))) == {"n", "n/f", "n/a", "n/b"}


# -- inputs ----------------------------------------------------------------------------------------------------------


def test_inputs_tell_which_file_has_changed(bench: Bench) -> None:
    fill(bench)

    def inputs(**more: object) -> dict[str, str]:
        return dict(bench.plan("d f /new/", **more).inputs)  # type: ignore[arg-type] # as the test says

    def changed(before: dict[str, str]) -> set[str]:
        now = inputs()
        return {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}

    before = inputs()
    assert list(before) == ["directory d", "file d/h", "file d/sub/", "file d/sub/g", "file f"]
    os.utime(bench.context / "f", (9, 9))
    os.chown(bench.context / "f", 9, 9)
    (bench.context / "d").chmod(0o755)
    assert changed(before) == set()
    bench.file("d/h", "H")
    assert changed(before) == {"file d/h"}
    (bench.context / "f").chmod(0o600)
    (bench.context / "d/sub/g").unlink()
    assert changed(before) == {"file d/h", "file f", "file d/sub/g"}
    (bench.context / "ln-a").symlink_to("f")
    with_link = bench.plan("ln-* /new/").inputs
    (bench.context / "ln-a").rename(bench.context / "ln-b")
    assert (list(with_link), list(bench.plan("ln-* /new/").inputs)) == (["file ln-a"], ["file ln-b"])
    of_image = bench.plan("/owned /x", Layers(bench.layers, "image")).inputs
    os.chown(bench.base / "owned", 1, 1)
    (bench.base / "owned").chmod(0o4755)  # which chown(2) has taken away
    assert bench.plan("/owned /x", Layers(bench.layers, "image")).inputs != of_image


def test_inputs_of_many_files_are_folded(bench: Bench) -> None:
    many = {f"lib/{number}": str(number) for number in range(3000)}
    before = bench.plan(". /x", {**many, "top": "t", "src/a": "a"}).inputs
    assert set(before) == {"directory .", "file top", "files in lib", "files in src"}
    after = bench.plan(". /x", {**many, "top": "t", "src/a": "a", "lib/77": "another"}).inputs
    assert {name for name in before if before[name] != after[name]} == {"files in lib"}


# -- ADD -------------------------------------------------------------------------------------------------------------

ARCHIVE = tar(
    info("q", DIRECTORY, mode=0o711, uid=11, gid=12),
    (info("q/r", mode=0o600, uid=11, gid=12, mtime=777, pax_headers=NOTE), b"r"),
    info("q/other", HARDLINK, linkname="q/r", mode=0o600, uid=11, gid=12, mtime=777),
    info("q/aaa", HARDLINK, linkname="q/r", mode=0o600, uid=11, gid=12, mtime=777),
    info("q/link", LINK, linkname="r"),
    (info("implied/x"), b"x"),
)
UNPACKED = {"q": "d711 11:12", "q/aaa": "-600 11:12 r", "q/link": "-> r", "q/other": "-600 11:12 r",
            "q/r": "-600 11:12 r", "implied": "d755 0:0", "implied/x": "-644 0:0 x"}  # fmt: skip


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, zstandard.compress])
def test_an_archive_is_unpacked(bench: Bench, pack: Callable[[bytes], bytes]) -> None:
    bench.file("a.bin", pack(ARCHIVE))
    expected = {"t": "d755 0:0"} | {f"t/{name}": text for name, text in UNPACKED.items()}
    root = bench.write(bench.plan("a.bin /t", is_add=True))
    assert lines(root) == dict(sorted(expected.items()))
    assert (root / "t/q/r").stat().st_mtime == 777
    assert os.path.samefile(root / "t/q/r", root / "t/q/aaa")
    assert os.getxattr(root / "t/q/r", "user.note") == b"hers"
    assert set(bench.copy("a.bin /t")) == {"t"}
    assert set(bench.copy("a.bin /t", is_add=True, unpack=False)) == {"t"}
    assert bench.copy("a.bin /t", is_add=True, chown="7:8")["t/q/r"] == "-600 7:8 r"


@pytest.mark.parametrize("data", [b"no archive", gzip.compress(b"hello" * 300), bytes(1024), b"\x1f\x8bbroken", b""])
def test_what_is_no_archive_is_copied(bench: Bench, data: bytes) -> None:
    bench.file("x", data)
    assert set(bench.copy("x /t", is_add=True)) == {"t"}
    assert (bench.write(bench.plan("x /t", is_add=True)) / "t").read_bytes() == data


def test_an_archive_takes_the_place_of_what_is_there(bench: Bench) -> None:
    members = (
        (info("there"), b"a file now"), info("file", DIRECTORY, mode=0o711), (info("link/y"), b"y"),
        (info("file/z"), b"z"), info("./", DIRECTORY, mode=0o750, uid=3),
    )  # fmt: skip
    bench.file("a.tar", tar(*members))
    with pytest.raises(InvalidArgument, match="destination /there: a directory, which a file cannot"):
        bench.write(bench.plan("a.tar /", is_add=True))
    bench.file("a.tar", tar(*members[1:]))
    root = bench.write(bench.plan("a.tar /", is_add=True))
    assert lines(root) == {"file": "d711 0:0", "file/z": "-644 0:0 z", "there": THERE, "there/y": "-644 0:0 y"}
    assert (root.stat().st_mode & 0o7777, root.stat().st_uid) == (0o750, 3)
    bench.file("b.tar", tar((info("there"), b"a file now"), info("link", DIRECTORY)))
    assert bench.copy("b.tar /", is_add=True) == {"link": "d644 0:0", "there": "-644 0:0 a file now"}


@pytest.mark.parametrize("member", [
    info("../out"), info("a/../../out"), info("x", HARDLINK, linkname="/etc/passwd"), info(".wh.owned"),
])  # fmt: skip
def test_archives_that_reach_elsewhere_are_refused(bench: Bench, member: tarfile.TarInfo) -> None:
    bench.file("a.tar", tar(member))
    with pytest.raises(ContainerkitError):
        bench.write(bench.plan("a.tar /t", is_add=True))


class Handler(BaseHTTPRequestHandler):
    """A few files."""

    files: ClassVar[dict[str, bytes]] = {"/d/app.bin": b"app", "/": b"root", "/a.tar": ARCHIVE}

    def do_GET(self) -> None:
        data = self.files.get(self.path.partition("?")[0])
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/d/app.bin")
            self.end_headers()
            return
        self.send_response(200 if data is not None else 404)
        self.send_header("Last-Modified", "Thu, 01 Jan 2004 00:00:00 GMT")
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_url_is_fetched(bench: Bench, site: str) -> None:
    root = bench.write(bench.plan(f"{site}/d/app.bin?v=1 /opt/", is_add=True))
    assert lines(root) == {"opt": "d755 0:0", "opt/app.bin": "-600 0:0 app"}
    assert (root / "opt/app.bin").stat().st_mtime == 1072915200
    assert bench.copy(f"{site}/moved /x", is_add=True, chmod="755", chown="7:8") == {"x": "-755 7:8 app"}
    assert bench.copy(f"{site}/ /x", is_add=True) == {"x": "-600 0:0 root"}
    assert set(bench.copy(f"{site}/a.tar /t", is_add=True)) == {"t"}
    assert "t/q/r" in bench.copy(f"{site}/a.tar /t", is_add=True, unpack=True)
    digest = "sha256:a172cedcae47474b615c54d510a5d84a8dea3032e958587430b413538be3f333"
    copying = bench.plan(f"{site}/d/app.bin /x", is_add=True, checksum=digest)
    assert copying.inputs == {f"url {site}/d/app.bin": digest}


def test_urls_that_give_no_file(bench: Bench, site: str) -> None:
    def refuses(kind: type[Exception], message: str, words: str, **more: object) -> None:
        with pytest.raises(kind, match=message):
            bench.plan(words, **{"is_add": True, **more})  # type: ignore[arg-type] # as the test says

    refuses(NotFound, "source .*/gone: not found", f"{site}/gone /x")
    refuses(InvalidArgument, "without a file's name", f"{site}/ /x/")
    refuses(BuildError, "has digest sha256:", f"{site}/ /x", checksum="sha256:" + "0" * 64)
    refuses(InvalidArgument, "expected sha256:", f"{site}/ /x", checksum="md5:1")
    refuses(InvalidArgument, "COPY takes no URL", f"{site}/ /x", is_add=False)
    refuses(InvalidArgument, "for one source alone", f"{site}/ {site}/a /x/", checksum="sha256:" + "0" * 64)
    for source in ("git@example.com:a/b", "https://example.com/a.git#main", "git://example.com/a"):
        refuses(Unsupported, "a git repository", f"{source} /x")


def test_capabilities_of_a_program_go_along_from_a_stage(bench: Bench) -> None:
    value = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
    os.setxattr(bench.base / "owned", "security.capability", value)
    root = bench.write(bench.plan("/owned /new", Layers(bench.layers, "stage build")))
    assert os.getxattr(root / "new", "security.capability") == value
