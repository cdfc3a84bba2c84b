"""Running notebooks as their readers do, and comparing what comes out with what is stored: nbval."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from containerkit.testing import sanitizer
from tests import leftovers
from tests.engines import emptied

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


@contextmanager
def own_engine(place: Path) -> Iterator[dict[str, str]]:
    """The environment of a kernel whose default engine is below ``place``; at the end, nothing of that is left."""
    if os.geteuid() != 0:
        pytest.skip("needs root: run the tests as root to see it")
    before = leftovers.look()
    root, run = place / "root", place / "run"
    with emptied(root, run):
        yield {**os.environ, "CONTAINERKIT_ROOT": str(root), "CONTAINERKIT_RUN": str(run), "JUPYTER_PLATFORM_DIRS": "1"}
    found = leftovers.left(before)
    assert not found, "left behind:\n" + "\n".join(found)


def nbval(path: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run it once; every output that is not the stored one is a test that fails."""
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-sanitize-with", str(sanitizer()), "-q",
               "-p", "no:cacheprovider", "--rootdir", str(NOTEBOOKS.parent), str(path)]  # fmt: skip
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def run_twice(path: Path, environment: dict[str, str]) -> None:
    """Both times it runs, with the outputs that are stored."""
    for attempt in (1, 2):
        done = nbval(path, environment)
        assert done.returncode == 0, f"run {attempt}:\n{done.stdout[-6000:]}"


def check_stored(path: Path) -> None:
    """It is stored as it was run, without errors, and little is left out of the comparison."""
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] is not None for cell in cells)
    assert sum("NBVAL_IGNORE_OUTPUT" in "".join(cell["source"]) for cell in cells) <= max(1, len(cells) // 10)
    for cell in cells:
        assert not any(output["output_type"] == "error" for output in cell["outputs"])
