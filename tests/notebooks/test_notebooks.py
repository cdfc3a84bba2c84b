"""The notebooks are the documentation: each runs from top to bottom, twice in a row, with the outputs it has stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.notebookruns import NOTEBOOKS, check_stored, nbval, own_engine, run_twice

PATHS = sorted([*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("course/*.ipynb")])


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_notebook_runs_twice_in_a_row(path: Path, tmp_path: Path) -> None:
    with own_engine(tmp_path) as environment:
        run_twice(path, environment)


def test_a_stored_output_that_is_not_true_is_found_in_every_cell(tmp_path: Path) -> None:
    notebook = json.loads((NOTEBOOKS / "02_rights.ipynb").read_text())
    broken = 0
    for cell in notebook["cells"]:
        texts = [text for output in cell.get("outputs", ()) if (text := _text(output))]
        for text in texts:
            text[0] = f"not {text[0]}"
        broken += bool(texts)
    (tmp_path / "broken.ipynb").write_text(json.dumps(notebook))
    with own_engine(tmp_path) as environment:
        done = nbval(tmp_path / "broken.ipynb", environment)
    assert broken > 3 and f"{broken} failed" in done.stdout, done.stdout[-6000:]


def _text(output: dict[str, Any]) -> list[str]:
    """The lines of an output, to change."""
    found: list[str] = output["text"] if output["output_type"] == "stream" else output["data"].get("text/plain", [])
    return found


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_notebook_is_stored_with_outputs_and_little_is_ignored(path: Path) -> None:
    check_stored(path)
