"""The index leads to every notebook, and every link in a notebook leads somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.notebookruns import NOTEBOOKS

PATHS = sorted(path for path in NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


def links(notebook: Path) -> list[Path]:
    """Where the relative links of its prose lead."""
    cells = json.loads(notebook.read_text())["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    targets = re.findall(r"\]\(([^)#:]+)\)", prose)
    return [(notebook.parent / target).resolve() for target in targets]


def test_the_index_leads_to_every_notebook_once() -> None:
    assert sorted([*links(NOTEBOOKS / "index.ipynb"), NOTEBOOKS / "index.ipynb"]) == PATHS


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_links_lead_to_files(path: Path) -> None:
    assert [str(target) for target in links(path) if not target.is_file()] == []
