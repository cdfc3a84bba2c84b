"""Execute a notebook and tell what happens: ``python -m tests.demo NOTEBOOK DIRECTORY``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.engines import emptied


def main(source: str, directory: str) -> None:
    """Execute ``source`` on an engine of its own, print prose, code and output, and keep all in ``directory``."""
    import os

    notebook = nbformat.read(source, as_version=4)  # type: ignore[no-untyped-call]  # it has no types
    with tempfile.TemporaryDirectory(prefix="containerkit-demo-") as scratch:
        os.environ.update(CONTAINERKIT_ROOT=f"{scratch}/root", CONTAINERKIT_RUN=f"{scratch}/run")
        client = NotebookClient(notebook, timeout=120, kernel_name="python3")
        with emptied(Path(scratch) / "root", Path(scratch) / "run"), client.setup_kernel():
            for index, cell in enumerate(notebook.cells):
                _show_source(cell)
                client.execute_cell(cell, index)
                _show_outputs(cell)
    target = Path(directory)
    target.mkdir(exist_ok=True)
    nbformat.write(notebook, target / Path(source).name)  # type: ignore[no-untyped-call]  # it has no types
    _write_html(notebook, target / Path(source).with_suffix(".html").name)


def _show_source(cell: Any) -> None:
    if cell.cell_type == "markdown":
        print(f"\n{cell.source}\n")
    else:
        print("\n".join(f"    >>> {line}" for line in cell.source.splitlines()))


def _show_outputs(cell: Any) -> None:
    for output in cell.get("outputs", ()):
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        print("\n".join(f"    {line}" for line in text.splitlines()))


def _write_html(notebook: Any, path: Path) -> None:
    from nbconvert import HTMLExporter

    body, _ = HTMLExporter().from_notebook_node(notebook)  # type: ignore[no-untyped-call]
    path.write_text(body)


if __name__ == "__main__":
    main(*sys.argv[1:3])
