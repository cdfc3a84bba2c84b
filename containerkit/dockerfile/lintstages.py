"""Rules on stages, on what follows what in them, and on variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from containerkit.dockerfile import jsonform
from containerkit.dockerfile.instruction import Instruction
from containerkit.dockerfile.making import Arg
from containerkit.dockerfile.problems import Warning
from containerkit.dockerfile.scope import PROXIES, SOURCE_DATE_EPOCH, Scope, platform_arguments
from containerkit.dockerfile.setting import Cmd, Entrypoint, Env, Healthcheck, OnBuild, Shell, Workdir
from containerkit.dockerfile.stages import SCRATCH, Stage, base_of, source_of
from containerkit.errors import InvalidArgument, suggestion
from containerkit.oci.manifest import Platform
from containerkit.oci.reference import Reference

_RESERVED = ("context", SCRATCH)
#: Any platform will do: what matters is which variables there are.
_ANY = platform_arguments(Platform("amd64", "linux", "v1"), Platform("amd64", "linux", "v1"))


def check(before: Sequence[Arg], stages: Sequence[Stage]) -> Iterator[Warning]:
    scope = _globals(before)
    bases = [base_of(stage, stages) for stage in stages]
    yield from _names(stages)
    yield from _unused(stages, bases)
    for stage in stages:
        yield from _from(stage, stages, scope, before)
        yield from _several(stage)
    yield from _shell_forms(stages, bases)
    yield from _relative(stages, bases)
    yield from _variables(stages, bases, scope)


def undefined_variables(instruction: Instruction, variables: Mapping[str, str]) -> list[Warning]:
    """What UndefinedVar says of an instruction, not yet expanded, where there are these variables.

    A build, which knows the base image's environment, asks this again.
    """
    absent = [name for name in instruction.missing(variables) if name not in PROXIES and name != SOURCE_DATE_EPOCH]
    return [
        Warning("UndefinedVar", f"{instruction.keyword}: variable ${name} is not set{_near(name, variables)}",
                instruction.location, "set it with ENV or ARG before it is used")
        for name in absent if name[0].isalpha() or name[0] == "_"
    ]  # fmt: skip


def _near(name: str, known: Mapping[str, str]) -> str:
    # Names differ in case more often than in a letter.
    same = [one for one in known if one.lower() == name.lower()]
    return f" (did you mean ${same[0]}?)" if same else suggestion(name, known, before="$")


def _globals(before: Sequence[Arg]) -> Scope:
    scope = Scope(automatic=_ANY)
    for one in before:
        try:
            scope = scope.after(one)
        except InvalidArgument:
            pass  # a ``?``, which a value given by the caller can satisfy
    return scope


def _names(stages: Sequence[Stage]) -> Iterator[Warning]:
    seen: dict[str, Stage] = {}
    for stage in stages:
        where = stage.base.location
        if stage.name in _RESERVED:
            yield Warning("ReservedStageName", f"stage name {stage.name} is reserved", where, "choose another name")
        if stage.name and stage.name in seen:
            first = seen[stage.name].base.location.first
            yield Warning("DuplicateStageName", f"stage name {stage.name} is there already, in line {first}", where,
                          "a name means the last stage that has it: choose another")  # fmt: skip
        seen.setdefault(stage.name, stage)


def _unused(stages: Sequence[Stage], bases: Sequence[Stage | None]) -> Iterator[Warning]:
    used = {stages[-1].index}
    for stage in stages:
        found = [bases[stage.index], *(source_of(origin, stage, stages) for origin, _ in stage.sources)]
        used |= {one.index for one in found if one is not None}
    # What a variable names could be any that has a name.
    last = max((stage.index for stage in stages if "$" in stage.base.image), default=0)
    used |= {one.index for one in stages[:last] if one.name}
    for stage in stages:
        if stage.index not in used:
            yield Warning("UnusedStage", f"stage {stage} is used by no other", stage.base.location,
                          "remove it, unless it is built as a target of its own")  # fmt: skip


def _from(stage: Stage, stages: Sequence[Stage], scope: Scope, before: Sequence[Arg]) -> Iterator[Warning]:
    base = stage.base
    absent = base.missing(scope.variables)
    declared = {name for one in before for name, _ in one.pairs}
    for name in absent:
        if name not in declared:
            yield Warning("UndefinedArgInFrom", f"FROM: ${name} is not set{_near(name, scope.variables)}",
                          base.location, f"write ARG {name} before the first FROM")  # fmt: skip
    yield from _platform(stage)
    if base.has_variables and not set(absent) - declared:
        try:
            image = base.expanded(scope.variables).image
            if image != SCRATCH and base_of(stage, stages, image) is None:
                Reference.parse(image)
        except InvalidArgument:
            yield Warning("InvalidDefaultArgInFrom", f"FROM {base.image}: with the defaults of ARG it names no image",
                          base.location, "give the ARG a default that does")  # fmt: skip


def _platform(stage: Stage) -> Iterator[Warning]:
    platform, where = stage.base.platform, stage.base.location
    if platform in ("$TARGETPLATFORM", "${TARGETPLATFORM}"):
        yield Warning("RedundantTargetPlatform", f"FROM --platform={platform}: that is the default", where,
                      "leave the flag out")  # fmt: skip
    elif platform and "$" not in platform and not any(part in stage.name for part in platform.split("/") if part):
        # A stage that has the platform in its name is for that one alone.
        yield Warning("FromPlatformFlagConstDisallowed", f"FROM --platform={platform}: holds for one platform only",
                      where, "leave the flag out, or write $BUILDPLATFORM or $TARGETPLATFORM")  # fmt: skip


def _several(stage: Stage) -> Iterator[Warning]:
    for kind in (Cmd, Entrypoint, Healthcheck):
        found = [one for one in stage.instructions if isinstance(one, kind)]
        for one in found[:-1]:
            yield Warning("MultipleInstructionsDisallowed", f"{kind.keyword} is there again, and that one counts",
                          one.location, f"leave one {kind.keyword} in each stage")  # fmt: skip


def _inherited(stages: Sequence[Stage], bases: Sequence[Stage | None], kind: type[Instruction]) -> list[bool]:
    """Of each stage, whether one that it is built on has such an instruction."""
    own = [any(isinstance(one, kind) for one in stage.instructions) for stage in stages]
    found: list[bool] = []
    for base in bases:  # a base is an earlier stage
        found.append(base is not None and (own[base.index] or found[base.index]))
    return found


def _shell_forms(stages: Sequence[Stage], bases: Sequence[Stage | None]) -> Iterator[Warning]:
    for stage, is_chosen in zip(stages, _inherited(stages, bases, Shell), strict=True):
        if is_chosen or any(isinstance(one, Shell) for one in stage.instructions):
            continue  # a shell that somebody chose is meant
        for one in stage.instructions:
            if not isinstance(one, (Cmd, Entrypoint)) or not isinstance(one.command, str):
                continue
            if not jsonform.is_meant(one.command):
                yield Warning("JSONArgsRecommended", f"{one.keyword}: in the shell form, signals reach the shell alone",
                              one.location, f'write {one.keyword} ["program", "argument"]')  # fmt: skip


def _relative(stages: Sequence[Stage], bases: Sequence[Stage | None]) -> Iterator[Warning]:
    for stage, is_set in zip(stages, _inherited(stages, bases, Workdir), strict=True):
        first = next((one for one in stage.instructions if isinstance(one, Workdir)), None)
        if first is not None and not is_set and not first.path.lstrip("\"'").startswith(("/", "$")):
            yield Warning("WorkdirRelativePath", f"WORKDIR {first.path}: depends on that of the base image",
                          first.location, "begin it with a slash")  # fmt: skip


def _variables(stages: Sequence[Stage], bases: Sequence[Stage | None], scope: Scope) -> Iterator[Warning]:
    """Of a stage on an image, whose environment nobody knows here, only what looks like a slip of the pen."""
    ends: list[tuple[Scope, bool]] = []
    for stage, base in zip(stages, bases, strict=True):
        if base is None:
            known, is_all = scope.stage({"PATH": ""}), stage.base.image == SCRATCH
        else:
            known, is_all = ends[base.index]
        for one in stage.instructions:
            if not isinstance(one, OnBuild):
                found = undefined_variables(one, known.variables)
                yield from (warning for warning in found if is_all or "did you mean" in warning.message)
            known = _after(known, one)
        ends.append((known, is_all))


def _after(scope: Scope, one: Instruction) -> Scope:
    # An ARG without a value is declared all the same, and a ``?`` says nothing of a name.
    if isinstance(one, Arg):
        return scope.stage(scope.env, {**scope.args, **{name: "" for name, _ in one.pairs}})
    if isinstance(one, Env):
        return scope.stage({**scope.env, **{name.strip("\"'"): "" for name, _ in one.pairs}}, scope.args)
    return scope
