"""What a notebook shows of an error: the caller's lines and one message, not the way there in here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

_CAUSED = "try:\n    {}['x']\nexcept KeyError as error:\n    raise ck.NotFound('container x: gone') from error"


def _shown(capsys: pytest.CaptureFixture[str]) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)


@pytest.fixture
def shell() -> Iterator[Any]:
    InteractiveShell.clear_instance()
    shell: Any = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_cell("import containerkit as ck")
    yield shell
    InteractiveShell.clear_instance()


def test_an_error_shows_the_cell_and_what_to_do(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_cell("def start():\n    ck.run('busybox', detach=True)\nstart()")
    lines = _shown(capsys).splitlines()
    assert any("ck.run('busybox', detach=True)" in line for line in lines)
    assert not any("engine.py" in line for line in lines), "the way through containerkit is shown"
    assert [line for line in lines if line][-1].startswith("InvalidArgument: option detach: run() always returns")


def test_causes_are_not_shown_and_not_lost(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_cell(
        "try:\n    {}['x']\nexcept KeyError as error:\n    raise ck.NotFound('container x: gone') from error"
    )
    shown = _shown(capsys)
    assert "raise ck.NotFound" in shown and "container x: gone" in shown and "KeyError: " not in shown
    shell.run_line_magic("xmode", "Verbose")
    shell.run_cell(
        "try:\n    {}['x']\nexcept KeyError as error:\n    raise ck.NotFound('container x: gone') from error"
    )
    assert "KeyError: 'x'" in _shown(capsys)
    shell.run_line_magic("xmode", "Verbose")
    shell.run_cell("ck.run('busybox', detach=True)")
    assert "engine.py" in _shown(capsys)


def test_a_log_and_a_result_stay_with_it(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_cell("raise ck.ProcessFailed('sh: exit code 3', result=ck.Result(3), log='no such file')")
    assert "ProcessFailed: sh: exit code 3\nlast log lines:\nno such file" in _shown(capsys)
