"""What a notebook's cell has made ends when the cell is run again: in a real kernel."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel
from jupyter_core.utils import ensure_event_loop

_MADE = """
import threading
import containerkit as ck

engine = ck.Engine(root=ROOT, run=RUN)
volume = ck.Volume.create("site", exist_ok=True, engine=engine)
""".strip()
_PANEL = "panel = volume.panel(ROOT + '/../backups'); panel.schedule(60)"
_THREADS = "print(sorted(one.name for one in threading.enumerate() if 'site' in one.name))"

Run = Callable[..., str]


@pytest.fixture(scope="module", autouse=True)
def loop() -> Iterator[None]:
    """That of the client: the first that asks makes it, and it stays."""
    loop = ensure_event_loop()
    yield
    loop.close()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a cell in a kernel of the test's own; what it printed."""
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    manager, client = start_new_kernel(env=dict(os.environ), kernel_name="python3")

    def run(code: str, cell: str | None = None) -> str:
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        message: dict[str, Any] = client.session.msg("execute_request", content)
        message["metadata"] = {} if cell is None else {"cellId": cell}
        client.shell_channel.send(message)
        said = ""
        while True:
            news = client.get_iopub_msg(timeout=60)
            if news["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            if news["msg_type"] == "stream":
                said += news["content"]["text"]
            if news["msg_type"] == "error":
                said += "\n".join(news["content"]["traceback"])
            if news["msg_type"] == "status" and news["content"]["execution_state"] == "idle":
                return said.strip()

    try:
        assert run(f"ROOT, RUN = {str(tmp_path / 'root')!r}, {str(tmp_path / 'run')!r}\n{_MADE}") == ""
        yield run
        assert run("volume.remove(); engine.close()") == ""
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("id", ["c0ffee", None], ids=["a client that tells ids", "one that does not"])
def test_a_panel_is_replaced_when_its_cell_is_run_again(run: Run, id: str | None) -> None:
    for _ in range(3):
        assert run(_PANEL, id) == ""
        assert run(_THREADS) == "['backups of site', 'panel site']"
    run("panel.close()")
    assert run(_THREADS) == "[]"


def test_a_panel_is_gone_when_its_cell_makes_no_panel_any_more(run: Run) -> None:
    run(_PANEL, "one")
    run("other = volume.panel()", "two")
    run("1 + 1", "three")
    assert run(_THREADS) == "['backups of site', 'panel site', 'panel site']"
    run("1 + 1", "one")
    assert (
        run(f"{_THREADS}; print(panel.scheduled, panel.comm, other.comm is not None)")
        == "['panel site']\nNone None True"
    )
    run("other.close()")


def test_what_follows_a_container_ends_when_its_cell_is_run_again(run: Run) -> None:
    made = """
image = ck.Image.from_host("sh", "sleep", tag="tools", engine=engine)
box = image.run("sleep 600", name="box", network="none", stop_timeout=0)
before = set(threading.enumerate())
hooks = len(get_ipython().events.callbacks["pre_run_cell"])
"""
    assert run(made) == ""
    for widget in ("engine.dashboard()", "box.panel()", "box.log_view()", "box.terminal()"):
        for _ in range(2):
            assert run(f"one = {widget}", "shown") == ""
            threads = int(run("print(len(set(threading.enumerate()) - before))"))
            assert threads == (2 if "terminal" in widget else 1)
        assert run("1 + 1", "shown") == ""
        assert run("print(len(set(threading.enumerate()) - before), one.comm)") == "0 None"
        assert run(f"one = {widget}", "closed") == ""
        assert run("one.close(); print(len(get_ipython().events.callbacks['pre_run_cell']) - hooks)") == "0"
    # What a page has begun belongs to no cell, though one runs.
    begun = "from containerkit.notebook.aside import aside; made = []; aside(lambda: made.append(box.panel()), 'click')"
    assert (
        run(f"{begun}\nwhile not made: pass\nprint(len(get_ipython().events.callbacks['pre_run_cell']) - hooks)") == "0"
    )
    assert run("made[0].close(); print(len(box.top()))") == "1"
    assert run("box.remove(force=True); image.remove()") == ""
