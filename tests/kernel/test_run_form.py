"""The form to run a container with: fields, the Python that they stand for, and the button."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import pytest

from containerkit import Engine, Image, InvalidArgument
from containerkit.notebook.runform import kind, parse
from containerkit.options import RunOptions
from tests.waiting import eventually


def test_it_stands_for_a_line_of_python(engine: Engine, image: Image) -> None:
    with closing(engine.run_form("busybox", "sleep 60", name="web", ports=["8080:80"], memory="64m")) as form:
        assert form.line == 'ck.run("busybox", "sleep 60", name="web", ports=["8080:80"], memory="64m")'
        assert form.image_field.options == ("busybox:latest",)
        form.fields["env"].value = "A=1\nQUOTE='\"'"
        form.fields["cpus"].value = "0.5"
        form.fields["remove"].value = True
        assert form.options["cpus"] == 0.5 and form.options["env"] == ["A=1", "QUOTE='\"'"]
        assert form.options["remove"] is True
        # It can be taken over as it is.
        taken: dict[str, Any] = {}
        eval(form.line, {"ck": type("", (), {"run": lambda *args, **options: taken.update(options)})})
        assert taken == form.options and form._line.value.count("\n") > 5


def test_its_button_runs_the_container_and_shows_its_panel(engine: Engine, image: Image) -> None:
    before = set(threading.enumerate())
    with closing(engine.run_form("busybox", "sleep 60", name="web", network="none", memory="32m")) as form:
        form.run_button.click()
        web = engine.containers["web"]
        assert form.container == web and web.status == "running" and form.error == ""
        assert web.inspect()["HostConfig"]["Memory"] == 32 << 20 and form.panel.container == web
        form.run_button.click()
        assert form.error.startswith("container web: ") and form.error in form._trouble.value.replace("&quot;", '"')
        form.fields["replace"].value = True
        form.run_button.click()
        assert form.error == "" and engine.containers["web"] == form.container != web
    assert set(threading.enumerate()) <= before
    assert engine.containers["web"].status == "running"


def test_a_click_in_a_page_does_not_wait_for_the_container(
    engine: Engine, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_run, run = threading.Event(), engine.run
    monkeypatch.setattr(engine, "run", lambda *args, **options: may_run.wait(20) and run(*args, **options))
    form = engine.run_form("busybox", "sleep 60", name="web", network="none")
    form.run_button._handle_custom_msg({"event": "click"}, [])
    assert form.container is None and form.run_button.disabled
    form.close()
    may_run.set()
    assert eventually(lambda: not form.run_button.disabled)
    assert form.container is not None and form.panel is None  # it was closed meanwhile


def test_every_option_can_be_added(engine: Engine, image: Image) -> None:
    with closing(engine.run_form("busybox")) as form:
        form.more_choice.value = "labels"
        form.fields["labels"].value = "a=1\nb = two words"
        assert form.options == {"labels": {"a": 1, "b": "two words"}}
        assert "labels" not in [value for _, value in form.more_choice.options] and form.more_choice.value == ""
        form.fields["labels"].value = "nonsense"
        assert form.error == "labels: write name=value, one a line"
        for name in RunOptions.__annotations__:
            form.add(name)
        assert set(form.fields) == set(RunOptions.__annotations__)
        with pytest.raises(InvalidArgument, match="option nonsense: unknown"):
            form.add("nonsense")


@pytest.mark.parametrize(
    "name, written, value",
    [
        ("tty", None, "flag"), ("pids_limit", "5", 5), ("cpus", "1.5", 1.5), ("memory", "64m", "64m"),
        ("cap_add", "NET_ADMIN\nSYS_TIME", ["NET_ADMIN", "SYS_TIME"]),
        ("ports", "{80: 8080}", {80: 8080}), ("ulimits", "nofile=(1, 2)", {"nofile": (1, 2)}),
        ("device_read_bps", "/dev/sda=1m", {"/dev/sda": "1m"}), ("user", "1000:100", "1000:100"),
        ("volumes", "site:/www", ["site:/www"]), ("sysctls", "net.ipv4.ip_forward=1", {"net.ipv4.ip_forward": 1}),
    ],
)  # fmt: skip
def test_what_is_written_is_read_as_the_option_wants_it(name: str, written: str | None, value: Any) -> None:
    assert kind(name) == value if written is None else parse(name, written) == value
