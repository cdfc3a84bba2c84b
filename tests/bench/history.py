"""What was measured before: one JSON object per measurement and line, in ``history.jsonl`` beside this file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, Goal
from tests.bench.machine import Run
from tests.bench.samples import Measurement, Samples

PATH = Path(__file__).with_name("history.jsonl")


@dataclass(frozen=True)
class Entry:
    """A measurement of a run."""

    run: Run
    measurement: Measurement

    def dump(self) -> str:
        """Its line, without the end of the line."""
        one = self.measurement
        figure = asdict(one.figure)
        others = {name: _rounded(samples) for name, samples in one.others.items()}
        measured = {"ours": _rounded(one.ours), "others": others, "missing": list(one.missing)}
        return json.dumps({**asdict(self.run), **figure, **measured}, ensure_ascii=False)

    @classmethod
    def parse(cls, line: str) -> Entry:
        """What ``dump`` has written.

        Raises:
            ValueError: it is no JSON object with these keys.
        """
        try:
            return _entry(json.loads(line))
        except (KeyError, TypeError) as error:
            raise ValueError(f"line {line[:60]!r}…: {error}") from error


def append(entry: Entry, path: Path = PATH) -> None:
    """Add it at the end."""
    with open(path, "a") as file:
        file.write(entry.dump() + "\n")


def read(path: Path = PATH) -> list[Entry]:
    """All of them, from the oldest on; none when there is no file.

    Raises:
        ValueError: a line is not one of ours.
    """
    return [Entry.parse(line) for line in path.read_text().splitlines()] if path.exists() else []


def _rounded(samples: Samples) -> dict[str, Any]:
    """Four digits: more is noise."""
    return {name: float(f"{value:.4g}") if name != "count" else value for name, value in asdict(samples).items()}


def _entry(given: dict[str, Any]) -> Entry:
    run = Run(given.pop("date"), given.pop("commit"), given.pop("cores"), given.pop("kernel"), given.pop("load"))
    ours, missing = Samples(**given.pop("ours")), tuple(given.pop("missing"))
    others = {name: Samples(**samples) for name, samples in given.pop("others").items()}
    goal = given.pop("goal")
    return Entry(run, Measurement(Figure(goal=Goal(**goal) if goal else None, **given), ours, others, missing))
