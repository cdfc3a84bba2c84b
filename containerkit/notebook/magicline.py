"""What magics have in common: a parser of their line, errors without a traceback, the Python that they stand for."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.display import display

from containerkit.errors import BuildError, ContainerkitError

_RED, _PLAIN = "\x1b[31m", "\x1b[0m"


class Parser(argparse.ArgumentParser):
    """Reads the line of a magic."""

    def __init__(self, magic: str, about: str) -> None:
        self.options: list[str] = []
        super().__init__(magic, description=about, add_help=False, allow_abbrev=False)

    def add_argument(self, *words: Any, **settings: Any) -> argparse.Action:
        """As argparse's; the options are kept for completion."""
        action = super().add_argument(*words, **settings)
        self.options += [word for word in action.option_strings if word.startswith("--")]
        return action

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}")

    def read(self, line: str) -> argparse.Namespace:
        """What the line says.

        Raises:
            UsageError: nothing that is understood.
        """
        try:
            return self.parse_args(shlex.split(line))
        except ValueError as error:
            self.error(str(error).lower())


def show(value: object) -> None:
    """Below the cell."""
    display(value)  # type: ignore[no-untyped-call]  # IPython has no types here


def without_traceback(error: ContainerkitError) -> ContainerkitError:
    """The same error; a notebook shows its message alone."""
    error._render_traceback_ = partial(_rendered, error)  # type: ignore[method-assign]  # of this one
    return error


def _rendered(error: ContainerkitError) -> list[str]:
    lines = [f"{_RED}{line}{_PLAIN}" if line.startswith(">>>") else line for line in str(error).splitlines()]
    lines[:1] = [f"{_RED}{type(error).__name__}{_PLAIN}: {lines[0]}"]
    if isinstance(error, BuildError) and error.image is not None:
        lines.append("(import sys; sys.last_value.image is what there was before this step)")
    return lines


class Python:
    """The Python that a magic stands for, shown above what it does."""

    def __init__(self, source: str) -> None:
        self._source = source

    def __repr__(self) -> str:
        return f">>> {self._source}"

    def _repr_html_(self) -> str:
        style = "margin:2px 0;opacity:.65;font-size:12px;white-space:pre-wrap"
        return f'<pre style="{style}">&gt;&gt;&gt; {escape(self._source)}</pre>'


def call(function: str, arguments: Sequence[object] = (), options: Mapping[str, object] | None = None) -> str:
    """The source of a call."""
    said = [*map(repr, arguments), *(f"{name}={value!r}" for name, value in (options or {}).items())]
    return f"{function}({', '.join(said)})"
