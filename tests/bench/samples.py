"""What was measured: samples in short, and a figure with ours, the others' and whether its goal is met."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.figures import Figure


@dataclass(frozen=True)
class Samples:
    """Some values in short, in the unit of their figure; ``spread`` is the distance between the quartiles."""

    median: float
    least: float
    spread: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Samples:
        """Of these; at least one.

        Raises:
            statistics.StatisticsError: there are none.
        """
        low, _, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else (0.0, 0.0, 0.0)
        return cls(statistics.median(values), min(values), high - low, len(values))


@dataclass(frozen=True)
class Measurement:
    """One figure, measured.

    ``others`` are the peers beside which it was measured, and what else a goal may be about; ``missing`` the names of
    the peers that should have been there and were not.
    """

    figure: Figure
    ours: Samples
    others: Mapping[str, Samples] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def ratio(self, other: str) -> float:
        """How many times as good ours is."""
        theirs, ours = self.others[other].median, self.ours.median
        return ours / theirs if self.figure.more_is_better else theirs / ours

    @property
    def limit(self) -> float | None:
        """What ours may be at most, in the figure's unit; None without a goal, or without whom the goal is about."""
        goal = self.figure.goal
        if goal is None:
            return None
        if not goal.of:
            return goal.most
        return goal.most * self.others[goal.of].median if goal.of in self.others else None

    @property
    def is_met(self) -> bool | None:
        """Whether the median is within the goal; None where that cannot be said."""
        return None if self.limit is None else self.ours.median <= self.limit
