"""Heredocs: ``<<NAME`` in an instruction, the lines after it, and a line that is ``NAME``.

::

    word = [descriptor] "<<" ["-"] name       a word of its own: ``cat <<EOF``, not ``cat<<EOF``

``-``: tabs at the beginning of each line are not part of it. A name in quotes: nothing in the lines is expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from containerkit.dockerfile import shell
from containerkit.values import frozen

_WORD = re.compile(r"(\d*)<<(-?)([^<]+)")
_TABS = re.compile(r"^\t+", re.MULTILINE)
_DIRECT, _OUTER = ("ADD", "COPY", "RUN"), "ONBUILD"


@frozen
class Heredoc:
    """``content`` is what stands in the file, each line with its end; ``data`` is what is meant."""

    name: str
    content: str = ""
    expands: bool = True
    chomps: bool = False

    @property
    def data(self) -> str:
        return _TABS.sub("", self.content) if self.chomps else self.content

    @property
    def as_written(self) -> str:
        """The lines in the file, the one that ends them included."""
        return f"{self.content}{self.name}"

    def ends_with(self, line: str) -> bool:
        line = line.rstrip("\r\n")
        return (line.lstrip("\t") if self.chomps else line) == self.name


def parse(word: str) -> Heredoc | None:
    """The heredoc that a word begins, None when it begins none."""
    found = _WORD.fullmatch(word)
    if found is None or any(character.isspace() for character in found[3]):
        return None
    name = re.sub(r"['\"\\]", "", found[3])
    return Heredoc(name, expands=name == found[3], chomps=bool(found[2])) if name else None


def _parted(line: str) -> tuple[str, str]:
    parts = line.split(None, 1)
    return (parts[0], parts[1]) if len(parts) == 2 else (line, "")


def announced(line: str) -> Iterator[Heredoc]:
    """Those that a logical line announces, in order."""
    if "<<" not in line:
        return
    keyword, rest = _parted(line)
    if keyword.upper() == _OUTER:
        keyword, rest = _parted(rest)
    if keyword.upper() not in _DIRECT:
        return
    words, is_whole = shell.split(rest)
    if is_whole:
        yield from filter(None, map(parse, words))
