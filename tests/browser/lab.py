"""A real JupyterLab in a headless Chromium, with a notebook open in it. The user's own Jupyter is left alone."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import nbformat
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from containerkit import Engine
from tests.servers import free_port

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_TOKEN = "secret"
_WAIT = 120
_SETTINGS = {
    "themes": {"theme": "JupyterLab Light"},
    # Nothing is asked of the internet.
    "notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
}


class Lab:
    """A notebook in a browser: ``run`` its cells, find elements, see what it looks like."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def run(self) -> None:
        """Run all cells, and wait until the kernel has nothing to do any more."""
        self.until(lambda: self.driver.execute_script("return !!document.querySelector('.jp-Notebook .jp-Cell')"))
        self.until(lambda: self._kernel() == "idle")
        self.driver.execute_script("window.jupyterapp.commands.execute('application:toggle-left-area')")
        self.driver.execute_script("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        last = ".jp-CodeCell:last-of-type .jp-InputPrompt"
        self.until(lambda: [one for one in self.all(".jp-InputPrompt") if one.text.strip() == "[*]:"] == [])
        self.until(lambda: self.all(last))

    def _kernel(self) -> Any:
        script = "return window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status"
        return self.driver.execute_script(script)

    def all(self, selector: str) -> list[WebElement]:
        """The elements of a CSS selector, now."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def find(self, selector: str) -> WebElement:
        """The first element of a CSS selector, waited for, and scrolled to."""
        found: list[WebElement] = self.until(lambda: self.all(selector))
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found[0])
        return found[0]

    def until(self, holds: Callable[[], Any], seconds: float = _WAIT) -> Any:
        """Wait for something; what it is."""
        wait = WebDriverWait(self.driver, seconds, poll_frequency=0.1, ignored_exceptions=[Exception])
        return wait.until(lambda _: holds())

    def picture(self, selector: str) -> bytes:
        """An element as PNG."""
        return self.find(selector).screenshot_as_png


@contextmanager
def opened(cells: Sequence[str], engine: Engine, scratch: Path, theme: str = "JupyterLab Light") -> Iterator[Lab]:
    """A notebook of these cells, not run yet; ``engine`` is its default engine.

    Args:
        scratch: an empty directory.
    """
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])  # type: ignore[no-untyped-call]  # it has no types
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (scratch / "work").mkdir()
    nbformat.write(notebook, scratch / "work/widgets.ipynb")  # type: ignore[no-untyped-call]  # it has no types
    with ExitStack() as stack:
        port = stack.enter_context(_server(scratch, engine, theme))
        driver = stack.enter_context(_browser(scratch))
        driver.get(f"http://127.0.0.1:{port}/lab/tree/widgets.ipynb?token={_TOKEN}")
        yield Lab(driver)


@contextmanager
def _server(scratch: Path, engine: Engine, theme: str) -> Iterator[int]:
    """A server of JupyterLab; its port. Its kernels end with it."""
    _write_settings(scratch / "settings", theme)
    port = free_port()
    own = {name: str(scratch / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    environment = {
        **os.environ, **own, "JUPYTER_PLATFORM_DIRS": "1", "JUPYTERLAB_SETTINGS_DIR": str(scratch / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(scratch / "workspaces"), "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),
        "CONTAINERKIT_ROOT": str(engine.paths.root), "CONTAINERKIT_RUN": str(engine.paths.run),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }  # fmt: skip
    command = [
        sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", f"--ServerApp.port={port}",
        f"--IdentityProvider.token={_TOKEN}", f"--ServerApp.root_dir={scratch / 'work'}", "--ip=127.0.0.1",
        "--LabApp.expose_app_in_browser=True", "--ServerApp.port_retries=0",
    ]  # fmt: skip
    with open(scratch / "server.log", "wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        _wait_for_port(port, server, scratch / "server.log")
        yield port
    finally:
        server.terminate()
        server.wait(30)


def _write_settings(directory: Path, theme: str) -> None:
    place = directory / "@jupyterlab/apputils-extension"
    place.mkdir(parents=True)
    for name, values in {**_SETTINGS, "themes": {"theme": theme}}.items():
        (place / f"{name}.jupyterlab-settings").write_text(json.dumps(values))


def _wait_for_port(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise RuntimeError(f"jupyterlab: does not listen:\n{log.read_text()}")


@contextmanager
def _browser(scratch: Path) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1180,1700",
        "--hide-scrollbars", f"--user-data-dir={scratch / 'browser'}",
    ):  # fmt: skip
        options.add_argument(argument)
    driver = Chrome(options=options, service=ChromeService(DRIVER, log_output=subprocess.DEVNULL))
    try:
        yield driver
    finally:
        driver.quit()
