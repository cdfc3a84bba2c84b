"""The course's exercises: servers of a real distribution, built, run, asked. Needs mmdebstrap, and this machine's apt
sources within reach: they come from there, once for all five.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebookruns import NOTEBOOKS, check_stored, own_engine, run_twice

PATHS = sorted((NOTEBOOKS / "course/exercises").glob("*.ipynb"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One engine for all: an exercise finds the images of those before."""
    if shutil.which("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not installed (Debian package mmdebstrap)")
    place = tmp_path_factory.mktemp("exercises")
    try:
        with own_engine(place) as environment:
            yield environment
    finally:
        shutil.rmtree(place)  # a gigabyte


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_exercise_runs_twice_in_a_row(path: Path, environment: dict[str, str]) -> None:
    run_twice(path, environment)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_exercise_is_stored_with_outputs_and_little_is_ignored(path: Path) -> None:
    check_stored(path)
