"""How a build went, step by step: what was found in the cache, what was carried out, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from containerkit.values import frozen
from containerkit.views import html, text
from containerkit.views.shown import Shown

if TYPE_CHECKING:
    import pandas

Outcome = Literal["hit", "miss", "config", "unknown", "failed"]
#: What a person reads; a step that changes no file needs no cache.
_SHOWN = {"hit": "HIT", "miss": "MISS", "config": "", "unknown": "not known", "failed": "FAILED"}
_COLUMNS = ("stage", "step", "instruction", "cache", "because", "seconds")


@frozen
class BuildStep:
    """One step of a build.

    Args:
        stage: the name of its stage, or its number.
        number: from 1 on, in its stage.
        instruction: as it was carried out.
        outcome: ``"hit"`` (found in the cache), ``"miss"`` (carried out), ``"config"`` (changes no files),
            ``"failed"``, or, of what was not built yet, ``"unknown"`` (it depends on a step that is a miss).
        because: of a miss, what is another one than the last time; of a failure, the error.
        seconds: how long it took.
        line: of the Dockerfile; 0 of a step that is not from one.
    """

    stage: str
    number: int
    instruction: str
    outcome: Outcome
    because: tuple[str, ...] = ()
    seconds: float = 0.0
    line: int = 0


def counted(steps: Sequence[BuildStep]) -> str:
    """How many there were of each kind, in words."""
    carried_out, found = (sum(step.outcome == kind for step in steps) for kind in ("miss", "hit"))
    return f"{carried_out} {'step' if carried_out == 1 else 'steps'} carried out, {found} from the cache"


class BuildReport(Sequence[BuildStep], Shown):
    """The steps of a build, in the order of the Dockerfile."""

    def __init__(self, steps: Sequence[BuildStep], warnings: Sequence[str] = ()) -> None:
        self._steps, self.warnings = tuple(steps), tuple(warnings)

    def __getitem__(self, index: Any) -> Any:
        return self._steps[index]

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[BuildStep]:
        return iter(self._steps)

    @property
    def hits(self) -> int:
        """How many were found in the cache."""
        return sum(step.outcome == "hit" for step in self._steps)

    @property
    def misses(self) -> int:
        """How many were carried out."""
        return sum(step.outcome == "miss" for step in self._steps)

    def frame(self) -> pandas.DataFrame:
        """As a pandas frame: stage, number, instruction, outcome, because, seconds."""
        import pandas

        rows = [{**asdict(step), "because": ", ".join(step.because)} for step in self._steps]
        columns = ["stage", "number", "instruction", "outcome", "because", "seconds", "line"]
        return pandas.DataFrame(rows, columns=columns)

    def rows(self) -> list[dict[str, str]]:
        """As a person sees them: stage, step, instruction, cache, because, seconds."""
        return [
            {"stage": step.stage, "step": str(step.number), "instruction": step.instruction,
             "cache": _SHOWN[step.outcome], "because": ", ".join(step.because), "seconds": f"{step.seconds:.3f}"}
            for step in self._steps
        ]  # fmt: skip

    def __repr__(self) -> str:
        return text.table(self.rows(), _COLUMNS, empty="no steps")

    def _repr_html_(self) -> str:
        return html.table(self.rows(), _COLUMNS, empty="no steps")

    def dumps(self) -> bytes:
        """As it is kept."""
        return json.dumps({"steps": [asdict(step) for step in self._steps], "warnings": self.warnings}).encode()

    @classmethod
    def loads(cls, data: bytes) -> BuildReport:
        """And back."""
        said = json.loads(data)
        steps = [BuildStep(**{**step, "because": tuple(step["because"])}) for step in said["steps"]]
        return cls(steps, said["warnings"])
