"""What is done every now and then."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, tzinfo

import pytest

from containerkit.notebook import timer
from containerkit.notebook.timer import Timer


class Clock(datetime):
    """One that somebody sets back."""

    offset = timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Clock:
        return super().now(tz) - cls.offset


def test_a_clock_that_is_set_back_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timer, "datetime", Clock)
    monkeypatch.setattr(Clock, "offset", Clock.offset)
    calls: list[Timer] = []
    twice = threading.Event()

    def work(own: Timer) -> None:
        Clock.offset = timedelta(hours=1)
        calls.append(own)
        if len(calls) == 2:
            twice.set()

    running = Timer(0.01, work, "test")
    try:
        assert twice.wait(20)
    finally:
        running.stop()
