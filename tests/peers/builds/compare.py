"""What is not the same of two images, and what of that is known and meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from tests.peers.builds.builders import Refused
from tests.peers.builds.built import Built, Entry, Step, Tree
from tests.peers.builds.case import Expected

#: Differences of any case that are meant: a regular expression of the line, and why.
EXPLAINED: Mapping[str, str] = {
    r"^history \d+: .(RUN|WORKDIR) .*\(empty\)., not .\1 ": (
        "a step that changes nothing has no layer, as with the classic builder"
    ),
    r"^layers: ": "as the history says",
    r"^config ArgsEscaped: None, not True": "says something on Windows only",
    r"^history \d+: .ARG .*, not .ARG ": "BuildKit has come to write the value that an argument has",
    r"^history \d+: .(COPY|ADD) (?:--(?:chown|chmod)=\S+ )+(.*), not .\1 \2$": "BuildKit has come to write them",
    r"^history \d+: .(COPY|ADD) \[.*\]., not .\1 ": "words with spaces, or what looks like a list, are one",
    r"^history \d+: .(CMD|ENTRYPOINT|SHELL|VOLUME|EXPOSE|HEALTHCHECK) .*, not .\1 ": (
        "docker has the values as Go prints lists, maps and structures; they are compared in the config"
    ),
}
#: Differences of docker's classic builder from its BuildKit.
TWO_BUILDERS: Mapping[str, str] = {
    **{pattern: reason for pattern, reason in EXPLAINED.items() if "ArgsEscaped" in pattern},
    r"^config Env: ": "BuildKit writes the PATH that RUN has into the config",
    r"^config WorkingDir: None, not ./": "BuildKit has one for scratch",
    r"^history \d+: .RUN \(empty\)., not .RUN": "the classic builder has no layer where RUN changes nothing",
    r"^history \d+: .WORKDIR \(empty\)., not .WORKDIR": "nor where the directory of WORKDIR is there",
    r"^file .+?: .*, 0([0-7]{3}), .*; not .*, [246]\1, ": "the classic builder clears the bits of set-id in COPY",
    r"^file \S+: directory, .*, 0:0; not directory": "the classic builder makes directories as root",
    r"^layers: ": "as the history says",
}


def unexplained(lines: list[str], *explanations: Mapping[str, str]) -> list[str]:
    """The lines for which no table has a reason."""
    patterns = [pattern for table in explanations for pattern in table]
    return [line for line in lines if not any(re.search(pattern, line) for pattern in patterns)]


def differences(found: Built | Refused, wanted: Built | Refused, *, history: bool = True) -> list[str]:
    """One line each: what ``found`` has, and what it was to have.

    Args:
        history: the instructions themselves, too, not only what kinds of them there are.
    """
    if isinstance(found, Refused) or isinstance(wanted, Refused):
        return _refusals(found, wanted)
    lines = [*_mappings("config", found.config, wanted.config), *_mappings("image", found.about, wanted.about)]
    lines += _steps(found, wanted, history)
    lines += _trees("file", found.tree, wanted.tree)
    reported = {line.split(": ")[0].split(" ", 1)[1] for line in lines if line.startswith("file ")}
    for line in _layers(found, wanted):
        if line.split(": ")[0].split(" ", 2)[-1] not in reported:
            lines.append(line)
    return lines


def against(found: Built | Refused, expected: Expected) -> list[str]:
    """What is not as the case says by hand."""
    if isinstance(found, Refused):
        return [f"refused: {found.message}"]
    lines = [
        f"config {key}: {found.config.get(key)!r}, not {value!r}"
        for key, value in expected.config.items()
        if (found.config.get(key) or None) != value
    ]
    tree = found.tree
    for path, wanted in expected.files.items():
        lines += _fact(path, tree.get(path), wanted)
    lines += [f"file /{path}: is there" for path in expected.absent if path in tree]
    steps = own(found.history)
    if expected.layers is not None and (made := sum(not step.empty for step in steps)) != expected.layers:
        lines.append(f"layers: {made}, not {expected.layers}")
    if expected.history is not None and (said := tuple(step.created_by for step in steps)) != expected.history:
        lines.append(f"history: {said}, not {expected.history}")
    return lines


def own(history: tuple[Step, ...]) -> list[Step]:
    """The steps of the Dockerfile, without the import of the base, as either side writes that down."""
    return [step for step in history if not (step.comment.startswith("Imported") or step.created_by == "import")]


def instruction(step: Step) -> str:
    """As BuildKit writes it, whoever has written it; of the classic builder's RUN, its shell is part."""
    text = step.created_by.removesuffix(" # buildkit")
    if " #(nop) " in text:
        return text.partition(" #(nop) ")[2].strip()
    return text if text.split(" ")[0] in _KEYWORDS else f"RUN {text}"


_KEYWORDS = (
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "RUN",
    "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
)  # fmt: skip


def _refusals(found: Built | Refused, wanted: Built | Refused) -> list[str]:
    if isinstance(found, Refused):
        return [] if isinstance(wanted, Refused) else [f"refused: {found.message.splitlines()[-1]}"]
    return ["refused: not"]


def _mappings(name: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(found.keys() | wanted.keys()):
        if found.get(key) != wanted.get(key):
            yield f"{name} {key}: {found.get(key)!r}, not {wanted.get(key)!r}"


def _steps(found: Built, wanted: Built, exactly: bool) -> Iterator[str]:
    # Of ONBUILD, BuildKit writes nothing.
    both = ([_said(step, exactly) for step in own(image.history)] for image in (found, wanted))
    left = ([said for said in steps if exactly or not said.startswith("ONBUILD")] for steps in both)
    for number, (mine, theirs) in enumerate(zip_longest(*left), 1):
        if mine != theirs:
            yield f"history {number}: {mine!r}, not {theirs!r}"


def _said(step: Step, exactly: bool) -> str:
    text = instruction(step)
    return (text if exactly else text.split(" ")[0]) + (" (empty)" if step.empty else "")


def _trees(name: str, found: Tree, wanted: Tree) -> Iterator[str]:
    for path in sorted(found.keys() | wanted.keys()):
        if path not in found:
            yield f"{name} /{path}: missing, {wanted[path].described()}"
        elif path not in wanted:
            yield f"{name} /{path}: too much, {found[path].described()}"
        elif found[path].described() != wanted[path].described():
            yield f"{name} /{path}: {found[path].described()}; not {wanted[path].described()}"


def _layers(found: Built, wanted: Built) -> Iterator[str]:
    if len(found.layers) != len(wanted.layers):
        yield f"layers: {len(found.layers)}, not {len(wanted.layers)}"
        return
    for number, (one, other) in enumerate(zip(found.changes(), wanted.changes(), strict=True)):
        yield from _trees(f"layer {number}", one, other)


def _fact(path: str, entry: Entry | None, wanted: str | Mapping[str, Any]) -> Iterator[str]:
    if entry is None:
        yield f"file /{path}: missing"
    elif isinstance(wanted, str):
        if entry.content != wanted.encode():
            yield f"file /{path}: {entry.content[:200]!r}, not {wanted!r}"
    else:
        for key, value in wanted.items():
            if (has := getattr(entry, key)) != value:
                yield f"file /{path}: {key} {has!r}, not {value!r}"
