"""Every operation, hit at a few points of each kind; ``./dev faults`` hits at all of them."""

from __future__ import annotations

import pytest

from tests.faults.case import Bench
from tests.faults.faults import Kind, spread
from tests.faults.operations import OPERATIONS, Operation


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_an_operation_that_is_hit_loses_nothing_and_leaves_nothing(bench: Bench, operation: Operation) -> None:
    plain = bench.carry_out(operation)
    faults = [fault for kind in Kind for fault in spread(kind, plain.counts[kind], 1)]
    outcomes = [plain, *(bench.carry_out(operation, fault) for fault in faults)]
    assert len(faults) >= 2
    problems = [str(outcome) for outcome in outcomes if outcome.problems]
    assert not problems, "\n".join(problems)
