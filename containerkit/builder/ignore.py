"""``.dockerignore``: what of a context nobody sees. The same patterns are ``--exclude``'s.

Source: Docker, "Build context", "Syntax" of .dockerignore files. One pattern a line, relative to the context's root
whether it begins with a slash or not; ``#`` begins a comment, ``!`` an exception. A pattern that matches a directory
matches all that is in it. Of the patterns that match, the last one decides.

So what is below an excluded directory can come back, by an exception that stands after the pattern; only where there is
one is such a directory looked into.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass

from containerkit.builder.matching import Expression, compiled
from containerkit.builder.tree import File, Tree
from containerkit.errors import InvalidArgument
from containerkit.layers.compression import Readable
from containerkit.layers.tar import DIRECTORY


@dataclass(frozen=True, slots=True)
class Pattern:
    """One of them: as it is written, and where."""

    text: str
    where: str
    is_exception: bool
    expression: Expression
    parts: tuple[str, ...]


class Ignore:
    """Patterns in their order.

    Args:
        patterns: each with what errors call the place where it stands.

    Raises:
        InvalidArgument: one that is no pattern.
    """

    def __init__(self, patterns: Iterable[tuple[str, str]] = ()) -> None:
        self._patterns = [made for text, where in patterns if (made := _pattern(text, where)) is not None]
        self._directories: dict[str, int] = {"": 0}

    @classmethod
    def parse(cls, data: bytes, name: str = ".dockerignore") -> Ignore:
        """The patterns of a file called ``name``.

        Raises:
            InvalidArgument: one that is no pattern.
        """
        lines = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
        return cls((line, f"{name}, line {number}") for number, line in enumerate(lines, 1) if not line.startswith("#"))

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def reason(self, path: str) -> str:
        """Why ``path`` is left out: by which pattern; empty when it is not."""
        number = self._deciding(path)
        if number < 0 or self._patterns[number].is_exception:
            return ""
        pattern = self._patterns[number]
        return f"left out by {pattern.where} ({pattern.text})" if pattern.where else f"left out by {pattern.text}"

    def ignores(self, path: str) -> bool:
        """Whether ``path`` is left out."""
        number = self._deciding(path)
        return number >= 0 and not self._patterns[number].is_exception

    def may_show_below(self, path: str) -> bool:
        """Whether something in the directory ``path``, which is left out, may be seen all the same."""
        parts = path.split("/")
        return any(
            pattern.is_exception and _may_match_below(pattern.parts, parts)
            for pattern in self._patterns[self._deciding(path) + 1 :]
        )

    def _deciding(self, path: str) -> int:
        """The number of the last pattern that matches it, or a directory above it; -1: none does."""
        above = self._mask(path.rpartition("/")[0])
        last = above.bit_length() - 1
        for number in range(len(self._patterns) - 1, last, -1):
            if self._patterns[number].expression.match(path):
                return number
        return last

    def _mask(self, directory: str) -> int:
        """The patterns that match it or a directory above, as bits."""
        unknown = []
        while directory not in self._directories:
            unknown.append(directory)
            directory = directory.rpartition("/")[0]
        found = self._directories[directory]
        for below in reversed(unknown):
            for number, pattern in enumerate(self._patterns):
                if not found >> number & 1 and pattern.expression.match(below):
                    found |= 1 << number
            self._directories[below] = found
        return found


def _pattern(text: str, where: str) -> Pattern | None:
    text = text.strip()
    is_exception = text.startswith("!")
    cleaned = text.removeprefix("!").strip()
    if not cleaned:
        if is_exception:
            raise InvalidArgument(f"{where}: an exception without a pattern")
        return None
    cleaned = posixpath.normpath(cleaned).lstrip("/") or "."
    try:
        parts = tuple(cleaned.split("/"))
        return Pattern(text, where, is_exception, compiled(cleaned, is_deep=True), parts)
    except InvalidArgument as error:
        raise InvalidArgument(f"{where}: {error.message}" if where else error.message) from error


def _may_match_below(pattern: tuple[str, ...], directory: list[str]) -> bool:
    """Whether a name below ``directory`` can match."""
    for part, name in zip(pattern, directory, strict=False):
        if "**" in part:
            return True
        try:
            if not compiled(part).match(name):
                return False
        except InvalidArgument:
            return True  # a bracket with a slash in it
    return len(pattern) > len(directory)


class Filtered(Tree):
    """A tree without what is left out.

    A directory that is left out is there for the sake of what is seen in it.

    Args:
        base: where the patterns begin.
    """

    def __init__(self, inner: Tree, ignore: Ignore, base: str = "") -> None:
        super().__init__(inner.subject, keeps_owners=inner.keeps_owners)
        self.inner, self._ignore = inner, ignore
        self._skip = len(base) + 1 if base else 0
        self._empty: dict[str, bool] = {}

    def opened(self) -> AbstractContextManager[None]:
        return self.inner.opened()

    def afresh(self) -> Filtered:
        other = copy(self)
        other.inner = self.inner.afresh()
        return other

    def content(self, file: File) -> AbstractContextManager[Readable]:
        return self.inner.content(file)

    def attributes(self, file: File) -> dict[str, bytes]:
        return self.inner.attributes(file)

    def digest(self, file: File) -> str:
        return self.inner.digest(file)

    def get(self, path: str) -> File | None:
        file = self.inner.get(path)
        return file if file is not None and self._shows(file) else None

    def list(self, path: str) -> list[File]:
        if self._hides(path):
            return []
        return [file for file in self.inner.list(path) if self._shows(file)]

    def left_out(self, path: str) -> str:
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            above = "/".join(parts[:count])
            if self.inner.get(above) is not None and self._hides(above) and (reason := self._reason(above)):
                return reason
        return self.inner.left_out(path)

    def _reason(self, path: str) -> str:
        return self._ignore.reason(path[self._skip :])

    def _hides(self, path: str) -> bool:
        """Whether it is left out, and nothing below is not."""
        name = path[self._skip :]
        return bool(name) and self._ignore.ignores(name) and not self._ignore.may_show_below(name)

    def _shows(self, file: File) -> bool:
        name = file.path[self._skip :]
        if not name or not self._ignore.ignores(name):
            return True
        if file.kind != DIRECTORY or not self._ignore.may_show_below(name):
            return False
        if file.path not in self._empty:
            self._empty[file.path] = not self.list(file.path)
        return not self._empty[file.path]
