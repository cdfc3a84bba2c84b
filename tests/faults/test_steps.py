"""``kill -9`` between two operations of a start: it fails whole, or goes on."""

from __future__ import annotations

import pytest

from containerkit import Engine, Image
from tests.faults.steps import WHOM, Whom, kill_before


@pytest.mark.parametrize("whom", WHOM)
def test_a_kill_between_two_steps(engine: Engine, image: Image, whom: Whom) -> None:
    total = kill_before(engine, 1, "init")
    for number in (*range(2, total, total // 4), total):
        kill_before(engine, number, whom)
