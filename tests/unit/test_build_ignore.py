"""``.dockerignore`` leaves out what Docker would."""

from __future__ import annotations

from pathlib import Path

import pytest

from containerkit.builder.context import open_context
from containerkit.builder.ignore import Ignore
from containerkit.builder.tree import walk
from containerkit.errors import InvalidArgument

NAMES = (
    "README.md", "README-secret.md", "a.txt", "b/a.txt", "b/c/a.txt", "b/c/keep.txt", "b/other", ".git/config",
    "node_modules/x/index.js", "lib/node_modules/y.js", "temp1/t", "src/temp2/t", "src/main.c", "with space/x", "#x",
    "ünïcode",
)  # fmt: skip


def left(text: str | bytes, tmp_path: Path) -> set[str]:
    """The names that are left."""
    data = text.encode() if isinstance(text, str) else text
    context = open_context({**dict.fromkeys(NAMES, ""), ".dockerignore": data}, tmp_path)
    root = context.get("")
    assert root is not None
    return {file.path for file in walk(context, root) if file.path in NAMES}


def without(*names: str) -> set[str]:
    """All but these, and what is below."""
    return {name for name in NAMES if not any(name == gone or name.startswith(f"{gone}/") for gone in names)}


@pytest.mark.parametrize(("text", "expected"), [
    ("", without()),
    ("\n\n  \n# a comment\n#a.txt\n", without()),
    ("a.txt", without("a.txt")),
    ("/a.txt\r\n", without("a.txt")),
    ("  a.txt  ", without("a.txt")),
    ("./a.txt", without("a.txt")),
    ("b/../a.txt", without("a.txt")),
    ("b", without("b")),
    ("b/", without("b")),
    ("/b/", without("b")),
    ("b//c", without("b/c")),
    ("*/a.txt", without("b/a.txt")),
    ("*/*/a.txt", without("b/c/a.txt")),
    ("**/a.txt", without("a.txt", "b/a.txt", "b/c/a.txt")),
    ("**/node_modules", without("node_modules", "lib/node_modules")),
    ("b/**", without("b/a.txt", "b/c", "b/other")),
    ("b/**/a.txt", without("b/a.txt", "b/c/a.txt")),
    ("*.md", without("README.md", "README-secret.md")),
    ("*.md\n!README.md", without("README-secret.md")),
    ("*.md\n!README*.md\nREADME-secret.md", without("README-secret.md")),
    ("*.md\nREADME-secret.md\n!README*.md", without()),
    ("*/temp*", without("src/temp2")),
    ("temp?", without("temp1")),
    ("*", set()),
    ("*\n!src", {"src/main.c", "src/temp2/t"}),
    ("*\n!src/main.c", {"src/main.c"}),
    ("*\n! src/main.c", {"src/main.c"}),
    ("*\n!b/c\nb/c/a.txt", {"b/c/keep.txt"}),
    ("b\n!b/c/keep.txt", without("b") | {"b/c/keep.txt"}),
    ("b\n!**/keep.txt", without("b") | {"b/c/keep.txt"}),
    ("b\n!b/*/keep.txt", without("b") | {"b/c/keep.txt"}),
    ("!b/c/keep.txt\nb", without("b")),
    ("b\n!b/c\nb/c", without("b")),
    ("b/c\n!b", without()),
    ("\\#x", without("#x")),
    ("with space", without("with space")),
    ("ünï*", without("ünïcode")),
    ("[a-b]", without("b")),
    (".", without()),
    ("..", without()),
    ("../a.txt", without()),
    ("/../a.txt", without("a.txt")),
    (b"\xef\xbb\xbfa.txt\nb\n", without("a.txt", "b")),
    (" # no comment\na.txt", without("a.txt")),
    ("**", set()),
    ("**/*\n!**/*.txt", {"a.txt", "b/a.txt", "b/c/a.txt", "b/c/keep.txt"}),
])  # fmt: skip
def test_patterns(text: str | bytes, expected: set[str], tmp_path: Path) -> None:
    assert left(text, tmp_path) == expected


@pytest.mark.parametrize(("text", "message"), [
    ("a\n[\n", r"\.dockerignore, line 2: pattern \[: not a pattern"),
    ("!", r"\.dockerignore, line 1: an exception without a pattern"),
    ("# x\n\n!  \n", r"\.dockerignore, line 3: an exception without a pattern"),
])  # fmt: skip
def test_bad_patterns_are_told_with_their_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=message):
        left(text, tmp_path)


def test_directories_are_there_only_for_what_is_seen_in_them(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"b/c/keep": "", "b/d/x": "", "e/f": "", ".dockerignore": "*\n!b/c/keep\n!e/none"}
    context = open_context(files, tmp_path)
    assert [file.path for file in context.list("")] == ["b"]
    assert [file.path for file in context.list("b")] == ["b/c"]
    assert (context.get("e"), context.get("b/d"), context.list("b/d")) == (None, None, [])
    assert context.get("b/c/keep") is not None


def test_a_directory_is_looked_into_only_where_an_exception_can_match() -> None:
    ignore = Ignore((text, "") for text in ("*", "!src/*/keep", "!docs", "vendor", "!**/LICENSE"))
    assert [ignore.may_show_below(name) for name in ("src", "src/a", "src/a/b", "other")] == [True] * 4
    strict = Ignore((text, "") for text in ("!late/x", "*", "!src/*/keep"))
    assert [strict.may_show_below(name) for name in ("src", "src/a", "src/a/keep", "other", "late")] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_the_file_beside_the_dockerfile_goes_first(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "a": "", "b": "", ".dockerignore": "a", "Dockerfile.dockerignore": "b", "deploy/Web.dockerignore": "*",
    }  # fmt: skip
    seen = {name: {file.path for file in open_context(files, tmp_path, dockerfile=name).list("")} & {"a", "b"}
            for name in ("Dockerfile", "deploy/Web", "./deploy/../Dockerfile", "Other")}  # fmt: skip
    assert seen == {"Dockerfile": {"a"}, "deploy/Web": set(), "./deploy/../Dockerfile": {"a"}, "Other": {"b"}}


def test_who_left_it_out_is_told(tmp_path: Path) -> None:
    context = open_context({"x/y": "", ".dockerignore": "*.md\nx\n"}, tmp_path)
    assert context.left_out("x/y") == "left out by .dockerignore, line 2 (x)"
    assert (context.left_out("z"), context.left_out(".dockerignore")) == ("", "")


def test_a_path_of_many_directories_is_looked_at() -> None:
    ignore = Ignore.parse(b"a/*.o\n!a/keep.o\n")
    assert ignore.ignores("a/x.o" + "/a" * 5000) and not ignore.ignores("a/keep.o" + "/a" * 5000)
