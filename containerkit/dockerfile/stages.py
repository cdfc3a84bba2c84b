"""Stages: a FROM, what follows it, and which stages need which."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from containerkit.dockerfile.instruction import Instruction
from containerkit.dockerfile.making import Arg, Copy, From, Run
from containerkit.dockerfile.setting import OnBuild
from containerkit.errors import InvalidArgument
from containerkit.values import frozen

SCRATCH = "scratch"


@frozen
class Stage:
    """One stage; ``name`` is empty where it has none, ``index`` counts from 0."""

    index: int
    name: str
    base: From
    instructions: tuple[Instruction, ...] = ()

    @property
    def sources(self) -> tuple[tuple[str, Instruction], ...]:
        """What it takes files from (COPY --from, RUN --mount from), and the instruction that does."""
        return tuple((origin, one) for one in self.instructions for origin in origins(one))

    def __str__(self) -> str:
        return self.name or str(self.index)


def origins(one: Instruction) -> tuple[str, ...]:
    """The stages, images or contexts that an instruction takes files from."""
    if isinstance(one, OnBuild):
        return origins(one.instruction)
    if isinstance(one, Copy):
        return (one.from_,) if one.from_ else ()
    return one.sources if isinstance(one, Run) else ()


def gather(instructions: Sequence[Instruction]) -> tuple[tuple[Arg, ...], tuple[Stage, ...], list[Instruction]]:
    """The global ARGs, the stages, and what stands before the first FROM and must not."""
    before: list[Arg] = []
    misplaced: list[Instruction] = []
    heads: list[tuple[From, list[Instruction]]] = []
    for one in instructions:
        if isinstance(one, From):
            heads.append((one, []))
        elif heads:
            heads[-1][1].append(one)
        elif isinstance(one, Arg):
            before.append(one)
        else:
            misplaced.append(one)
    stages = tuple(Stage(index, base.name, base, tuple(held)) for index, (base, held) in enumerate(heads))
    return tuple(before), stages, misplaced


def base_of(stage: Stage, stages: Sequence[Stage], image: str | None = None) -> Stage | None:
    """The stage that it begins with: an earlier one of that name, the last of several; None where it is an image.

    ``image``: its base's name with variables replaced.
    """
    name = (stage.base.image if image is None else image).lower()
    return _before(stage, name, stages)


def _before(stage: Stage, name: str, stages: Sequence[Stage]) -> Stage | None:
    indexes = range(stage.index - 1, -1, -1)
    return next((stages[index] for index in indexes if name and stages[index].name == name), None)


def is_number(text: str) -> bool:
    """Whether it counts stages, and is not the name of one, or of an image."""
    return text.isascii() and text.isdigit() and len(text) < 10


def source_of(origin: str, user: Stage, stages: Sequence[Stage]) -> Stage | None:
    """The stage that ``origin`` in ``user`` means; None where it is an image or a context.

    Raises:
        InvalidArgument: a number that no stage has, or the stage itself.
    """
    if is_number(origin):
        if int(origin) >= len(stages):
            raise InvalidArgument(f"stage {origin}: not there (there are {len(stages)}, counted from 0)")
        found: Stage | None = stages[int(origin)]
    else:
        name = origin.lower()
        later = (one for one in stages[user.index :] if one.name and one.name == name)
        found = _before(user, name, stages) or next(later, None)
    if found is user:
        raise InvalidArgument(f"stage {user}: takes files from itself")
    return found


def needed(
    targets: Sequence[Stage], stages: Sequence[Stage], bases: Sequence[Stage | None], given: Collection[str] = ()
) -> tuple[Stage, ...]:
    """The stages to be built for ``targets``, each after those that it needs.

    Args:
        bases: of each stage the one that it begins with, as :func:`base_of` says.
        given: names that stand for something else, whatever stage is called so.

    Raises:
        InvalidArgument: stages that need each other.
    """
    done: dict[int, Stage] = {}
    for target in targets:
        _visit(target, lambda stage: iter(_needs(stage, stages, bases, given)), done)
    return tuple(done.values())


def _visit(target: Stage, needs: Callable[[Stage], Iterator[Stage]], done: dict[int, Stage]) -> None:
    """Adds ``target`` to ``done``, after all that it needs."""
    waiting = {} if target.index in done else {target.index: (target, needs(target))}
    while waiting:
        stage, rest = waiting[next(reversed(waiting))]
        following = next((one for one in rest if one.index not in done), None)
        if following is None:
            done[stage.index] = stage
            del waiting[stage.index]
        elif following.index in waiting:
            raise InvalidArgument(f"stage {following}: needs {stage}, which needs {following}")
        else:
            waiting[following.index] = (following, needs(following))


def _needs(stage: Stage, stages: Sequence[Stage], bases: Sequence[Stage | None], given: Collection[str]) -> list[Stage]:
    origins = [origin for origin, _ in stage.sources if origin not in given]
    found = [bases[stage.index], *(source_of(origin, stage, stages) for origin in origins)]
    return [one for one in found if one is not None]
