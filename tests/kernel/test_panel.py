"""A container's panel: charts, marks, sliders and buttons, without a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from containerkit import Container, Engine, Image
from containerkit.notebook import limits
from containerkit.notebook.panel import ContainerPanel
from tests.kernel.test_dashboard import FOREVER
from tests.waiting import eventually

BUSY = ["sh", "-c", "while true; do :; done"]


@contextmanager
def shown(container: Container, interval: float = 0) -> Iterator[ContainerPanel]:
    """A panel; its threads are gone afterwards."""
    before = set(threading.enumerate())
    with closing(ContainerPanel(container, container._engine, interval)) as panel:
        yield panel
    assert set(threading.enumerate()) <= before


def look(panel: ContainerPanel) -> ContainerPanel:
    """Once more, after a while."""
    time.sleep(0.2)
    panel.refresh()
    return panel


def test_it_draws_what_is_used_with_limits_and_throttling(image: Image) -> None:
    with shown(image.run(BUSY, name="busy", network="none", cpus=0.05, memory="32m")) as panel:
        # So low a limit holds it back on a machine that is busy, too.
        assert eventually(lambda: any(one.cpu_percent > 1 and one.throttled for one in [*look(panel).points][1:]))
        assert (panel.last.cpus, panel.last.memory_limit_bytes) == (0.05, 32 << 20)
        drawing = panel._charts.value
        assert drawing.count("<polyline") == 4 and drawing.count('stroke-dasharray="5 4"') == 2  # two limits
        assert 'opacity="0.13"' in drawing and "of 5 %" in drawing and "of 32.0 MiB" in drawing
        assert repr(panel) == "ContainerPanel('busy', running)"


def test_its_sliders_change_the_limits(image: Image) -> None:
    web = image.run(FOREVER, name="web", network="none", cpus=0.5, memory="32m")
    with shown(web) as panel:
        assert (panel.cpus_slider.value, panel.memory_slider.value) == (0.5, 32 << 20)
        panel.cpus_slider.value = 0.3
        panel.memory_slider.value = 64 << 20
        limit = web.inspect()["HostConfig"]
        assert (limit["NanoCpus"], limit["Memory"], panel.error) == (300_000_000, 64 << 20, "")
        assert web.stats().memory_limit_bytes == 64 << 20
        panel.cpus_slider.value = limits.NONE
        panel.memory_slider.value = limits.NONE
        assert (web.stats().memory_limit_bytes, panel.error) == (None, "")
        assert web.inspect()["HostConfig"]["NanoCpus"] == 0


def test_its_sliders_follow_what_others_change(image: Image) -> None:
    web = image.run(FOREVER, name="web", network="none", cpus=0.5, memory="32m")
    with shown(web) as panel:
        web.update(cpus=0.37, memory="50m")
        panel.refresh()
        assert (panel.cpus_slider.value, panel.memory_slider.value) == (0.37, 50 << 20)
        assert (panel.cpus_slider.label, [mark.words for mark in panel.marks]) == ("0.37", ["update"])


def test_a_limit_that_is_refused_is_an_error_and_the_slider_goes_back(image: Image) -> None:
    web = image.run(FOREVER, name="web", network="none", memory="32m", memory_reservation="16m")
    with shown(web) as panel:
        panel.memory_slider.value = 8 << 20
        assert panel.error.startswith("memory_reservation: ") and panel.memory_slider.value == 32 << 20
        assert panel.error in panel._log.value


def test_what_happens_is_marked(image: Image) -> None:
    eater = image.run(["sh", "-c", "sleep 1; head -c 99000000 /dev/zero | tail; sleep 9"], memory="16m", network="none")
    with shown(eater, interval=0.25) as panel:
        assert eventually(lambda: any(mark.words == "oom" and mark.is_bad for mark in panel.marks))
        panel.pause_button.click()
        panel.pause_button.click()
        # Another notice of "oom" may come between them on a busy machine.
        assert [mark.words for mark in panel.marks if mark.words != "oom"][-2:] == ["pause", "unpause"], panel.marks
        assert all(f">{word}</text>" in panel._charts.value for word in ("oom", "pause", "unpause"))


def test_its_buttons_steer_the_container(image: Image) -> None:
    web = image.run(["sh", "-c", "echo hello; sleep 600"], name="web", network="none", stop_timeout=0)
    with shown(web) as panel:
        assert panel.start_button.disabled and not panel.stop_button.disabled
        panel.pause_button.click()
        assert (web.status, panel.status, panel.pause_button.description) == ("paused", "paused", "Go on")
        panel.pause_button.click()
        panel.stop_button.click()
        assert (web.status, panel.status, panel.stop_button.disabled) == ("exited", "exited", True)
        panel.start_button.click()
        assert web.status == "running" and "hello" in panel.log_text
        panel.remove_button.click()
        assert (panel.status, panel.error, panel.remove_button.disabled) == ("removed", "", True)
        panel.stop_button.click()
        assert panel.error == "container web: not found (removed)"


def test_a_click_in_a_page_does_not_wait_for_what_it_begins(image: Image) -> None:
    web = image.run(["sh", "-c", "trap '' TERM; while true; do sleep 0.1; done"], network="none", stop_timeout=3)
    with shown(web) as panel:
        panel.stop_button._handle_custom_msg({"event": "click"}, [])
        assert web.status == "running"
        assert eventually(lambda: panel.status == "exited")
        assert eventually(lambda: not any(one.name == "button Stop" for one in threading.enumerate()))


def test_it_says_so_when_it_cannot_look_and_goes_on(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    with shown(image.run(FOREVER, network="none", stop_timeout=0), interval=0.25) as panel:
        with monkeypatch.context() as broken:
            broken.setattr(panel, "_look", lambda: 1 / 0)
            assert eventually(lambda: "ZeroDivisionError: division by zero" in panel._log.value)
        assert eventually(lambda: panel.error == "" and "ZeroDivisionError" not in panel._log.value)


def test_its_thread_ends_with_the_container(engine: Engine, image: Image) -> None:
    web = image.run(FOREVER, name="web", network="none", stop_timeout=0)
    before = set(threading.enumerate())
    panel = web.panel()
    web.remove(force=True)
    assert eventually(lambda: set(threading.enumerate()) <= before)
    assert panel.status == "removed"
    panel.close()
