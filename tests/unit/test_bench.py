"""What is measured beside the peers: medians, ratios and goals; what is kept of them; that all figures are measured."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.bench import groups, history, machine, report
from tests.bench.alternating import in_turns, once, timed
from tests.bench.bench import Bench
from tests.bench.figures import FIGURES, Figure, Goal
from tests.bench.machine import Run
from tests.bench.samples import Measurement, Samples
from tests.bench.side import Keeping, Side, Work

RUN = Run("2026-11-29T19:30Z", "0123456789", 2, "Linux 6.1", 0.5)
OURS = Samples(10, 9, 1, 15)
SLOW = Samples(300, 250, 40, 15)
FIGURE = Figure("P1", "run", goal=Goal(15))


class Counting(Side):
    """Counts what it does into a list that all share; ``fails`` from that call on."""

    def __init__(self, name: str, done: list[str], fails: int = 99) -> None:
        self.name, self._done, self._fails = name, done, fails

    def works(self) -> dict[str, Work]:
        return {"P1": Work(self._do, before=lambda: self._done.append(f"before {self.name}"))}

    def _do(self) -> None:
        self._done.append(self.name)
        if self._done.count(self.name) >= self._fails:
            raise RuntimeError("it cannot")


def bench(*sides: Side, absent: tuple[str, ...] = ()) -> Bench:
    first, *others = sides
    return Bench(first, others, absent, Path("/nowhere"), runs=3)  # type: ignore[arg-type]  # not a real one of ours


def test_samples_are_a_median_the_least_and_the_distance_between_the_quartiles() -> None:
    assert Samples.of([5, 1, 2, 4, 3]) == Samples(median=3, least=1, spread=2, count=5)
    assert Samples.of([7]) == Samples(7, 7, 0, 1)


def test_a_ratio_says_how_many_times_as_good_ours_is() -> None:
    assert Measurement(FIGURE, OURS, {"docker": SLOW}).ratio("docker") == 30
    rates = replace(FIGURE, unit="Gbit/s", more_is_better=True)
    assert Measurement(rates, SLOW, {"docker": OURS}).ratio("docker") == 30


@pytest.mark.parametrize(("goal", "limit", "is_met"), [
    (Goal(15), 15, True), (Goal(10), 10, True), (Goal(9.9), 9.9, False), (None, None, None),
    (Goal(0.5, "docker"), 150, True), (Goal(0.01, "docker"), 3, False), (Goal(0.5, "podman"), None, None),
])  # fmt: skip
def test_a_goal_is_in_the_unit_or_of_what_another_took(
    goal: Goal | None, limit: float | None, is_met: bool | None
) -> None:
    found = Measurement(replace(FIGURE, goal=goal), OURS, {"docker": SLOW})
    assert (found.limit, found.is_met) == (limit, is_met)


def test_sides_take_turns_and_the_first_round_is_not_counted() -> None:
    done: list[str] = []
    a, b = Counting("containerkit", done), Counting("docker", done)
    works = {side.name: side.works()["P1"] for side in (a, b)}
    times = in_turns(bench(a, b), works, 3, once)
    assert done == ["before containerkit", "containerkit", "before docker", "docker"] * 4
    assert {name: len(values) for name, values in times.items()} == {"containerkit": 3, "docker": 3}


def test_what_takes_milliseconds_is_done_six_times_in_a_turn() -> None:
    done: list[str] = []
    found = list(timed("P1")(bench(Counting("containerkit", done), Counting("docker", done))))
    turn = [word for name in ("containerkit", "docker") for word in (f"before {name}", name) * 6]
    turns = len(done[4:]) // len(turn)
    assert done[4:] == turn * turns and [one.figure.id for one in found] == ["P1", "P1-cold"]
    assert [(one.ours.count, one.others["docker"].count) for one in found] == [(5 * turns, 5 * turns), (turns, turns)]


def test_a_peer_that_cannot_or_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    done: list[str] = []
    sides = Counting("containerkit", done), Counting("docker", done), Counting("podman", done, fails=2)
    found, cold = timed("P1")(bench(*sides, absent=("runc",)))
    assert list(found.others) == ["docker"] and found.missing == cold.missing == ("runc", "podman")
    assert "not measured: podman: it cannot" in capsys.readouterr().out
    assert "podman             missing" in report.details(found)


def test_ours_has_to_work() -> None:
    with pytest.raises(RuntimeError, match="it cannot"):
        list(timed("P1")(bench(Counting("containerkit", [], fails=1))))


def test_a_figure_that_is_left_out_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(bench: Bench) -> Iterator[Measurement]:
        yield Measurement(FIGURES["P13"], OURS)

    monkeypatch.setitem(groups._WORKS, "P13", [half])
    with pytest.raises(LookupError, match="not measured: P13-first"):
        list(groups.measured(bench(Counting("containerkit", [])), "P13"))


def test_every_id_of_the_table_is_a_figure_and_belongs_to_a_group_that_is_measured() -> None:
    assert [id for id in FIGURES if "-" not in id and id.startswith("P")] == [f"P{n}" for n in range(1, 16)]
    assert {figure.group for figure in FIGURES.values()} == set(groups.GROUPS)


class Sleeping(Keeping):
    """Counts what runs; its containers are kept by this process."""

    def __init__(self, name: str, networks: list[str]) -> None:
        self.name, self.networks, self.ids = name, networks, set[str]()

    def works(self) -> dict[str, Work]:
        return {}

    def start(self, network: str) -> str:
        self.networks.append(network)
        self.ids.add(id := str(len(self.networks)))
        return id

    def remove(self, ids: list[str]) -> None:
        self.ids -= set(ids)

    def keeper(self, id: str) -> int:
        return os.getpid()


def test_growth_is_measured_up_to_500_and_beside_the_peers_up_to_50(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "populate", lambda size: None)  # 10 s, and nothing is started here
    ours, docker = Sleeping("containerkit", []), Sleeping("docker", [])
    found = list(groups.measured(bench(ours, docker), "P15"))
    assert [one.figure.id for one in found] == ["P15", "P15-bridge", "P15-50"]
    assert all(one.limit == 1.2 * one.others["the 1st"].median for one in found)
    assert set(found[2].others) == {"the 1st", "docker", "docker: the 1st"}
    assert ours.networks == ["none"] * 500 + ["bridge"] * 500 + ["none"] * 50 and docker.networks == ["none"] * 50
    assert not ours.ids and not docker.ids


def test_memory_is_of_20_that_run_at_the_same_time() -> None:
    (found,) = groups.measured(bench(ours := Sleeping("containerkit", []), Sleeping("podman", [])), "P12")
    assert found.ours.count == found.others["podman"].count == 20 and found.ours.median > 1
    assert len(ours.networks) == 20 and not ours.ids


@pytest.mark.parametrize("measurement", [
    Measurement(FIGURE, OURS, {"docker": SLOW}, ("podman",)),
    Measurement(Figure("N1", "bytes", "Gbit/s", more_is_better=True), OURS),
    Measurement(Figure("P11", "pull", "s", Goal(0.5, "docker")), OURS, {"docker": SLOW}),
])  # fmt: skip
def test_the_history_gives_back_what_was_saved(measurement: Measurement, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert history.read(path) == []
    entries = [history.Entry(RUN, measurement), history.Entry(replace(RUN, load=2), measurement)]
    for entry in entries:
        history.append(entry, path)
    assert history.read(path) == entries and len(path.read_text().splitlines()) == 2


def test_a_line_of_the_history_says_when_where_what_and_how_much() -> None:
    ours = Samples(10.123456, 9.87654, 0, 1)
    line = json.loads(history.Entry(RUN, Measurement(FIGURE, ours, {"docker": SLOW})).dump())
    assert line == {
        "date": "2026-11-29T19:30Z", "commit": "0123456789", "cores": 2, "kernel": "Linux 6.1", "load": 0.5,
        "id": "P1", "title": "run", "unit": "ms", "goal": {"most": 15, "of": ""}, "more_is_better": False,
        "is_large": False, "ours": {"median": 10.12, "least": 9.877, "spread": 0, "count": 1},
        "others": {"docker": asdict(SLOW)}, "missing": [],
    }  # fmt: skip


def test_a_run_says_where_it_is_from_in_general_words() -> None:
    run = Run.now()
    assert re.fullmatch(r"Linux \d+\.\d+", run.kernel) and run.cores >= 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\dZ", run.date)
    assert re.fullmatch(r"([0-9a-f]{10,}\+?)?", run.commit), "none where there is no repository"


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"date": 1}'])
def test_what_is_no_line_of_the_history_is_an_error(line: str) -> None:
    with pytest.raises(ValueError):
        history.Entry.parse(line)


def test_the_history_tells_how_a_figure_went() -> None:
    entries = [history.Entry(RUN, Measurement(FIGURE, replace(OURS, median=n), {"docker": SLOW})) for n in (30, 10)]
    text = report.history(entries, ["P1"])
    assert text.count("P1  run, ms") == 1
    assert text.index("MISSED   docker 10.0") < text.index("met   docker 30.0")
    assert report.history(entries, ["P2"]) == ""


def test_the_saved_history_can_be_read_and_its_figures_are_known() -> None:
    saved = [entry.measurement.figure.id for entry in history.read()]
    assert saved and set(saved) <= set(FIGURES)
