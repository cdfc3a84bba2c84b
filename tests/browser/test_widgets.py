"""Widgets as a person uses them: in JupyterLab, with mouse and keyboard."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from containerkit import Engine
from tests.browser.lab import Lab

pytestmark = [pytest.mark.usefixtures("picture")]

LOAD = "while true; do i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; echo done; sleep 0.1; done"


def row(page: Lab, name: str, inside: str = "") -> str:
    page.until(lambda: page.all(f".ck-row[data-name={name}]"))
    return f".ck-row[data-name={name}] {inside}"


def says(page: Lab, selector: str, words: str) -> bool:
    return bool(page.until(lambda: any(words in one.text for one in page.all(selector))))


def test_a_form_runs_a_container_and_its_panel_moves(page: Lab, engine: Engine) -> None:
    assert says(page, "pre", 'name="made"')
    page.find("button.mod-primary").click()
    page.until(lambda: "made" in engine.containers)
    chart = ".jp-OutputArea-output svg polyline"
    page.until(lambda: page.all(chart))
    before = page.find(chart).get_attribute("points")
    page.until(lambda: page.find(chart).get_attribute("points") != before)
    # Its name is taken now.
    page.find("button.mod-primary").click()
    assert says(page, "pre", "container made: ")
    engine.containers["made"].remove(force=True)


def test_a_dashboard_follows_steers_and_opens_containers(page: Lab, engine: Engine) -> None:
    web = engine.run("busybox", ["sh", "-c", LOAD], name="web", network="none", cpus=0.5, memory="64m", stop_timeout=0)
    line = page.find(row(page, "web", ".ck-cpu path:nth-of-type(3)"))
    page.until(lambda: line.get_attribute("d"))
    before = line.get_attribute("d")
    page.until(lambda: line.get_attribute("d") != before)
    assert page.find(row(page, "web", ".ck-memory .ck-limit")).get_attribute("d")

    page.find(row(page, "web", "[data-verb=exec]")).click()
    page.until(lambda: page.all(".ck-terminal .xterm-screen"))
    page.find(".ck-terminal textarea").send_keys("echo $((6*7)) $(stty size)\n")
    assert says(page, ".xterm-rows div", "42 ")
    rows, columns = next(one.text for one in page.all(".xterm-rows div") if one.text.startswith("42 ")).split()[1:3]
    assert int(columns) > 80 and int(rows) > 10
    page.find(".ck-terminal textarea").send_keys("exit 3\n")
    assert says(page, ".ck-terminal-end", "exit code 3")

    page.find(row(page, "web", "[data-verb=logs]")).click()
    assert says(page, ".ck-log .stdout", "done")
    assert not page.all(".ck-terminal")

    page.find(row(page, "web", "[data-verb=pause]")).click()
    assert says(page, row(page, "web", ".ck-status"), "paused") and web.status == "paused"
    page.find(row(page, "web", "[data-verb=unpause]")).click()
    assert says(page, row(page, "web", ".ck-status"), "running")
    page.find(row(page, "web", "[data-verb=stop]")).click()
    assert says(page, row(page, "web", ".ck-status"), "exited") and web.status == "exited"
    assert len(page.picture(".ck-table")) > 5000
    button = page.find(row(page, "web", "[data-verb=remove]"))
    button.click()  # asks whether it is meant, for three seconds
    assert "web" in engine.containers
    sure = "if (!arguments[0].classList.contains('ck-sure')) arguments[0].click(); arguments[0].click()"
    page.driver.execute_script(sure, button)
    page.until(lambda: not page.all(".ck-row[data-name=web]"))
    assert "web" not in engine.containers


def test_dollars_in_commands_are_no_formula(page: Lab) -> None:
    page.find(".jp-Cell:nth-of-type(5)")
    page.until(lambda: page.all("mjx-container"))  # the one that was meant: those before it would have been seen
    assert says(page, ".jp-RenderedHTMLCommon td", "echo $HOME $PATH")


def test_hundreds_of_rows_are_filtered_and_only_those_in_sight_are_drawn(page: Lab, engine: Engine) -> None:
    for number in range(120):
        engine.create("busybox", "true", name=f"many{number}")
    page.until(lambda: page.find(".ck-summary").text.startswith("0 of 120 "))
    page.until(lambda: 5 < len(page.all(".ck-row")) < 20)
    page.find(".ck-bar input[type=search]").send_keys("many77")
    page.until(lambda: [one.get_attribute("data-name") for one in page.all(".ck-row")] == ["many77"])
    page.find(".ck-bar input[type=search]").send_keys(Keys.CONTROL, "a", Keys.DELETE)
    page.until(lambda: len(page.all(".ck-row")) > 5)
    for container in engine.containers:
        container.remove()
    assert says(page, ".ck-none", "no containers")
