"""The dashboard: what it shows and does is there without a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from containerkit import Engine, Image, InvalidArgument
from containerkit.measuring.collector import Collector, Use
from containerkit.notebook.dashboard import Dashboard
from containerkit.notebook.logview import LogView
from containerkit.notebook.panel import ContainerPanel
from containerkit.notebook.terminal import Terminal
from tests.waiting import eventually

FOREVER = "sleep 600"


@contextmanager
def shown(engine: Engine, interval: float = 0) -> Iterator[Dashboard]:
    """A dashboard, looked at by a page whose messages are in ``sent``; its threads are gone afterwards."""
    before = set(threading.enumerate())
    with closing(engine.dashboard(interval=interval)) as dashboard:
        yield dashboard
    assert eventually(lambda: set(threading.enumerate()) <= before)


def listened(dashboard: Dashboard) -> list[dict[str, Any]]:
    """The messages that the page gets from now on."""
    sent: list[dict[str, Any]] = []
    dashboard.table.send = lambda content, buffers=None: sent.append(content)
    say(dashboard, kind="hello")
    return sent


def say(dashboard: Dashboard, **content: object) -> None:
    """A message from the page."""
    dashboard.table._handle_custom_msg(content, [])


def used(dashboard: Dashboard) -> Use:
    """What the first row uses, after a while."""
    time.sleep(0.2)
    dashboard.refresh()
    return dashboard.rows[0].use or Use()


def names(dashboard: Dashboard) -> list[str]:
    return [row.name for row in dashboard.rows]


def test_it_shows_all_containers_with_what_they_use_and_may(engine: Engine, image: Image) -> None:
    image.run(FOREVER, name="web", network="none", memory="32m", cpus=0.5)
    image.run(["sh", "-c", "while true; do :; done"], name="busy", network="none", cpus=0.05)
    image.create("true", name="made")
    with shown(engine) as dashboard:
        assert eventually(lambda: used(dashboard).throttled_percent > 0)
        busy, made, web = dashboard.rows
        assert (busy.status, made.status, web.status) == ("running", "created", "running")
        assert busy.use and web.use and made.use is None
        assert busy.use.cpu_percent > 0
        assert (web.cpus, web.use.memory_limit_bytes, busy.cpus) == (0.5, 32 << 20, 0.05)
        assert 0 < web.use.memory_bytes < 32 << 20 and web.use.pids == 1
        assert dashboard.summary.startswith("2 of 3 running · CPU ") and repr(dashboard) == "Dashboard(3 containers)"
        assert len({len(chart) for chart in dashboard.table.history[web.id]}) == 1


def test_traffic_and_the_disk_are_rates(engine: Engine, image: Image) -> None:
    web = image.run(FOREVER, name="web")
    with Collector(engine) as collector:
        collector.collect()
        web.exec(["ping", "-c", "5", "-i", "0.01", "-s", "1000", str(web.networks["bridge"].gateway)])
        (row,) = collector.collect()
    assert row.use and row.use.net_tx_rate > 0 and row.use.net_rx_rate > 0


def test_it_follows_containers_that_come_change_and_go(engine: Engine, image: Image) -> None:
    with shown(engine, interval=0.25) as dashboard:
        assert names(dashboard) == []
        web = image.run(FOREVER, name="web", network="none", memory="32m", stop_timeout=0)
        assert eventually(lambda: names(dashboard) == ["web"] and dashboard.rows[0].use)
        web.update(memory="64m", cpus=0.3)
        assert eventually(
            lambda: (
                (use := dashboard.rows[0].use) and (dashboard.rows[0].cpus, use.memory_limit_bytes) == (0.3, 64 << 20)
            )
        )
        web.stop()
        assert eventually(lambda: dashboard.rows[0].status == "exited" and dashboard.rows[0].use is None)
        web.start()
        assert eventually(lambda: dashboard.rows[0].status == "running" and dashboard.rows[0].use)
        web.remove(force=True)
        assert eventually(lambda: names(dashboard) == [] and not dashboard.table.history)


def test_it_sorts_and_filters(engine: Engine, image: Image) -> None:
    image.run(["sh", "-c", "while true; do :; done"], name="busy", network="none", cpus=0.05)
    image.run(FOREVER, name="web-1", network="none")
    image.create("true", name="web-2")
    with shown(engine) as dashboard:
        assert eventually(lambda: used(dashboard).cpu_percent > 1)
        table = dashboard.table
        assert names(dashboard) == ["busy", "web-1", "web-2"]
        table.descending = True
        assert names(dashboard) == ["web-2", "web-1", "busy"]
        table.sort = "cpu"
        assert names(dashboard)[0] == "busy"
        table.sort, table.descending = "status", False
        assert names(dashboard) == ["busy", "web-1", "web-2"]
        table.filter = "WEB"
        assert names(dashboard) == ["web-1", "web-2"]
        table.running_only = True
        assert names(dashboard) == ["web-1"]


def test_what_a_page_is_told_is_one_message_a_look(engine: Engine, image: Image) -> None:
    made = [image.run(FOREVER, name=f"box{n}", network="none") for n in range(3)]
    with shown(engine) as dashboard:
        sent = listened(dashboard)
        assert [one["kind"] for one in sent] == ["all"]
        assert {row["name"] for row in sent[0]["rows"].values()} == {"box0", "box1", "box2"}
        assert [len(chart) for chart in sent[0]["past"][made[0].id]] == [1] * 4
        dashboard.refresh()
        tick = sent.pop()
        assert len(sent) == 1 and tick["kind"] == "tick" and len(tick["points"]) == 3
        assert tick["rows"] == {}  # nothing but numbers has changed
        made[0].pause()
        dashboard.refresh()
        assert list(sent[-1]["rows"]) == [made[0].id] and sent[-1]["rows"][made[0].id]["status"] == "paused"
        made[0].unpause()
        made[2].remove(force=True)
        dashboard.refresh()
        assert sent[-1]["gone"] == [made[2].id]


def test_nothing_is_sent_before_a_page_looks(engine: Engine, image: Image) -> None:
    with shown(engine) as dashboard:
        sent: list[object] = []
        dashboard.table.send = lambda content, buffers=None: sent.append(content)
        dashboard.refresh()
        assert sent == []


def test_its_buttons_call_the_containers_methods(engine: Engine, image: Image) -> None:
    web = image.run(FOREVER, name="web", network="none", stop_timeout=0)
    with shown(engine) as dashboard:
        dashboard.pause("web")
        assert (web.status, dashboard.rows[0].status) == ("paused", "paused")
        dashboard.unpause("web")
        assert web.status == "running"
        dashboard.stop("web")
        assert (web.status, dashboard.rows[0].status) == ("exited", "exited")
        dashboard.start("web")
        pid = web.pid
        dashboard.restart("web")
        assert web.status == "running" and web.pid != pid
        dashboard.remove("web")
        assert dashboard.rows == [] and "web" not in engine.containers and dashboard.error == ""


def test_a_pages_click_does_not_wait_for_what_it_begins(engine: Engine, image: Image) -> None:
    web = image.run(["sh", "-c", "trap '' TERM; while true; do sleep 0.1; done"], network="none", stop_timeout=3)
    with shown(engine) as dashboard:
        sent = listened(dashboard)
        say(dashboard, kind="stop", id=web.id)
        assert eventually(lambda: dashboard.busy == {web.id: "stop"}) and sent[-1]["busy"] == {web.id: "stop"}
        told = sent[-1]["busy"]
        assert web.status == "running"
        assert eventually(lambda: web.status == "exited" and not dashboard.busy)
        assert told == {web.id: "stop"}  # what was sent stays as it was


def test_a_page_cannot_call_other_methods(engine: Engine) -> None:
    with shown(engine) as dashboard:
        say(dashboard, kind="add_class", id="strange")
        time.sleep(0.2)
        assert "strange" not in dashboard._dom_classes


def test_errors_are_shown_until_the_next_deed(engine: Engine, image: Image) -> None:
    image.create("true", name="made")
    with shown(engine) as dashboard:
        sent = listened(dashboard)
        dashboard.pause("made")
        assert dashboard.error.startswith("container made: cannot pause") and sent[-1]["error"] == dashboard.error
        dashboard.exec("nobody")
        assert dashboard.error == "container nobody: not found"
        dashboard.start("made")
        assert dashboard.error == ""


def test_its_drawer_has_a_log_a_terminal_or_a_panel(engine: Engine, image: Image) -> None:
    image.run(["sh", "-c", "echo hello; sleep 600"], name="web", network="none")
    with shown(engine) as dashboard:
        dashboard.logs("web")
        first = dashboard.drawer
        assert isinstance(first, LogView) and eventually(lambda: [line.text for line in first.lines] == ["hello"])
        dashboard.exec("web")
        assert isinstance(dashboard.drawer, Terminal) and first.comm is None
        dashboard.panel("web")
        assert isinstance(dashboard.drawer, ContainerPanel)
        dashboard.close_drawer()
        assert dashboard.drawer is None and dashboard._drawer.children == ()
        dashboard.exec("web")  # closed with the dashboard


def test_it_says_so_when_it_cannot_look_and_goes_on(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with shown(engine, interval=0.25) as dashboard:
        sent = listened(dashboard)
        with monkeypatch.context() as broken:
            broken.setattr(dashboard._collector, "collect", lambda: 1 / 0)
            assert eventually(lambda: dashboard.error == sent[-1]["error"] == "ZeroDivisionError: division by zero")
        assert eventually(lambda: dashboard.error == sent[-1]["error"] == "")


def test_an_interval_that_is_too_short_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidArgument, match=r"at least 0\.25 seconds"):
        engine.dashboard(interval=0.1)
