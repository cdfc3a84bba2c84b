"""Patterns of names, and which files of a tree the sources of COPY and ADD are.

Source: Go, path/filepath.Match: ``*`` any characters but a slash, ``?`` one, ``[a-z]`` one of these, ``[^a-z]`` one of
the others, ``\\x`` x itself. Where it is *deep* (``.dockerignore``, ``--exclude``, ``--parents``), ``**`` stands for
any number of directories, and none.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from containerkit.builder.tree import File, Tree, walk
from containerkit.errors import InvalidArgument, NotFound
from containerkit.layers.tar import DIRECTORY, SYMLINK

_SPECIAL = "*?["
#: Wildcards as regular expressions: within a name, anything, any number of directories.
_NAME, _ANY, _DIRECTORIES = "[^/]*", ".*", "(?:.*/)?"
_WIDE = (_NAME, _ANY, _DIRECTORIES)
#: So many of them a regular expression tries quickly.
_FEW = 2
#: As long as a path can be (linux/limits.h).
_LONGEST = 4096


def clean(path: str) -> str:
    """A path without ``.``, ``..`` and slashes at its ends; what would lead above the root stays in it."""
    return posixpath.normpath("/" + path).lstrip("/")


def is_wild(pattern: str) -> bool:
    """Whether it can match more than one name."""
    return any(letter in _SPECIAL for letter in re.sub(r"\\.", "", pattern, flags=re.DOTALL))


class Expression(Protocol):
    """What says whether a whole name matches."""

    def match(self, name: str, /) -> object:
        """Something true when it does."""


@lru_cache(maxsize=4096)
def compiled(pattern: str, *, is_deep: bool = False) -> Expression:
    """What matches the whole names that ``pattern`` does.

    Raises:
        InvalidArgument: it is no pattern.
    """
    if len(pattern) > _LONGEST:
        raise InvalidArgument(f"pattern {pattern[:80]}…: longer than {_LONGEST} characters, and so than any path")
    parts = list(_Reading(pattern, is_deep).parts())
    if sum(part in _WIDE for part in parts) > _FEW:
        return _Places(parts)
    return re.compile("^" + "".join(parts) + r"\Z", re.DOTALL)


class _Places:
    """A pattern with many wildcards: all places of a name that its parts lead to, one part after the other.

    A regular expression would try each wildcard with each of the others, which takes exponentially long.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        self._parts = [(part, re.compile(part, re.DOTALL)) for part in parts]

    def match(self, name: str, /) -> bool:
        places = {0}
        for part, expression in self._parts:
            if part in _WIDE:
                places = _reached(part, name, places)
            else:
                places = {at + 1 for at in places if expression.match(name, at)}
            if not places:
                return False
        return len(name) in places


def _reached(part: str, name: str, places: set[int]) -> set[int]:
    """Where a wildcard leads to."""
    first = min(places)
    if part == _ANY:
        return set(range(first, len(name) + 1))
    if part == _DIRECTORIES:
        return places | {at + 1 for at in range(first, len(name)) if name[at] == "/"}
    found: set[int] = set()
    for at in places:
        while at not in found:
            found.add(at)
            if at == len(name) or name[at] == "/":
                break
            at += 1
    return found


class _Reading:
    """A pattern as it is turned into a regular expression."""

    def __init__(self, pattern: str, is_deep: bool) -> None:
        self._pattern, self._is_deep = pattern, is_deep
        self._at = 0

    def parts(self) -> Iterator[str]:
        """Expressions: of one character each, or wildcards. One after itself is none more."""
        before = ""
        while self._at < len(self._pattern):
            part = self._next()
            if part != before or part not in _WIDE:
                yield part
            before = part

    def _next(self) -> str:
        if self._is_deep and self._pattern.startswith("**", self._at):
            return self._directories()
        letter = self._take()
        if letter == "*":
            return _NAME
        if letter == "?":
            return "[^/]"
        if letter == "[":
            return self._class()
        return re.escape(self._take() if letter == "\\" else letter)

    def _directories(self) -> str:
        is_first = self._at == 0
        self._at += 2
        has_slash = self._pattern.startswith("/", self._at)
        self._at += has_slash
        if self._at == len(self._pattern) or (is_first and not has_slash):
            return _ANY
        return _DIRECTORIES

    def _class(self) -> str:
        is_other = self._pattern.startswith("^", self._at)
        self._at += is_other
        ranges: list[str] = []
        while not ranges or not self._pattern.startswith("]", self._at):
            low = high = self._member()
            if self._pattern.startswith("-", self._at):
                self._at += 1
                high = self._member()
            # One that runs backwards has no members.
            ranges.append(f"{re.escape(low)}-{re.escape(high)}" if low <= high else "")
        self._at += 1
        members = "".join(ranges)
        if not members:
            return "." if is_other else "(?!)"
        return f"[{'^' if is_other else ''}{members}]"

    def _member(self) -> str:
        letter = self._take()
        if letter in "-]":
            raise self._bad()
        return self._take() if letter == "\\" else letter

    def _take(self) -> str:
        if self._at == len(self._pattern):
            raise self._bad()
        self._at += 1
        return self._pattern[self._at - 1]

    def _bad(self) -> InvalidArgument:
        return InvalidArgument(
            f"pattern {self._pattern}: not a pattern (a bracket is not closed, or nothing follows \\)"
        )


def matches(pattern: str, name: str, *, is_deep: bool = False) -> bool:
    """Whether the whole ``name`` is as ``pattern`` says.

    Raises:
        InvalidArgument: it is no pattern.
    """
    return bool(compiled(pattern, is_deep=is_deep).match(name))


class Match(NamedTuple):
    """A source: how it is called, and what is there; a link that is a source itself has been followed."""

    path: str
    file: File


def find(tree: Tree, source: str) -> list[Match]:
    """The files of ``tree`` that a source of COPY or ADD means, in the order of their names.

    Raises:
        NotFound: a source without wildcards is not there, or is left out.
        InvalidArgument: a bad pattern.
    """
    pattern = clean(source)
    found = [Match(path, _followed(tree, path, source)) for path in _names(tree, pattern, is_deep=False)]
    if not found and not is_wild(pattern):
        return [Match(pattern, _followed(tree, pattern, source))]
    return found


def find_with_parents(tree: Tree, source: str) -> tuple[str, list[Match]]:
    """As :func:`find`, for ``--parents``: wildcards are deep, and links are themselves.

    Returns:
        Beside them, the directory that their names are kept from: what comes before ``/./``, else the root.
    """
    start, dot, rest = source.partition("/./")
    base, pattern = (_followed(tree, clean(start), source).path, clean(rest)) if dot else ("", clean(source))
    whole = "/".join(filter(None, (base, pattern)))
    found = [Match(path, file) for path in _names(tree, whole, is_deep=True) if (file := tree.get(path)) is not None]
    if not found and not is_wild(whole):
        raise missing(tree, whole, source)
    return base, found


def _names(tree: Tree, pattern: str, *, is_deep: bool) -> list[str]:
    """The names that match; those of directories end it: all that is in them comes along."""
    parts = pattern.split("/")
    fixed = next((number for number, part in enumerate(parts) if is_wild(part)), len(parts))
    start = "/".join(parts[:fixed])
    if fixed == len(parts):
        # A name may have a backslash that means itself.
        names = dict.fromkeys((start, re.sub(r"\\(.)", r"\1", start, flags=re.DOTALL)))
        return [name for name in names if tree.get(tree.follow(name) if not is_deep else name) is not None][:1]
    for part in parts[fixed:]:
        compiled(part, is_deep=is_deep)
    base = tree.get(start if is_deep else tree.follow(start))
    if base is None or base.kind != DIRECTORY:
        return []
    if is_deep and any("**" in part for part in parts[fixed:]):
        return list(_deep(tree, base, "/".join(parts[fixed:])))
    return list(_level(tree, base.path, parts[fixed:]))


def _level(tree: Tree, directory: str, parts: list[str]) -> Iterator[str]:
    expression = compiled(parts[0])
    for file in tree.list(directory):
        if expression.match(file.name):
            if len(parts) == 1:
                yield file.path
            elif file.kind == DIRECTORY:
                yield from _level(tree, file.path, parts[1:])


def _deep(tree: Tree, base: File, pattern: str) -> Iterator[str]:
    expression = compiled(pattern, is_deep=True)
    skip = len(base.path) + 1 if base.path else 0
    done = ""
    for file in walk(tree, base):
        if file is base or (done and file.path.startswith(done)):
            continue
        if expression.match(file.path[skip:]):
            done = file.path + "/"
            yield file.path


def _followed(tree: Tree, path: str, source: str) -> File:
    target = tree.follow(path)
    file = tree.get(target)
    if file is None:
        raise missing(tree, path, source)
    return file


def missing(tree: Tree, path: str, source: str) -> NotFound:
    """The error for a source that is not there: why, or what is called nearly so."""
    if reason := tree.left_out(path):
        return NotFound(f"source {source}: {reason}")
    if (file := tree.get(path)) is not None and file.kind == SYMLINK:
        return NotFound(f"source {source}: a link to {file.link}, which is not in {tree.subject}")
    near = _near(tree, path)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    return NotFound(f"source {source}: not in {tree.subject}{hint}")


def _near(tree: Tree, path: str) -> list[str]:
    """Names like the first part of ``path`` that is not there."""
    here = ""
    for part in path.split("/"):
        below = tree.get(tree.follow("/".join(filter(None, (here, part)))))
        if below is not None and below.kind == DIRECTORY:
            here = below.path
            continue
        names = {file.name.casefold(): file.path for file in tree.list(here)}
        word = part.replace("*", "").casefold()
        return [names[name] for name in difflib.get_close_matches(word, names, n=3)]
    return []
