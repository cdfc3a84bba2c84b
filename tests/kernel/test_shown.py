"""What a notebook shows: every object and collection as a line and as a card or table, and names for the tab key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import containerkit as ck
from containerkit import Container, Engine, Image, Network, Volume

COLLECTIONS = ("images", "containers", "volumes", "networks")


@pytest.fixture
def shell(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """A shell of the test's own, whose default engine is the test's."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    ck.set_default_engine(engine)
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    InteractiveShell.clear_instance()
    ck.set_default_engine(None)


@pytest.fixture
def box(engine: Engine, image: Image) -> Container:
    """A container with a name of its own, a volume and a network."""
    Network.create("shown", subnet="10.124.0.0/24", engine=engine)
    Volume.create("site", engine=engine)
    return engine.create("busybox", ["echo", "<script>"], name="box", network="shown", volumes=["site:/data"])


def test_all_that_there_is_has_a_line_and_a_card(box: Container, engine: Engine, shell: InteractiveShell) -> None:
    collections = [getattr(engine, name) for name in COLLECTIONS]
    nouns = [one for collection in collections for one in collection]
    assert shell.display_formatter is not None
    for shown in (engine, *collections, *nouns, engine.prune(), engine.doctor()):
        forms, _ = shell.display_formatter.format(shown)  # type: ignore[no-untyped-call]  # it has no types
        assert forms["text/plain"] and forms["text/html"].startswith("<")
        assert "<script" not in forms["text/html"]
        assert shown._repr_mimebundle_(include={"text/plain"}).keys() == {"text/plain"}


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize(
    "collection, name",
    [("images", "busybox"), ("containers", "box"), ("volumes", "site"), ("networks", "shown")],
)
def test_the_tab_key_knows_names(box: Container, shell: InteractiveShell, collection: str, name: str) -> None:
    shell.push({"ck": ck})  # type: ignore[no-untyped-call]  # it has no types
    _, found = shell.complete(f'ck.{collection}["')
    assert any(one.startswith(f'ck.{collection}["{name}') for one in found)
