"""``help(ck.run)``, ``ck.run?``, completion: each option is in the signature, and has a line that says what it is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import containerkit as ck
from containerkit.options import BuildOptions, RunOptions

_RUN, _BUILD = set(RunOptions.__annotations__), set(BuildOptions.__annotations__)


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (ck.run, _RUN), (ck.call, _RUN), (ck.step, _RUN), (ck.function, _RUN), (ck.run_form, _RUN),
        (ck.Container.create, _RUN), (ck.Image.run, _RUN), (ck.Image.call, _RUN), (ck.Image.create, _RUN),
        (ck.Engine.run, _RUN), (ck.Engine.call, _RUN), (ck.Engine.create, _RUN), (ck.Engine.run_form, _RUN),
        (ck.build, _BUILD), (ck.Image.build, _BUILD), (ck.Image.from_dockerfile, _BUILD), (ck.Engine.build, _BUILD),
        (ck.pull, set()), (ck.Image.pull, set()), (ck.Image.push, set()), (ck.Image.from_host, set()),
        (ck.Image.import_, set()), (ck.Image.load, set()), (ck.Image.save, set()),
        (ck.Container.exec, set()), (ck.Container.popen, set()), (ck.Container.logs, set()),
        (ck.Container.log_lines, set()), (ck.Container.commit, set()), (ck.Container.update, set()),
        (ck.Volume.create, set()), (ck.Volume.backup, set()), (ck.Volume.restore, set()), (ck.Volume.clone, set()),
        (ck.Network.create, set()), (ck.Network.connect, set()), (ck.events, set()), (ck.prune, set()),
        (ck.login, set()), (ck.search, set()), (ck.record, set()), (ck.serve_metrics, set()),
    ],
    ids=lambda value: value.__qualname__ if callable(value) else "",
)  # fmt: skip
def test_every_option_is_shown_and_explained(function: Callable[..., Any], options: set[str]) -> None:
    # `engine` is everywhere the same: the class says what it is.
    shown = set(inspect.signature(function).parameters) - {"self", "cls", "engine"}
    assert options <= shown
    text = inspect.getdoc(function) or ""
    explained = {
        name
        for line in text.splitlines()
        if (found := re.match(r" *(?:[`*a-z_0-9]+(?:, )?)+: ", line))
        for name in re.findall(r"[a-z_0-9]+", found[0])
    } | set(re.findall(r"; ``([a-z_]+)``: ", text))
    assert not shown - explained, f"help({function.__qualname__}) does not say what these are: {shown - explained}"


def test_a_newcomer_finds_the_options_with_the_tab_key() -> None:
    InteractiveShell.clear_instance()
    shell: Any = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_cell("import containerkit as ck")
    for typed, option in (("ck.run('x', mem", "memory="), ("ck.build(no_", "no_cache="), ("ck.call('x', ch", "check=")):
        with provisionalcompleter():
            assert option in [one.text for one in shell.Completer.completions(typed, len(typed))]
    InteractiveShell.clear_instance()
