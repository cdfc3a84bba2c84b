"""Who comes from docker, its Python package or subprocess is told what to write here: options/foreign.py is true."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

import containerkit as ck
from containerkit import collection
from containerkit.options import BuildOptions, RunOptions, foreign

#: As mypy does not see it.
_ck: Any = ck
_CLASSES = {
    **{name: getattr(ck, name) for name in ("Container", "Image", "Volume", "Network", "Result", "Engine")},
    **{name: getattr(collection, name) for name in foreign.ATTRIBUTES if name.endswith("Collection")},
}
_OWN_OF_CALLS = {"input", "timeout", "check"}


def _parameters(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters)


def _method(name: str) -> Callable[..., Any]:
    owner, _, method = name.rpartition(".")
    found: Callable[..., Any] = getattr(_CLASSES[owner] if owner else ck, method)
    return found


def _advised(text: str) -> list[str]:
    """The keywords that a text says to write."""
    return re.findall(r"\b([a-z_]+)=", re.sub(r"\w+\([^)]*\)", "", text)) if text.startswith("write") else []


@pytest.mark.parametrize(
    ("table", "known", "extra"),
    [
        (foreign.OPTIONS, {*RunOptions.__annotations__, "command"}, {*RunOptions.__annotations__, "command"}),
        (foreign.OF_BUILDS, {*BuildOptions.__annotations__, "contexts", "dockerfile"}, set()),
        *((words, _parameters(_method(name)), set()) for name, words in foreign.KEYWORDS.items()),
    ],
    ids=["run", "build", *foreign.KEYWORDS],
)
def test_what_is_advised_is_an_option_and_what_is_refused_is_none(
    table: dict[str, str], known: set[str], extra: set[str]
) -> None:
    assert not table.keys() & known
    wrong = {name for text in table.values() for name in _advised(text)} - known - extra
    assert not wrong, f"there are no options {wrong}"


@pytest.mark.parametrize("name", foreign.ATTRIBUTES)
def test_what_is_advised_is_there_and_what_is_refused_is_not(name: str) -> None:
    cls, table = _CLASSES[name], foreign.ATTRIBUTES[name]
    assert not {attribute for attribute in table if hasattr(cls, attribute)}
    advised = {found for text in table.values() for found in re.findall(r"(?:write|or|of|:) \.(\w+)", text)}
    there = {*dir(cls), *getattr(cls, "__dataclass_fields__", ())}
    assert not advised - there, "there is nothing of that name"
    for text in [*table.values(), *foreign.NAMES.values()]:
        for path in re.findall(r"\bck\.([A-Za-z_.]+)", text):
            found: Any = ck
            for part in path.rstrip(".").split("."):
                found = getattr(found, part)


def test_what_is_refused_of_the_module_is_not_there() -> None:
    assert not foreign.NAMES.keys() & set(ck.__all__)


@pytest.mark.parametrize("name", [*foreign.OPTIONS])
def test_run_answers_a_foreign_option_with_what_to_write_before_it_looks_for_the_image(name: str) -> None:
    with pytest.raises(ck.InvalidArgument) as caught:
        _ck.run("an image that is no reference", "true", **{name: True})
    assert str(caught.value) == f"option {name}: {foreign.OPTIONS[name]}"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: _ck.run("x", enviroment={}), 'option enviroment: write env={"NAME": "value"}'),
        (lambda: _ck.run("x", memroy="64m"), "option memroy: unknown (did you mean memory?)"),
        (lambda: _ck.run("x", xyzzy=1), "option xyzzy: unknown"),
        (lambda: _ck.build(None, nocache=True), "option nocache: write no_cache=True"),
        (lambda: _ck.pull("x", tag="1"), 'option tag: write it behind the name: "busybox:1"'),
        (lambda: _ck.Image.pull("x", tag="1"), 'option tag: write it behind the name: "busybox:1"'),
        (lambda: _ck.Volume.create("x", size="1g"), 'option size: write options={"size": "100m"}'),
        (lambda: _ck.Network.create("x", ipam=None), "option ipam: write subnet="),
        (lambda: _ck.from_env(), "containerkit has no from_env: not needed: there is no server"),
        (lambda: _ck.containers.run("x"), "ContainerCollection has no run: write ck.run(image, command)"),
        (lambda: _ck.Result(0).output, "Result has no output: write .stdout"),
        (lambda: _ck.Result(0).exitcode, "Result has no exitcode (did you mean exit_code?)"),
        (lambda: _ck.Contaner, "module 'containerkit' has no attribute 'Contaner' (did you mean Container?)"),
    ],
)
def test_a_newcomers_mistake_is_answered(wrong: Callable[[], Any], words: str) -> None:
    with pytest.raises((ck.InvalidArgument, AttributeError)) as caught:
        wrong()
    assert str(caught.value).startswith(words)


def test_what_a_property_raises_is_not_hidden() -> None:
    @foreign.answers
    class Result:
        @property
        def broken(self) -> str:
            raise AttributeError("of its own")

    with pytest.raises(AttributeError, match="^of its own$"):
        _ = Result().broken
    with pytest.raises(AttributeError, match="write .stdout"):
        _ = Result().output  # type: ignore[attr-defined]  # what is tested
