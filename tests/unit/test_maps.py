"""Packages say what is in them: their docstrings are the map of the tree, and the map is true."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import containerkit

_ROOT = Path(containerkit.__file__).parent
_PACKAGES = sorted(found.parent for found in _ROOT.rglob("__init__.py"))
#: What is said of a file: `name.py`, ``name.py``, room/name.py …
_FILE = re.compile(r"(?<![\w./-])((?:[a-z_0-9]+/)*(?!conftest)[a-z_0-9]+\.py)\b")
#: A first column of names, as tables and lists of files have it.
_COLUMN = re.compile(r"^ *((?:``[a-z_0-9/]+``[, ]*)+) {2,}", re.MULTILINE)


def _said(package: Path) -> str:
    return ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""


def _modules(package: Path) -> list[str]:
    files = [path.stem for path in package.glob("*.py") if not path.stem.startswith("__")]
    return sorted(files + [path.parent.name for path in package.glob("*/__init__.py")])


def _named(text: str) -> set[str]:
    """The names in text that stand for modules: ``name``, name.py, room/name, (name), and a list's first column."""
    marked = [
        *(double or single for double, single in re.findall(r"``([^`]+)``|`([^`]+)`", text)),
        *re.findall(r"[\w/]+\.py\b|\w+(?:/\w*)+|\(\w+(?:, \w+)*\)", text),
        *re.findall(r"^ {2,}(\S+(?:, \S+)*)(?: {2}|$)", text, re.MULTILINE),
        *re.findall(r"[:;,] (\w+): ", text),
    ]
    return {name for mark in marked for name in re.findall(r"[a-z_0-9]+", mark)}


@pytest.mark.parametrize("package", _PACKAGES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_a_package_names_each_of_its_modules(package: Path) -> None:
    missing = set(_modules(package)) - _named(_said(package))
    assert not missing, f"the docstring of {package.name} does not say what these are for: {sorted(missing)}"


@pytest.mark.parametrize("package", _PACKAGES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_a_file_that_a_package_names_is_there(package: Path) -> None:
    text = _said(package)
    names = set(_FILE.findall(text))
    for column in _COLUMN.findall(text):
        names |= {name.rstrip("/") for name in re.findall(r"``([a-z_0-9/]+)``", column)}
    gone = [name for name in sorted(names) if not _is_there(package, name)]
    assert not gone, f"the docstring of {package.name} names what is not there: {gone}"


def _is_there(package: Path, name: str) -> bool:
    """Beside the docstring, in a room of it, or at the top."""
    places = [package, _ROOT, *(path for path in package.iterdir() if path.is_dir())]
    return any((place / name).exists() or (place / f"{name}.py").exists() for place in places)
