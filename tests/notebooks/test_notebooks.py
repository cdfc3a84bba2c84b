"""The notebooks are the documentation: each runs from top to bottom, twice in a row, with the outputs it has stored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerkit import Engine
from tests import leftovers

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An engine of the test's own, as the default of the notebook's kernel."""
    if os.geteuid() != 0:
        pytest.skip("needs root: run the tests as root to see it")
    before = leftovers.look()
    places = {"CONTAINERKIT_ROOT": str(tmp_path / "root"), "CONTAINERKIT_RUN": str(tmp_path / "run")}
    yield {**os.environ, **places, "JUPYTER_PLATFORM_DIRS": "1"}
    engine = Engine(root=places["CONTAINERKIT_ROOT"], run=places["CONTAINERKIT_RUN"])
    engine.prune()  # the default network's bridge and firewall
    engine.close()
    found = leftovers.left(before, timeout=10)
    assert not found, "left behind:\n" + "\n".join(found)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_twice_in_a_row(path: Path, environment: dict[str, str]) -> None:
    for attempt in (1, 2):
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--nbval",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(ROOT),
            str(path),
        ]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"run {attempt}:\n{done.stdout[-6000:]}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_with_outputs_and_little_is_ignored(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] is not None for cell in cells)
    assert sum("NBVAL_IGNORE_OUTPUT" in "".join(cell["source"]) for cell in cells) <= len(cells) // 10
    for cell in cells:
        assert not any(output["output_type"] == "error" for output in cell["outputs"])
