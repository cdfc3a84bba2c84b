"""Measuring: a container and what happened to it meanwhile, several at once, two recordings or images compared."""

from __future__ import annotations

import os
import resource
import threading
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import pytest

import containerkit as ck
from containerkit import Engine, Image, InvalidArgument, InvalidState, NotFound, StorageError
from containerkit.measuring import gauge
from tests.waiting import eventually

matplotlib.use("agg")

BUSY = ["sh", "-c", "while :; do :; done"]
MIB = 1 << 20


def legend(axes: Any) -> set[str]:
    return set(axes.get_legend_handles_labels()[1])


def cgroup_files() -> int:
    """How many of them this process has open."""
    paths = [os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    return sum(path.startswith("/sys/fs/cgroup") for path in paths)


def test_what_happened_meanwhile_is_told_and_marked(engine: Engine, image: Image) -> None:
    eater = ["sh", "-c", "read x; while :; do :; done & sleep 1; kill %1; cat /dev/zero | tail"]
    container = engine.run("busybox", eater, name="eater", memory="16m", cpus=0.03, stdin_open=True)
    with container.attach() as attached, container.record(interval=0.02) as recording:
        assert eventually(lambda: len(recording) > 1)
        container.pause().unpause()
        container.update(cpus=0.04)
        assert attached.stdin is not None
        attached.stdin.write(b"go\n")
        attached.stdin.flush()
        container.wait(timeout=60)
    happened = [event.action for event in recording.events]
    assert [action for action in happened if action in ("pause", "unpause", "update", "die")] == [
        "pause", "unpause", "update", "die",
    ]  # fmt: skip
    assert "oom" in happened
    frame: Any = recording.frame()
    assert set(frame["cpu_limit_percent"]) == {3, 4} and set(frame["memory_limit_bytes"]) == {16 * MIB}
    assert frame.attrs["units"]["memory_bytes"] == "bytes" and set(frame.attrs["units"]) == set(frame.columns)
    axes = recording.plot()
    assert legend(axes) == {"throttled", "paused", "limits changed", "out of memory", "ended"}
    assert axes.right_ax.get_ylabel() == "memory, MiB"
    container.remove()


def test_a_quiet_recording_has_no_marks_and_no_limits(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60") as container:
        with container.record(interval=0.01) as recording:
            time.sleep(0.1)
        container.pause().unpause()  # afterwards
        axes = recording.plot()
        assert legend(axes) == set() and axes.get_legend() is None and recording.events == []
        assert recording.frame()["cpu_limit_percent"].isna().all()


def test_what_is_shorter_than_the_interval_is_measured_whole(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", name="short") as container:
        with container.record(interval=30) as recording, engine.record(interval=30) as recordings:
            container.exec(["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"])
        for one in recording, recordings["short"]:
            assert len(one) == 2 and one.rows()[0]["cpu_percent"] > 0
            assert len(one.stop()) == 2


def test_several_are_measured_at_once(engine: Engine, image: Image) -> None:
    busy = engine.run("busybox", BUSY, name="busy", cpus=0.5)
    quiet = engine.run("busybox", "sleep 60", name="quiet", memory="16m")
    engine.run("busybox", "sleep 60", name="left-out")
    with engine.record(busy, "quiet", interval=0.02) as recordings:
        time.sleep(0.3)
        assert eventually(lambda: all(len(one) > 11 for one in recordings))
    count = len(recordings["busy"])
    time.sleep(0.1)
    assert len(recordings["busy"]) == count and [one.name for one in recordings] == ["busy", "quiet"]
    frame: Any = recordings.frame()
    assert list(frame.columns[:2]) == ["container", "cpu_percent"] and str(frame.index.dtype).endswith("UTC]")
    means: Any = frame.groupby("container")["cpu_percent"].mean()
    assert means["busy"] > 5 > means["quiet"]
    assert (frame[frame["container"] == "quiet"]["memory_limit_bytes"] == 16 * MIB).all()
    assert len(recordings["quiet"].frame()) == (frame["container"] == "quiet").sum() > 10
    axes = recordings.plot()
    assert legend(axes) == {"busy", "quiet"} and axes.memory_ax.get_ylabel() == "memory, MiB"
    assert recordings.plot(axes) is axes
    assert "busy" in repr(recordings) and "quiet" in recordings._repr_html_()
    with pytest.raises(NotFound, match="container left-out: was not recorded"):
        recordings["left-out"]
    quiet.remove(force=True)


def test_all_means_those_too_that_start_meanwhile_and_start_again(engine: Engine, image: Image) -> None:
    engine.run("busybox", "sleep 60", name="before")
    ended = engine.run("busybox", "true", name="ended")
    ended.wait()
    with engine.record(interval=0.02) as recordings:
        later = engine.run("busybox", "sleep 60", name="later")
        assert eventually(lambda: [len(one) > 2 for one in recordings] == [True] * 2)
        later.kill().start()
        assert eventually(lambda: [len(one) > 2 for one in recordings] == [True] * 3)
    assert [one.name for one in recordings] == ["before", "later", "later"]
    assert all(len(one) > 2 for one in recordings)
    assert [event.action for event in recordings["later"].events][:1] != ["create"]


def test_more_than_may_keep_their_files_open_are_measured_too(
    engine: Engine, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        engine.run("busybox", "sleep 60", name=name, network="none")
    opened = []
    for most in (3, 1):
        monkeypatch.setattr(gauge, "kept_open", partial(int, most))
        with engine.record(interval=30) as recordings:
            opened.append(cgroup_files())
            assert [len(one) for one in recordings] == [1, 1, 1]
            assert recordings._take() and [len(one) for one in recordings] == [2, 2, 2]
        assert cgroup_files() == 0
    assert opened[0] == 3 * opened[1] > 0


def test_what_has_ended_before_the_beginning_has_no_samples(engine: Engine, image: Image) -> None:
    gone, stays = (engine.run("busybox", "sleep 60", name=name, network="none") for name in ("gone", "stays"))
    recordings, alone = engine.record(stays, gone, interval=0.01), gone.record()
    gone.remove(force=True)
    with recordings, alone:
        assert eventually(lambda: len(recordings["stays"]) > 1)
    assert not len(recordings["gone"]) and not len(alone) and len(recordings["stays"]) > 1


def test_moments_that_cannot_be_measured_are_told_and_others_go_on(engine: Engine, image: Image) -> None:
    engine.run("busybox", "sleep 60", name="web", network="none")
    recordings = engine.record(interval=0.02).start()
    recording = recordings["web"]
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
    try:
        assert eventually(lambda: recording.error is not None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    count = len(recording)
    assert eventually(lambda: len(recording) > count)
    with pytest.warns(RuntimeWarning, match="container web: could not .*: .*(?i:too many open)"):
        recordings.stop()


def test_a_store_that_fails_for_a_while_ends_no_recording(
    engine: Engine, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        failed.set()
        raise StorageError("store: disk full")

    failed = threading.Event()
    recordings = engine.record(interval=0.02).start()
    with monkeypatch.context() as broken:
        broken.setattr(engine.store.events, "last", fail)
        assert failed.wait(60)
    engine.run("busybox", "sleep 60", name="later", network="none")
    assert eventually(lambda: "later" in [one.name for one in recordings] and len(recordings["later"]) > 1)
    with pytest.warns(RuntimeWarning, match="recordings: could not be measured at some moments: StorageError: store"):
        recordings.stop()


def test_traffic_of_the_host_is_nobody_s(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", name="shares", network="host") as container:
        links = container.exec(["cat", "/proc/net/dev"]).stdout
        assert any(int(line.split()[1]) for line in links.splitlines()[2:] if "lo:" not in line), "nothing to count"
        with container.record(interval=0.02) as recording, engine.serve_metrics(port=0) as server:
            time.sleep(0.1)
            with urllib.request.urlopen(server.url, timeout=60) as answer:
                assert "container_network_receive_bytes_total{" not in answer.read().decode()
        frame: Any = recording.frame()
        assert len(frame) and not frame["net_rx_bytes"].any() and not frame["net_tx_bytes"].any()
        stats = container.stats()
        assert (stats.net_rx_bytes, stats.net_tx_bytes) == (0, 0)


def test_who_does_not_run_cannot_be_measured(engine: Engine, image: Image) -> None:
    created = engine.create("busybox", "true", name="created")
    with pytest.raises(InvalidState, match="container created: cannot measure: it is created"):
        engine.record(created)
    with pytest.raises(NotFound):
        engine.record("absent")
    with engine.record() as nothing:
        pass
    assert not len(nothing) and nothing.frame().empty and nothing.plot() is not None
    assert repr(nothing) == "recordings of no containers"


def test_two_recordings_are_compared(engine: Engine, image: Image) -> None:
    with engine.run("busybox", BUSY, name="fast", cpus=0.5) as fast:
        engine.run("busybox", BUSY, name="slow", cpus=0.02)
        with engine.record(interval=0.05) as recordings:
            time.sleep(1)
            assert eventually(lambda: all(len(one) > 10 for one in recordings))
        comparison = ck.compare(recordings["fast"], recordings["slow"])
        assert fast.name == "fast"
    frame: Any = comparison.frame()
    assert list(frame.columns) == ["fast", "slow", "change"] and frame.index.name == "measure"
    for measure in ("cpu_seconds", "cpu_percent mean", "cpu_percent p95", "memory_bytes max"):
        assert frame.loc[measure, "fast"] > 0
    seconds: Any = frame.loc["cpu_seconds"]
    assert seconds["fast"] > seconds["slow"] and seconds["change"] < 0
    expected = frame.loc["cpu_percent mean", "fast"] / 100 * frame.loc["duration_seconds", "fast"]
    assert seconds["fast"] == pytest.approx(expected, rel=0.2)
    assert "cpu_seconds" in repr(comparison) and " %" in comparison._repr_html_()
    assert legend(comparison.plot()) == {"fast", "slow"}


def test_a_recording_is_compared_with_another_one_of_the_same_container(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", name="one") as container:
        recordings = []
        for _ in range(2):
            with container.record(interval=0.01) as recording:
                time.sleep(0.1)
            recordings.append(recording)
        assert list(ck.compare(*recordings).frame().columns) == ["one (1)", "one (2)", "change"]
        with pytest.raises(InvalidArgument, match="container one: its recording has not two samples"):
            ck.compare(recordings[0], container.record())


def test_two_images_are_compared(engine: Engine, image: Image) -> None:
    app = image.with_run("echo one > /one && rm /etc/passwd").with_env({"A": "1"}).with_cmd(["cat", "/one"]).tag("app")
    comparison = ck.compare(image, app)
    frame: Any = comparison.frame()
    assert list(frame.columns) == ["busybox:latest", "app:latest"]
    assert frame.loc["shared layers", "app:latest"] == len(image.layers) == frame.loc["layers", "app:latest"] - 1
    assert frame.loc["shared bytes", "busybox:latest"] == image.size
    assert (frame.loc["files added", "app:latest"], frame.loc["files deleted", "app:latest"]) == (1, 1)
    assert [(change.path, change.kind) for change in comparison.changes if change.kind != "changed"] == [
        ("/etc/passwd", "deleted"), ("/one", "added"),
    ]  # fmt: skip
    assert "A=1" in frame.loc["config env", "app:latest"] and frame.loc["config cmd", "app:latest"] == "cat\n/one"
    assert "config user" not in frame.index
    assert "config cmd" in repr(comparison) and "shared layers" in comparison._repr_html_()
    axes = comparison.plot()
    assert legend(axes) == {"shared layers", "its own layers"}
    same: Any = ck.compare(image, image).frame()
    assert list(same.columns) == ["busybox:latest (1)", "busybox:latest (2)"] and not [
        n for n in same.index if "config" in n
    ]


def test_layers_are_shared_only_up_to_the_first_that_differs(engine: Engine, image: Image) -> None:
    same = "mkdir /s && echo 1 > /s/f && touch -d @1 /s/f /s ."
    a, b = (image.with_copy({"other": content}, "/").with_run(same).build() for content in ("one", "another"))
    assert a.layers[-1] == b.layers[-1] and a.layers[-2] != b.layers[-2]
    comparison = ck.compare(a, b)
    frame: Any = comparison.frame()
    assert comparison.shared == image.layers and frame.iloc[:, 0]["shared bytes"] == image.size


def test_what_cannot_be_compared_is_said(engine: Engine, image: Image) -> None:
    with pytest.raises(InvalidArgument, match="expected two recordings or two images, not Image and int"):
        ck.compare(image, 1)  # type: ignore[call-overload]  # what is tested
    ck.set_default_engine(engine)
    try:
        assert ck.compare("busybox", "busybox").shared == image.layers
        with pytest.raises(NotFound):
            ck.compare("busybox", "nothere")
    finally:
        ck.set_default_engine(None)
