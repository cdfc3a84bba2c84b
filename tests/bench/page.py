"""The page of plots: the notebook that reads the history, executed in its place."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

PATH = Path(__file__).parents[2] / "notebooks" / "13_performance.ipynb"


def renew(path: Path = PATH) -> None:
    """Execute it and store its outputs, as it is stored: without times of execution."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # it has no types
    metadata = dict(notebook.metadata)
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", record_timing=False, resources={"metadata": {"path": path.parent}}
    )
    client.execute()
    notebook.metadata.clear()
    notebook.metadata.update(metadata)
    path.write_text(nbformat.writes(notebook) + "\n")  # type: ignore[no-untyped-call]  # it has no types
