"""What all instructions have in common.

What is in them are words as they stand in the file, with quotes and variables, until ``expanded`` gives the same
instruction with what they mean. A command is a string in the shell form and a tuple in the exec form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import ClassVar, Self

from containerkit.dockerfile import jsonform, shell
from containerkit.dockerfile.problems import NOWHERE, Location
from containerkit.errors import InvalidArgument
from containerkit.values import frozen

Command = str | tuple[str, ...]
Pairs = tuple[tuple[str, str], ...]
#: What is done to each word of an instruction.
Change = Callable[[str], str]


@frozen
class Instruction:
    """Common to all: where it stands, and the escape character of its file."""

    keyword: ClassVar[str]

    location: Location = field(default=NOWHERE, compare=False, repr=False, kw_only=True)
    escape: str = field(default="\\", compare=False, repr=False, kw_only=True)

    @property
    def source(self) -> str:
        """The instruction on one line, as an image's history has it; without the lines of heredocs."""
        said = self.arguments()
        # What looks like a flag and is none needs the mark that ends flags.
        ends = "-- " if said.startswith("--") else ""
        return " ".join([self.keyword, *self.flags(), ends + said]).rstrip()

    def flags(self) -> list[str]:
        return []

    def arguments(self) -> str:
        raise NotImplementedError

    def changed(self, change: Change, change_text: Change) -> Self:
        """The same with each word that expands, and each text of a heredoc that does, replaced."""
        return self

    def check(self) -> None:
        """Raises InvalidArgument for what only the words' meaning can tell."""

    def expanded(self, variables: Mapping[str, str]) -> Self:
        """The same with its variables replaced and its quotes gone.

        Raises:
            InvalidArgument: a word is malformed, a ``?`` refuses, or what comes out cannot be.
        """
        try:
            found = self.changed(
                lambda word: shell.expand(word, variables, self.escape),
                lambda text: shell.expand_text(text, variables, self.escape),
            )
            found.check()
        except InvalidArgument as error:
            front = "" if error.message.startswith(f"{self.keyword}: ") else f"{self.keyword}: "
            raise InvalidArgument(front + error.message) from error
        return found

    def missing(self, variables: Mapping[str, str]) -> tuple[str, ...]:
        """The variables it uses that are not among these, and for which it has no default."""
        found: dict[str, None] = {}

        def note(word: str) -> str:
            found.update(dict.fromkeys(shell.missing(word, variables, self.escape)))
            return word

        self.changed(note, lambda text: text)
        return tuple(found)

    @property
    def has_variables(self) -> bool:
        found: list[str] = []

        def note(word: str) -> str:
            found.append(word)
            return word

        self.changed(note, note)
        return any("$" in word for word in found)


def each(words: Iterable[str], change: Change) -> tuple[str, ...]:
    return tuple(map(change, words))


def listed(words: tuple[str, ...], escape: str) -> str:
    """Words side by side, or as a list where that would be read otherwise."""
    as_list = any(not word or word.split() != [word] or "<<" in word or word.endswith(escape) for word in words)
    return jsonform.write(words) if as_list or words[0].startswith(("[", "--")) else " ".join(words)


def command_text(command: Command) -> str:
    return command if isinstance(command, str) else jsonform.write(command)
