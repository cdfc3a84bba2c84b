"""A case's verdicts: what remains of its differences, builder by builder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.peers.builds.builders import Dockers, Ours, Refused
from tests.peers.builds.built import Built
from tests.peers.builds.case import Case
from tests.peers.builds.compare import EXPLAINED, TWO_BUILDERS, against, differences, unexplained


@dataclass(frozen=True)
class Verdict:
    """One row of the table.

    Args:
        builder: ``"ours"``; or ``"classic"``, where docker's two are compared with each other.
        reference: what it was compared with.
        open: the differences that nothing explains.
        explained: how many others there are.
    """

    case: str
    builder: str
    reference: str
    open: tuple[str, ...]
    explained: int

    def __str__(self) -> str:
        known = f" ({self.explained} explained)" if self.explained else ""
        said = "".join(f"\n    {line}" for line in self.open)
        return f"{self.case:42} {self.builder:8} {self.reference:9} {'differs' if self.open else 'same'}{known}{said}"


def of_ours(case: Case, dockers: Dockers, ours: Ours) -> Verdict:
    """Our build, by the reference and by what the case says itself."""
    found = ours.build(case)
    wanted = dockers.build(case, case.builders[0]) if case.builders else None
    return between(case, found, wanted)


def of_all(case: Case, dockers: Dockers, ours: Ours) -> Iterator[Verdict]:
    """Ours; and docker's two builders by each other, where both know the case."""
    theirs = {builder: dockers.build(case, builder) for builder in case.builders}
    yield between(case, ours.build(case), theirs[case.builders[0]] if theirs else None)
    if len(theirs) == 2:
        lines = differences(theirs["classic"], theirs["buildkit"], history=False)
        yield _verdict(case, "classic", "buildkit", lines, TWO_BUILDERS, case.differs)


def between(case: Case, found: Built | Refused, wanted: Built | Refused | None) -> Verdict:
    """Ours, and what docker's reference has made, if there is one."""
    lines = []
    if case.refused != isinstance(found, Refused):
        lines.append(f"refused: {found.message}" if isinstance(found, Refused) else "refused: not")
    elif not case.refused:
        lines += against(found, case.expected) if case.expected is not None else []
        lines += differences(found, wanted, history=case.builders[0] == "buildkit") if wanted is not None else []
    if wanted is not None and case.refused != isinstance(wanted, Refused):
        lines.append(f"docker: {wanted.message}" if isinstance(wanted, Refused) else "docker: refuses not")
    reference = case.builders[0] if case.builders else "by hand"
    return _verdict(case, "ours", reference, lines, EXPLAINED, case.ours)


def _verdict(
    case: Case, builder: str, reference: str, lines: list[str], common: Mapping[str, str], own: Mapping[str, str]
) -> Verdict:
    left = unexplained(lines, common, own)
    # An explanation of what is not there any more goes.
    stale = [f"explained, and not there: {pattern}" for pattern in own if unexplained(lines, {pattern: ""}) == lines]
    return Verdict(case.name, builder, reference, (*left, *stale), len(lines) - len(left))
