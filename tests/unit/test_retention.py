"""Which backups are kept."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from containerkit import InvalidArgument
from containerkit.backup.retention import Retention, kept

NOON = datetime(2024, 3, 1, 12, tzinfo=timezone.utc)


def days(*ages: float) -> list[float]:
    return [(NOON - timedelta(days=age)).timestamp() for age in ages]


def test_the_last_ones_are_kept() -> None:
    assert kept(days(3, 2, 1, 0), Retention(last=2)) == {2, 3}


def test_the_newest_of_each_day_is_kept_and_days_without_do_not_count() -> None:
    assert kept(days(9, 9.2, 1, 0.1, 0), Retention(daily=3)) == {0, 2, 4}


def test_weeks_months_and_years() -> None:
    times = days(*range(800))
    found = kept(times, Retention(weekly=2, monthly=3, yearly=3))
    moments = sorted(datetime.fromtimestamp(times[place], timezone.utc).date().isoformat() for place in found)
    # Today is the newest of its week, month and year; the others are the last days of theirs.
    assert moments == ["2022-12-31", "2023-12-31", "2024-01-31", "2024-02-25", "2024-02-29", "2024-03-01"]


@pytest.mark.parametrize("counts", [{}, {"last": -1}, {"daily": True}, {"weekly": 1.5}])
def test_what_cannot_be_is_refused(counts: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match="keep"):
        Retention(**counts)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 2e9), max_size=60), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(1, 9)
)
def test_the_newest_is_always_kept_and_never_more_than_said(
    times: list[float], last: int, daily: int, weekly: int, yearly: int
) -> None:
    found = kept(times, Retention(last=last, daily=daily, weekly=weekly, yearly=yearly))
    assert len(found) <= last + daily + weekly + yearly
    assert not times or max(times) in {times[place] for place in found}
