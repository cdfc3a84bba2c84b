"""Each parser, with cases that are always the same. ``./dev fuzz`` goes on where these end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.all import PARSERS
from tests.fuzz.case import Parser, check


@pytest.mark.parametrize("one", PARSERS.values(), ids=list(PARSERS))
def test_foreign_bytes_become_a_value_or_an_error_that_says_so(one: Parser) -> None:
    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=one.examples,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(one.inputs)
    def holds(case: Any) -> None:
        check(one, case)

    for case in one.known:
        check(one, case)
    holds()
