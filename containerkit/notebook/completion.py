"""Completion of the magics' lines: commands, options, and the names of images and containers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

import containerkit
from containerkit.errors import ContainerkitError
from containerkit.notebook.magicline import Parser


def offer(shell: InteractiveShell, magic: str, parser: Parser, completes: str) -> None:
    """Complete the line of a magic.

    Args:
        completes: what its words may be: ``images`` or ``containers``.
    """
    _hook(shell, magic, lambda words: _words(parser, completes, words[-1]))


def offer_commands(
    shell: InteractiveShell, magic: str, parsers: Mapping[str, Parser], completes: Mapping[str, str]
) -> None:
    """Complete the line of a magic whose first word is a command."""

    def words_of(words: list[str]) -> Iterable[str]:
        if len(words) == 1:
            return parsers
        name = words[0]
        return _words(parsers[name], completes[name], words[-1]) if name in parsers else ()

    _hook(shell, magic, words_of)


def _words(parser: Parser, completes: str, begun: str) -> Iterable[str]:
    return parser.options if begun.startswith("-") else _names(completes)


def _names(kind: str) -> list[str]:
    try:
        if kind == "images":
            return [tag.removesuffix(":latest") for image in containerkit.images for tag in image.tags]
        return [row["name"] for row in containerkit.containers.rows()] if kind == "containers" else []
    except ContainerkitError:
        return []  # no engine to ask: there is nothing to offer


def _hook(shell: InteractiveShell, magic: str, words_of: Callable[[list[str]], Iterable[str]]) -> None:
    def complete(_: Any, event: Any) -> list[str]:
        line = event.text_until_cursor
        words = [*line.split()[1:], *([""] if line[-1:].isspace() else [])] or [""]
        begun = words[-1]
        # The completer replaces what follows the last of its delimiters (a colon in busybox:1.36), not the whole word.
        kept = len(begun) - len(event.symbol)
        return sorted(word[kept:] for word in {*words_of(words)} if word.startswith(begun))

    shell.set_hook("complete_command", complete, str_key=magic)  # type: ignore[no-untyped-call]  # IPython has no types here
