"""For tests of what uses containerkit: pytest fixtures, and what nbval has to overlook in notebooks.

In ``conftest.py``::

    pytest_plugins = ["containerkit.testing"]

Then a test has ``ck_engine``, an engine of its own that ``ck.run`` and the like go to meanwhile; ``ck_host_image``, a
small image made of this machine's programs; and ``ck_run``, which starts containers. Nothing of them stays, and when a
test fails, the logs of its containers are in the report::

    def test_it_answers(ck_run, ck_host_image):
        web = ck_run(ck_host_image, "sh -c 'echo ready; sleep 60'")
        web.wait_for(ck.until.log("ready"))

Notebooks are compared with their stored outputs by nbval; ids, addresses, times, durations and sizes are no difference
with the patterns that :func:`sanitizer` is the path of, ``python -m containerkit.testing`` on a command line::

    pytest --nbval --nbval-sanitize-with "$(python -m containerkit.testing)" notebooks/
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import containerkit as ck

__all__ = ["ck_engine", "ck_host_image", "ck_run", "isolated_engine", "sanitizer"]

#: What tests write scripts of. Those that this machine has not are left out.
_PROGRAMS = ("sh", "cat", "date", "echo", "env", "false", "head", "hostname", "id", "ls", "mkdir", "rm", "seq", "sleep",
             "tail", "touch", "true", "wc")  # fmt: skip
_LOG_LINES = 50


def sanitizer() -> Path:
    """The file of patterns for nbval's ``--nbval-sanitize-with``: what differs from run to run is made the same."""
    return Path(__file__).with_name("sanitize.cfg")


@contextmanager
def isolated_engine(root: Path, run: Path | None = None, **options: Any) -> Iterator[ck.Engine]:
    """An engine of its own; at the end nothing of it is left on the machine: containers, networks, volumes.

    Args:
        root, run: as for ``Engine``; the directories stay.
        options: as for ``Engine``.
    """
    engine = ck.Engine(root, run, **options)
    try:
        yield engine
    finally:
        # From the last to the first; one that fails keeps none of the others from being done.
        with contextlib.ExitStack() as stack:
            stack.callback(engine.close)
            stack.callback(_remove_volumes, engine)
            stack.callback(engine.prune)  # the networks' bridges and firewall
            for container in engine.containers:
                stack.callback(_remove, container)


def _remove(container: ck.Container) -> None:
    with contextlib.suppress(ck.NotFound):
        container.remove(force=True, volumes=True)


def _remove_volumes(engine: ck.Engine) -> None:
    with contextlib.ExitStack() as stack:
        for volume in engine.volumes:
            stack.callback(volume.remove)


@pytest.fixture
def ck_engine(tmp_path: Path) -> Iterator[ck.Engine]:
    """An engine of the test's own, the default one meanwhile."""
    before = ck.default_engine()
    with isolated_engine(tmp_path / "containerkit") as engine:
        ck.set_default_engine(engine)
        try:
            yield engine
        finally:
            ck.set_default_engine(before)


@pytest.fixture
def ck_host_image(ck_engine: ck.Engine) -> ck.Image:
    """``host``: an image of a shell and some programs of this machine, made without a network."""
    return ck.Image.from_host(*filter(shutil.which, _PROGRAMS), tag="host", engine=ck_engine)


@pytest.fixture
def ck_run(ck_engine: ck.Engine) -> Callable[..., ck.Container]:
    """``ck.run`` on the test's engine: what it starts is removed after the test."""
    return ck_engine.run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a test fails, the logs of its containers are in the report."""
    report = yield
    engine = getattr(item, "funcargs", {}).get("ck_engine")
    if report.failed and report.when == "call" and engine is not None:
        for container in engine.containers:
            # One that goes meanwhile, or whose log cannot be read, is no reason to lose the report.
            with contextlib.suppress(ck.ContainerkitError, OSError):
                title = f"container {container.name} ({container.status})"
                report.sections.append((title, container.logs(tail=_LOG_LINES)))
    return report
