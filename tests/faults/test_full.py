"""A disk that is full: what cannot be done says so and changes nothing; and prune makes room."""

from __future__ import annotations

import pytest

from tests.faults.case import Bench
from tests.faults.operations import BY_NAME


@pytest.mark.parametrize("name", ["pull", "backup file", "restore", "prune"])
def test_a_full_disk_changes_nothing(bench: Bench, name: str) -> None:
    outcomes = [bench.fill(BY_NAME[name], free) for free in (0, 32 << 10)]
    problems = [str(outcome) for outcome in outcomes if outcome.problems]
    assert not problems, "\n".join(problems)
    assert outcomes[0].told == {} if name == "prune" else outcomes[0].told["error"]
