"""Rules: what can be built and most likely is not meant. Names and meanings are those of Docker's build checks.

``lint`` has the rules on single instructions and on what is written, ``lintstages`` those on stages and variables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from containerkit.dockerfile import flags, jsonform, lintstages, reading
from containerkit.dockerfile.instruction import Instruction
from containerkit.dockerfile.lines import Line
from containerkit.dockerfile.lintstages import undefined_variables
from containerkit.dockerfile.making import Add, Arg, Copy, From, Run
from containerkit.dockerfile.problems import Warning
from containerkit.dockerfile.setting import Cmd, Entrypoint, Env, Expose, Label, Maintainer, Volume
from containerkit.dockerfile.stages import Stage

__all__ = ["check", "undefined_variables"]

_SECRET = re.compile(
    r"(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE
)
_PUBLIC = re.compile(r"(?:_|^)public(?:_|$)", re.IGNORECASE)


def check(read: Sequence[tuple[Line, Instruction]], before: Sequence[Arg], stages: Sequence[Stage]) -> list[Warning]:
    """What the rules say of a file, in the order of its lines."""
    found = list(_keyword_casing(read))
    for line, one in read:
        for rule in _SINGLE:
            found += rule(line, one)
    found += lintstages.check(before, stages)
    return sorted(found, key=lambda one: (one.location.first, one.rule))


def _keyword_casing(read: Sequence[tuple[Line, Instruction]]) -> Iterator[Warning]:
    words = [reading.split(line.text)[0] for line, _ in read]
    lower, upper = sum(map(str.islower, words)), sum(map(str.isupper, words))
    wanted = str.lower if lower > upper else str.upper
    for word, (_, one) in zip(words, read, strict=True):
        if word != wanted(word):
            yield Warning(
                "ConsistentInstructionCasing", f"{word} should be {wanted(word)}, as most of the file is written",
                one.location, "write all instructions in the same case",
            )  # fmt: skip


def _as_casing(line: Line, one: Instruction) -> Iterator[Warning]:
    if isinstance(one, From) and one.name:
        keyword, between = line.text.split()[0], line.text.split()[-2]
        wanted = between.lower() if keyword.islower() else between.upper() if keyword.isupper() else between
        if between != wanted:
            yield Warning("FromAsCasing", f"{between} should be {wanted}, as {keyword} is written", one.location,
                          "write FROM and AS in the same case")  # fmt: skip


def _name_casing(line: Line, one: Instruction) -> Iterator[Warning]:
    if isinstance(one, From) and one.name and (name := line.text.split()[-1]) != one.name:
        yield Warning("StageNameCasing", f"stage name {name} should be in lower case", one.location,
                      "stage names have no case; write them as they are compared")  # fmt: skip


def _gaps(line: Line, one: Instruction) -> Iterator[Warning]:
    if line.has_gap:
        yield Warning("NoEmptyContinuation", f"{one.keyword} goes on after an empty line", one.location,
                      "remove the empty line, or the mark that continues the line before it")  # fmt: skip


def _maintainer(line: Line, one: Instruction) -> Iterator[Warning]:
    if isinstance(one, Maintainer):
        yield Warning("MaintainerDeprecated", "MAINTAINER is deprecated", one.location,
                      f'write LABEL org.opencontainers.image.authors="{one.author}"')  # fmt: skip


def _legacy(line: Line, one: Instruction) -> Iterator[Warning]:
    if isinstance(one, (Env, Label)) and reading.is_legacy(reading.split(line.text)[1], one.escape):
        name, value = one.pairs[0]
        yield Warning("LegacyKeyValueFormat", f"{one.keyword} {name} …: the form with a space is outdated",
                      one.location, f"write {one.keyword} {name}={value}")  # fmt: skip


def _secrets(line: Line, one: Instruction) -> Iterator[Warning]:
    for name, _ in one.pairs if isinstance(one, (Env, Arg)) else ():
        if _SECRET.search(name) and not _PUBLIC.search(name):
            yield Warning("SecretsUsedInArgOrEnv", f"{one.keyword} {name}: whoever has the image can read it",
                          one.location, "use RUN --mount=type=secret")  # fmt: skip


def _not_quite_json(line: Line, one: Instruction) -> Iterator[Warning]:
    if isinstance(one, _WITH_LISTS) and _is_meant_as_list(reading.split(line.text)[1]):
        yield Warning("JSONArgsRecommended", f"{one.keyword}: looks like a list and is not JSON, so it is no list",
                      one.location, 'write ["a", "b"]: double quotes, and backslashes twice')  # fmt: skip


def _is_meant_as_list(text: str) -> bool:
    _, rest = flags.take(text)
    return jsonform.is_meant(rest) and jsonform.read(rest) is None


def _exposed(line: Line, one: Instruction) -> Iterator[Warning]:
    for word in one.ports if isinstance(one, Expose) else ():
        port, _, protocol = word.partition("/")
        if protocol != protocol.lower() and "$" not in protocol:
            yield Warning("ExposeProtoCasing", f"EXPOSE {word}: the protocol should be in lower case", one.location,
                          f"write {port}/{protocol.lower()}")  # fmt: skip
        if ":" in re.sub(r"\$\{[^}]*\}", "", word):
            yield Warning("ExposeInvalidFormat", f"EXPOSE {word}: an address or a port of the host has no meaning here",
                          one.location, "write the container's port alone; it is published when it runs")  # fmt: skip


_WITH_LISTS = (Add, Cmd, Copy, Entrypoint, Run, Volume)
_SINGLE: Sequence[Callable[[Line, Instruction], Iterator[Warning]]] = (
    _as_casing, _name_casing, _gaps, _maintainer, _legacy, _secrets, _not_quite_json, _exposed,
)  # fmt: skip
