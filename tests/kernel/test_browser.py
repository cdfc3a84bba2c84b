"""An image looked into: layers, files, history, and the widget that shows them."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator

import pytest

import containerkit as ck
from containerkit import Engine, Image
from containerkit.notebook.browser import ImageBrowser
from containerkit.notebook.progress import ProgressWidget
from containerkit.views.html import PLAIN


@pytest.fixture
def made(engine: Engine, image: Image) -> Image:
    """The test image with a layer more."""
    with image.create(["sh", "-c", "mkdir /srv && echo one >/srv/one && ln -s one /srv/two && rm /etc/group"]) as box:
        box.start().wait()
        return box.commit("more", message="a layer more")


def test_the_files_of_a_layer_are_listed_with_what_it_takes_away(made: Image) -> None:
    found = {entry.path: entry for entry in made.files(layer=2)}
    assert {path: entry.kind for path, entry in found.items() if path.startswith(("/srv", "/etc"))} == {
        "/etc": "directory", "/etc/group": "deleted", "/srv": "directory", "/srv/one": "file", "/srv/two": "link",
    }  # fmt: skip
    assert found["/srv/one"].size == 4 and found["/srv/one"].mode == "-rw-r--r--" and found["/srv/one"].owner == "0:0"
    assert found["/srv/two"].target == "one"
    with pytest.raises(ck.NotFound, match="image more: layer 3: it has 2"):
        made.files(layer=3)


def test_layers_are_told_with_sizes_and_what_made_them(made: Image, image: Image) -> None:
    lower, upper = made.layer_details()
    assert lower == image.layer_details()[0] and (upper.number, upper.compression, upper.size) == (2, "zstd", 7)
    assert upper.created_by.startswith("sh -c mkdir /srv") and upper.diff_id == made.layers[1]


def test_the_browser_s_state_is_there_without_a_browser(made: Image) -> None:
    browser = made.browse()
    assert isinstance(browser, ImageBrowser) and repr(browser) == "ImageBrowser('more:latest')"
    assert [layer.number for layer in browser.layers] == [1, 2] and browser.history[0]["comment"] == "a layer more"
    browser.layer_choice.value = 2
    browser.filter_text.value = "srv"
    assert [entry.path for entry in browser.files] == ["/srv", "/srv/one", "/srv/two"]
    browser.filter_text.value = "nowhere"
    assert browser.files == []
    made.remove()
    browser.layer_choice.value = 1
    assert "not found" in browser.error


def test_what_an_image_says_of_itself_is_escaped(engine: Engine) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("<script>alert(1)</script>"))
    archive.seek(0)
    image = Image.import_(archive, tag="evil", changes=['LABEL a="<img src=x>"', "ENV B=<b>"], engine=engine)
    browser = image.browse()
    shown = "".join(getattr(page, "value", "") for page in browser.tabs.children) + browser._list.value
    assert "<script>" not in shown and "<img" not in shown and "&lt;script&gt;" in shown
    assert "<img" not in image._repr_html_()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is displayed from now on."""
    shown: list[object] = []
    monkeypatch.setattr("containerkit.notebook.progress.display", shown.append)
    return shown


@pytest.fixture
def widget(shown: list[object]) -> Iterator[ProgressWidget]:
    """Ended with the test, however that ends: its thread is not for the tests that follow."""
    widget = ProgressWidget()
    yield widget
    widget.end("")


def test_progress_in_a_notebook_ends_as_one_line(widget: ProgressWidget, shown: list[object]) -> None:
    widget.begin("pulling app:1")
    widget.item("182f36ca2903", "downloading", 5, 10)
    widget.draw()
    assert "width:50%" in widget.view.value and repr(widget.view) == "<pulling app:1>" and shown == [widget.view]
    widget.end("app:1: 10 B downloaded")
    assert widget.view.value == f"<div {PLAIN}>app:1: 10 B downloaded</div>" and len(shown) == 1


def test_progress_in_a_notebook_keeps_the_steps_and_opens_what_failed(widget: ProgressWidget) -> None:
    widget.begin("build app")
    good, bad = widget.part(), widget.part()
    for part, state in ((good, "MISS"), (bad, "failed")):
        part.begin(f"stage <{state}>")
        part.item("1/1 RUN <x>", "")
        for number in range(30):
            part.line("1/1 RUN <x>", f"line {number}")
        widget.draw()
        assert "line 25\nline 26\nline 27\nline 28\nline 29</pre>" in widget.view.value
        running = widget.view.value.rpartition("<details open ")[2]
        assert len(re.findall(r"line \d", running)) == 5 and "<x>" not in widget.view.value
        part.item("1/1 RUN <x>", state)
        part.end("over")
    widget.end("build app: failed")
    assert widget.view.value.startswith(f"<div {PLAIN}>build app: failed<details {PLAIN}><summary")
    folded, opened = widget.view.value.split("<details open ")
    assert ">MISS</span>" in folded and "line 29" in folded and "over" in folded
    assert ">failed</span>" in opened and "line 10" in opened and "line 9" not in opened
    assert [item.state for part in widget.parts for item in part.items.values()] == ["MISS", "failed"]
