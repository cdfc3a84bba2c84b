"""What docstrings show is true: each example runs as it stands.

Examples have ``ck``, whose default engine has one image, ``busybox``, and is empty otherwise; and these names, as the
README's: ``image`` (that image), ``box`` (a container of it that runs), ``notes`` (a volume with one file).
"""

from __future__ import annotations

import builtins
import doctest
import importlib
import inspect
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import containerkit as ck
from tests.servers import free_port

_ROOT = Path(ck.__file__).parent
_MODULES = sorted(
    ".".join(("containerkit", *path.relative_to(_ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in _ROOT.rglob("*.py")
    if re.search(r"^ *>>> ", path.read_text(), re.MULTILINE)
)
#: Ports of the host in examples: others may have them here.
_PORTS = ("8080", "9323")


def _documented(module: ModuleType) -> Iterator[tuple[str, str | None]]:
    yield module.__name__, module.__doc__
    for name, value in vars(module).items():
        if getattr(value, "__module__", None) == module.__name__:
            yield f"{module.__name__}.{name}", value.__doc__
        if inspect.isclass(value) and value.__module__ == module.__name__:
            for member, method in vars(value).items():
                if isinstance(method, classmethod | staticmethod | property) or inspect.isfunction(method):
                    yield f"{module.__name__}.{name}.{member}", method.__doc__


def _is_here(text: str, source: str) -> bool:
    """Whether it has an example, and that is not another module's (options/names.explained_by)."""
    found = re.search(r">>> (.*)", text)
    return found is not None and found[1] in source.replace("\\\\", "\\")


def _names(text: str) -> dict[str, Any]:
    """Those that ``text`` uses and does not make itself."""
    made: dict[str, Callable[[], Any]] = {
        "image": lambda: ck.images["busybox"],
        "box": lambda: ck.run("busybox", "sleep 600", name="box"),
        "notes": lambda: _notes(),
    }
    wanted = {name: make for name, make in made.items() if re.search(rf"\b{name}\b(?!=| =)", text)}
    return {name: make() for name, make in wanted.items() if not re.search(rf">>> {name} =", text)}


def _notes() -> ck.Volume:
    ck.call("busybox", "touch /data/note", volumes=["notes:/data"], check=True)
    return ck.Volume.get("notes")


def _empty(engine: ck.Engine, kept: ck.Image) -> None:
    for container in engine.containers:
        container.remove(force=True, volumes=True)
    for volume in engine.volumes:
        volume.remove()
    for image in engine.images:
        if image != kept:
            ck.Image.get(image.id, engine=engine).remove(force=True)
    engine.prune()


@pytest.mark.parametrize("name", _MODULES)
def test_examples_in_docstrings_run(
    name: str, engine: ck.Engine, image: ck.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(name)
    source = inspect.getsource(module)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    said: list[str] = []
    # Each example's value becomes that; where there is one, IPython makes none.
    monkeypatch.setattr(builtins, "_", None, raising=False)
    ck.set_default_engine(engine)
    try:
        for number, (where, text) in enumerate(_documented(module)):
            if not text or not _is_here(text, source):
                continue
            (place := tmp_path / str(number)).mkdir()
            monkeypatch.chdir(place)
            for port in _PORTS:
                text = text.replace(port, str(free_port()))
            names = {"ck": ck, "os": os, "__name__": "__main__", **_names(text)}
            test = doctest.DocTestParser().get_doctest(text, {**vars(module), **names}, where, module.__file__, 0)
            runner.run(test, out=said.append)
            _empty(engine, image)
    finally:
        ck.set_default_engine(None)
    assert not runner.failures, "".join(said)
