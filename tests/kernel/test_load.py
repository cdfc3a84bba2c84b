"""The scenarios of ``./dev load``, with small numbers: they go through, and what no clock counts is right."""

from __future__ import annotations

from itertools import pairwise

import pytest

from containerkit import Engine, Image
from tests.load import among, created, running, starts


@pytest.fixture
def loaded(engine: Engine, image: Image) -> Engine:
    image.tag("load")
    engine.call("load", "true")
    return engine


def test_what_runs_at_once_is_measured_heard_of_and_logs(loaded: Engine) -> None:
    figures = {figure.what: figure for figure in running.measure(loaded, 4, 60, span=0.5)}
    assert figures["running"].value == 4
    assert not figures["events that were not heard of"].value and not figures["logs with nothing in them"].value
    assert len(loaded.containers) == 0


def test_nothing_is_left_of_starts_and_of_what_was_created(loaded: Engine) -> None:
    assert {figure.what: figure for figure in created.measure(loaded, 6, 60)}["left in the list"].is_reached
    measured = list(starts.measure(loaded, 20, 60))
    growth = {before.what: now.value for before, now in pairwise(measured) if "more" in now.what}
    for what in ("descriptors of this process", "descriptors of the spawner", "files below the root",
                 "files below the run directory", "events, thousands", "rows of all other tables"):  # fmt: skip
        assert growth[what] == 0, what


def test_works_go_on_among_others(loaded: Engine) -> None:
    for kind in among.KINDS:
        among.KINDS[kind](loaded, 7)
    figures = list(among.measure("networks", loaded, 2, 60, times=1))
    assert len(figures) == 1 + 2 * len(among.works(loaded))
    assert next(among.layers(loaded, 3, 60, times=1)).value == 4


def test_lists_ask_as_many_questions_of_three_as_of_one(loaded: Engine) -> None:
    asked: list[str] = []
    loaded.store.database.connection().set_trace_callback(asked.append)
    counts = []
    for number in range(3):
        for kind in ("containers", "images", "volumes"):
            among.KINDS[kind](loaded, number)
        asked.clear()
        assert len(loaded.images.rows()) == 2 + number + 1 and len(loaded.volumes.rows()) == number + 1
        assert len(loaded.containers.rows()) == number + 1
        counts.append(len(asked))
    loaded.store.database.connection().set_trace_callback(None)
    assert counts[0] == counts[2], asked
