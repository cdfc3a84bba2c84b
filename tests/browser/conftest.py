"""Browser tests share one JupyterLab, on an engine of their own, and leave nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerkit import Engine, Image
from tests import busybox, leftovers
from tests.browser import lab
from tests.browser.lab import Lab
from tests.engines import emptied

_CELLS = (
    "import containerkit as ck",
    """form = ck.run_form("busybox", "sh -c 'while true; do echo ready; sleep 0.2; done'", name="made", network="none")
form""",
    "dashboard = ck.dashboard(interval=0.25)\ndashboard",
    'ck.Image.get("busybox").with_run("echo $HOME $PATH")',
    'from IPython.display import HTML\nHTML("a formula: $x^2$")',
)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if os.geteuid() != 0:
        pytest.skip("needs root: run the tests as root to see it")
    if not (lab.CHROMIUM and lab.DRIVER):
        pytest.skip("needs chromium and chromedriver (apt install chromium chromium-driver)")
    place = tmp_path_factory.mktemp("engine")
    before = leftovers.look()
    with emptied(place / "root", place / "run") as engine:
        Image.import_(busybox.build_tar(place / "busybox.tar"), tag="busybox", engine=engine)
        yield engine
    found = leftovers.left(before)
    assert not found, "left behind:\n" + "\n".join(found)


@pytest.fixture(scope="session")
def page(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A notebook with a form, a dashboard, a table and a formula, run."""
    with lab.opened(_CELLS, engine, tmp_path_factory.mktemp("lab")) as page:
        page.run()
        yield page


@pytest.fixture
def picture(page: Lab, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """What the browser showed at the end of a test is in its temporary directory."""
    yield
    page.driver.save_screenshot(str(tmp_path / f"{request.node.name}.png"))
