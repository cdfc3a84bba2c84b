"""Patterns match as Go's path/filepath.Match says, and sources are found by them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerkit.builder import matching
from containerkit.builder.archived import of_contents
from containerkit.builder.matching import clean, find, find_with_parents, is_wild, matches
from containerkit.builder.tree import Tree
from containerkit.errors import InvalidArgument, NotFound


@pytest.mark.parametrize(("pattern", "yes", "no"), [
    ("name", ["name"], ["names", "a/name", "Name", ""]),
    ("", [""], ["x"]),
    ("*", ["", "x", "long.name", ".hidden", "ünïcode", "line\nbreak"], ["a/b", "/"]),
    ("*.py", [".py", "a.py", "a.b.py"], ["a.pyc", "d/a.py", "apy"]),
    ("a*", ["a", "ab", "a*"], ["ba", "a/b"]),
    ("a*/b", ["a/b", "ax/b"], ["a/x/b", "ab"]),
    ("a*b*c", ["abc", "axbxc", "abcbc"], ["acb", "a/bc"]),
    ("**", ["", "x"], ["a/b"]),
    ("?", ["x", "ü", "☃", os.fsdecode(b"\xff")], ["", "xy", "/"]),
    ("a?c", ["abc", "a?c"], ["ac", "a/c"]),
    ("[abc]", ["a", "b", "c"], ["d", "", "ab"]),
    ("[a-c]x", ["ax", "cx"], ["dx", "-x"]),
    ("[a-c0-2]", ["b", "1"], ["3", "-"]),
    ("[а-я]", ["ж"], ["z"]),
    ("[^a-c]", ["d", "^", "/"], ["a", ""]),
    ("[^^]", ["a"], ["^"]),
    ("[a^]", ["a", "^"], ["b"]),
    ("[!a]", ["!", "a"], ["b"]),
    ("[\\]]", ["]"], ["\\"]),
    ("[\\-x]", ["-", "x"], ["\\"]),
    ("[z-a]", [], ["a", "m", "z"]),
    ("[^z-a]", ["a"], [""]),
    ("[*?]", ["*", "?"], ["x"]),
    ("[[]x]", ["[x]"], ["x"]),
    ("\\*", ["*"], ["x", "\\*"]),
    ("\\a\\?", ["a?"], ["ab"]),
    ("a]b", ["a]b"], ["ab"]),
    ("a.b", ["a.b"], ["axb"]),
    ("a+(b|c)$^", ["a+(b|c)$^"], ["ab"]),
])  # fmt: skip
def test_a_pattern(pattern: str, yes: list[str], no: list[str]) -> None:
    assert [name for name in yes if not matches(pattern, name)] == []
    assert [name for name in no if matches(pattern, name)] == []


@pytest.mark.parametrize(("pattern", "yes", "no"), [
    ("**", ["a", "a/b"], []),
    ("**/x", ["x", "a/x", "a/b/x"], ["ax", "x/a", "a/ax"]),
    ("a/**", ["a/b", "a/b/c"], ["a", "ab", "b/a/c"]),
    ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb", "b"]),
    ("**/*.py", ["a.py", "d/a.py", "d/e/a.py"], ["a.pyc", "d.py/x"]),
    ("a/*/**/z", ["a/b/z", "a/b/c/z"], ["a/z"]),
    ("**.txt", ["a.txt", "d/a.txt"], ["a.md"]),
    ("*/x", ["a/x"], ["x", "a/b/x"]),
])  # fmt: skip
def test_two_stars_are_any_number_of_directories_where_patterns_are_deep(
    pattern: str, yes: list[str], no: list[str]
) -> None:
    assert [name for name in yes if not matches(pattern, name, is_deep=True)] == []
    assert [name for name in no if matches(pattern, name, is_deep=True)] == []


@pytest.mark.parametrize(
    "pattern", ["[", "[a", "[]", "[]a]", "[^]", "[-]", "[a-]", "[-a]", "[a-b-c]", "\\", "a[\\", "*["]
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidArgument, match="not a pattern"):
        matches(pattern, "a")


def test_wildcards_are_those_without_a_backslash() -> None:
    assert [is_wild(name) for name in ("a", "a*", "a?", "[a", "\\*", "a\\[b", "\\\\*")] == [
        False, True, True, True, False, False, True,
    ]  # fmt: skip


def test_paths_stay_below_the_root() -> None:
    found = [clean(path) for path in ("./a", "/a", "a/", "a/../b", "../../a", "//a//b/.", ".", "/", "", "a/b/../../..")]
    assert found == ["a", "a", "a", "b", "a", "a/b", "", "", "", ""]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    names = ("app.py", "setup.py", "src/a.c", "src/a.h", "src/deep/b.c", "docs/a.c", "[id].tsx", "i.tsx", "back\\slash")
    return of_contents(dict.fromkeys(names, ""), str(tmp_path / "spool"), "the context", 0)


@pytest.mark.parametrize(("source", "expected"), [
    ("app.py", ["app.py"]),
    ("/app.py", ["app.py"]),
    ("../app.py", ["app.py"]),
    ("src/", ["src"]),
    (".", [""]),
    ("*.py", ["app.py", "setup.py"]),
    ("*/a.c", ["docs/a.c", "src/a.c"]),
    ("src/*", ["src/a.c", "src/a.h", "src/deep"]),
    ("src/**", ["src/a.c", "src/a.h", "src/deep"]),
    ("src/[a-z].?", ["src/a.c", "src/a.h"]),
    ("nothing*", []),
    ("app.py/*", []),
    ("[id].tsx", ["i.tsx"]),
    ("[[]id].tsx", ["[id].tsx"]),
    ("\\[id].tsx", ["[id].tsx"]),
    ("back\\slash", ["back\\slash"]),
])  # fmt: skip
def test_sources(tree: Tree, source: str, expected: list[str]) -> None:
    assert [match.path for match in find(tree, source)] == expected


@pytest.mark.parametrize(("source", "expected"), [
    ("src/a.c", ("", ["src/a.c"])),
    ("src/./deep", ("src", ["src/deep"])),
    ("src/./**/*.c", ("src", ["src/a.c", "src/deep/b.c"])),
    ("**/a.*", ("", ["docs/a.c", "src/a.c", "src/a.h"])),
    ("**/deep/**", ("", ["src/deep/b.c"])),
    ("s**", ("", ["setup.py", "src"])),
])  # fmt: skip
def test_sources_with_parents(tree: Tree, source: str, expected: tuple[str, list[str]]) -> None:
    base, found = find_with_parents(tree, source)
    assert (base, [match.path for match in found]) == expected


@pytest.mark.parametrize(("source", "message"), [
    ("ap.py", r"source ap.py: not in the context \(did you mean app.py or setup.py\?\)"),
    ("App.py", r"did you mean app.py"),
    ("scr/a.c", r"did you mean src\?"),
    ("src/b.c", r"did you mean src/a.c"),
    ("src/quite/else", r"source src/quite/else: not in the context$"),
    ("app.py/x", r"source app.py/x: not in the context"),
])  # fmt: skip
def test_sources_that_are_not_there_name_what_is_near(tree: Tree, source: str, message: str) -> None:
    with pytest.raises(NotFound, match=message):
        find(tree, source)


def test_a_bad_pattern_as_source(tree: Tree) -> None:
    with pytest.raises(InvalidArgument, match=r"pattern \[x: not a pattern"):
        find(tree, "src/[x")


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("************************a/" + "***a/" * 20, "x" * 30 + "/" + "y" * 30),
        ("*a" * 30 + "b", "a" * 200),
        ("*[a]" * 30 + "b", "a" * 200),
        ("**/a/" * 20 + "b", "a/" * 60),
        ("*[a/]" * 20 + "b", "a" * 60),
        ("**a" * 30 + "b", "a/" * 60),
    ],
)
def test_many_wildcards_take_no_time(pattern: str, name: str) -> None:
    """Each way of sharing the name among them would take longer than the universe is old."""
    assert not matches(pattern, name, is_deep=True)


def test_a_wildcard_takes_more_than_the_first_fit_where_that_is_needed() -> None:
    assert matches("*a*b", "aab")
    assert matches("*[^b]*b", "xy/zb")  # a class takes a slash, which * does not
    assert matches("**x**y", "xxy", is_deep=True)
    assert matches("**/a/**/b", "a/c/a/b", is_deep=True)


PIECES = st.lists(st.sampled_from(["a", "b", "/", "*", "**", "**/", "?", "[a]", "[^b]"]), max_size=7).map("".join)


@given(PIECES, st.text("ab/", max_size=8), st.booleans())
def test_many_wildcards_match_what_a_regular_expression_does(pattern: str, name: str, is_deep: bool) -> None:
    parts = list(matching._Reading(pattern, is_deep).parts())
    by_expression = re.compile("".join(parts), re.DOTALL).fullmatch(name) is not None
    assert matching._Places(parts).match(name) == by_expression == matches(pattern, name, is_deep=is_deep)


def test_a_pattern_that_is_longer_than_any_path_is_none() -> None:
    assert matches("a" * 4096, "a" * 4096)
    with pytest.raises(InvalidArgument, match="longer than 4096 characters"):
        matches("[a-z]*" * 700, "a")
