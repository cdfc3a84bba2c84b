"""A whole Dockerfile, and instructions that are none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field

from containerkit.dockerfile import directives, lines, lint, reading, stages
from containerkit.dockerfile.directives import Directives
from containerkit.dockerfile.instruction import Instruction
from containerkit.dockerfile.lines import Line
from containerkit.dockerfile.making import Arg
from containerkit.dockerfile.problems import Location, Problem, Warning, excerpt, failure, shown
from containerkit.dockerfile.stages import Stage
from containerkit.errors import InvalidArgument, NotFound, suggestion
from containerkit.values import frozen

#: Each is looked for among all others.
_MOST_STAGES = 1000
_OWN_SYNTAX = ("docker/dockerfile", "docker/dockerfile-upstream")


@frozen
class Dockerfile:
    """What a file says. ``warnings`` are those that ``directives.skip`` leaves."""

    name: str
    directives: Directives
    global_args: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    warnings: tuple[Warning, ...] = field(default=(), compare=False)

    @classmethod
    def parse(cls, text: str | bytes, name: str = "Dockerfile") -> Dockerfile:
        """The file that ``text`` is.

        Args:
            text: its content; bytes have to be UTF-8.
            name: what it is called in messages.

        Raises:
            BuildError: ``problems`` are all that could be found at once, each with its lines.
        """
        return _parse(text, name)

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """All of them, in order."""
        inside = [one for stage in self.stages for one in (stage.base, *stage.instructions)]
        return (*self.global_args, *inside)

    def stage(self, target: str = "") -> Stage:
        """The stage of that name or number; the last one where nothing is said.

        Raises:
            NotFound: there is none.
        """
        if not target:
            return self.stages[-1]
        named = [one for one in self.stages if one.name == target.lower()]
        if named:
            return named[-1]
        if stages.is_number(target) and int(target) < len(self.stages):
            return self.stages[int(target)]
        names = [one.name for one in self.stages if one.name]
        raise NotFound(f"{self.name}: stage {target}: not there{suggestion(target.lower(), names)}")


def parse_instructions(texts: Iterable[str], name: str = "instruction", escape: str = "\\") -> tuple[Instruction, ...]:
    """Instructions without a file: the ``changes=`` of an import, the triggers that an image keeps.

    Args:
        texts: one instruction each, with its heredocs where it has some; ``location`` counts them from 1.

    Raises:
        BuildError: as for a file.
    """
    found: list[Instruction] = []
    problems: list[Problem] = []
    texts = list(texts)
    for number, text in enumerate(texts, 1):
        where = Location(name, number, number)
        try:
            physical = lines.decode(text)
            logical = list(lines.logical(physical, escape))
            if len(logical) != 1:
                raise InvalidArgument(f"expected one instruction, found {len(logical) or 'none'}")
            found.append(reading.instruction(logical[0], escape, where))
        except InvalidArgument as error:
            problems.append(_problem(error.message, texts, where))
    if problems:
        raise failure(problems)
    return tuple(found)


def _parse(text: str | bytes, name: str) -> Dockerfile:
    try:
        physical = lines.decode(text)
    except lines.NotText as error:
        raise failure([Problem(error.message, Location(name, error.line, error.line))]) from error
    said, wrong = directives.read(physical)
    problems = [_problem(message, physical, Location(name, at, at)) for at, message in wrong]
    read: list[tuple[Line, Instruction]] = []
    for line in lines.logical(physical, said.escape):
        where = Location(name, line.first, line.last)
        try:
            read.append((line, reading.instruction(line, said.escape, where)))
        except InvalidArgument as error:
            problems.append(_problem(error.message, physical, where))
    before, found, misplaced = stages.gather([one for _, one in read])
    if not problems:
        problems = _whole(found, misplaced, physical, name)
    if problems:
        raise failure(sorted(problems, key=lambda one: one.location.first))
    warnings = [*_foreign(said, name), *lint.check(read, before, found)]
    kept = () if "all" in said.skip else tuple(one for one in warnings if one.rule.lower() not in said.skip)
    if kept and said.error:
        raise failure([_problem(f"{one.rule}: {one.message}", physical, one.location) for one in kept])
    return Dockerfile(name, said, before, found, kept)


def _foreign(said: Directives, name: str) -> list[Warning]:
    """A note on a language that is another's: the one here is always the same."""
    image = said.syntax.removeprefix("docker.io/")
    if not image or image.partition(":")[0].partition("@")[0] in _OWN_SYNTAX:
        return []
    return [Warning("SyntaxIgnored", f"syntax {shown(said.syntax)} is not used: this is read as a Dockerfile",
                    Location(name, 1, 1), "write # syntax=docker/dockerfile:1, or leave it out")]  # fmt: skip


def _problem(message: str, physical: Sequence[str], where: Location) -> Problem:
    return Problem(message, where, excerpt(physical, where))


def _whole(
    found: Sequence[Stage], misplaced: Sequence[Instruction], physical: Sequence[str], name: str
) -> list[Problem]:
    """What is wrong though each instruction is right."""
    if len(found) > _MOST_STAGES:
        where = found[_MOST_STAGES].base.location
        return [_problem(f"more than {_MOST_STAGES} stages", physical, where)]
    problems = [_problem(f"{one.keyword}: only ARG can stand before the first FROM", physical, one.location)
                for one in misplaced]  # fmt: skip
    if not found and not misplaced:
        problems.append(Problem("the file has no FROM: nothing to build", Location(name, 1, 1)))
    for stage in found:
        for origin, one in stage.sources:
            try:
                stages.source_of(origin, stage, found)
            except InvalidArgument as error:
                problems.append(_problem(f"{one.keyword}: {error.message}", physical, one.location))
    if not problems:
        try:
            stages.needed(found, found, [stages.base_of(stage, found) for stage in found])
        except InvalidArgument as error:
            return [_problem(error.message, physical, found[0].base.location)]
    return problems
