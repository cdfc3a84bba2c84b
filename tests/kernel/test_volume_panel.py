"""The panel of volumes and backups: everything it shows and does is there without a browser."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest

from containerkit import Backups, Engine, Image, Volume
from containerkit.notebook.volumepanel import VolumePanel
from tests.waiting import eventually


@pytest.fixture
def volume(engine: Engine) -> Volume:
    volume = Volume.create("site", engine=engine)
    Path(volume.path, "index.html").write_text("hello")
    return volume


@contextmanager
def shown(volume: Volume, directory: Path | None = None, interval: float = 0) -> Iterator[VolumePanel]:
    """A panel that looks for itself only when it is told to; its threads are gone afterwards."""
    before = set(threading.enumerate())
    with closing(VolumePanel(volume._engine, volume.name, directory, interval)) as panel:
        yield panel
    assert set(threading.enumerate()) <= before


def write_large(volume: Volume) -> None:
    """A file that takes a second or more to back up."""
    with open(Path(volume.path, "large"), "wb") as file:
        for _ in range(40):
            file.write(os.urandom(10 << 20))


def test_it_shows_what_is_in_a_volume_and_who_uses_it(engine: Engine, image: Image, volume: Volume) -> None:
    Volume.create("other", engine=engine)
    engine.create("busybox", "true", name="web", volumes=["site:/data"])
    with closing(volume.panel()) as panel:
        assert isinstance(panel, VolumePanel) and repr(panel) == "VolumePanel('site')"
        assert ([item.path for item in panel.files], panel.users) == (["index.html"], ["web (created)"])
        assert (panel.volumes, panel.state) == (["other", "site"], "ready")
        panel.controls.volume.value = "other"
        assert (panel.files, panel.users, panel.backups) == ([], [], [])


def test_it_sees_volumes_and_containers_that_come_and_go(engine: Engine, image: Image, volume: Volume) -> None:
    with shown(volume, interval=0.05) as panel:
        later = Volume.create("later", engine=engine)
        web = engine.create("busybox", "true", name="web", volumes=["site:/data"])
        assert eventually(lambda: panel.volumes == ["later", "site"] and panel.users == ["web (created)"])
        assert panel.controls.volume.value == "site" and "web (created)" in panel.controls.about.value
        panel.controls.volume.value = "later"
        web.remove()
        later.remove()
        assert eventually(lambda: panel.volumes == ["site"])
        assert panel.controls.volume.options == (("site", "site"), ("later (removed)", "later"))
        assert panel.controls.volume.value == "later"  # nothing else is restored to, and backed up, by mistake
        panel.refresh()
        assert (panel.state, panel.error) == ("failed", "volume later: not found")


def test_its_buttons_back_up_compare_verify_and_restore(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    with shown(volume, tmp_path / "backups") as panel:
        panel.buttons["back_up"].click()
        assert (panel.state, panel.error) == ("done", "") and panel.message.startswith("backed up: 1 files")
        assert len(panel.backups) == len(Backups(tmp_path / "backups")) == 1 and panel.chosen == panel.backups[0]
        Path(volume.path, "new").touch()
        panel.buttons["compare"].click()
        assert panel.changes is not None and [str(one) for one in panel.changes] == ["A /new"]
        assert panel.message == "1 changes since then: 1 added" and "/new" in panel.controls.details.value
        panel.buttons["verify"].click()
        assert panel.message.endswith("is whole") and panel.controls.details.value == ""
        panel.buttons["restore"].click()
        assert panel.message == "restored" and [item.path for item in panel.files] == ["index.html"]
        Path(volume.path, "new").touch()
        panel.buttons["back_up"].click()
        panel.buttons["refresh"].click()
        assert len(panel.backups) == 2 and panel.backups[0].created > panel.backups[1].created
        assert all(button.icon and f"{name}()" in button.tooltip for name, button in panel.buttons.items())


def test_it_lists_what_each_backup_has_added_and_changed(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    with shown(volume, tmp_path / "backups") as panel:
        panel.back_up()
        Path(volume.path, "index.html").write_text("hello again")
        for name in ("a", "b"):
            Path(volume.path, name).write_text(name)
        panel.back_up()
        Path(volume.path, "a").unlink()
        panel.back_up()
        found = [(row["new"], row["changed"], row["deleted"], row["is_first"]) for row in panel.rows]
        assert found == [(0, 0, 1, False), (2, 1, 0, False), (0, 0, 0, True)]
        assert [row["added"] for row in panel.rows] == [one.stored_size for one in panel.backups]
        assert ["+2\N{NO-BREAK SPACE}~1" in one for one, _ in panel.controls.backup.options] == [False, True, False]


def test_the_backup_that_is_chosen_stays_chosen_when_one_is_added(volume: Volume, tmp_path: Path) -> None:
    with shown(volume, tmp_path / "backups") as panel:
        panel.back_up()
        first = panel.controls.backup.value
        volume.backup(f"{tmp_path}/backups/", progress=None)
        panel.refresh()
        assert len(panel.backups) == 2 and panel.controls.backup.value == first


def test_a_passphrase_is_taken_and_not_kept_in_its_field(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    volume.backup(f"{tmp_path}/secret/", passphrase="correct horse", progress=None)
    with shown(volume, tmp_path / "secret") as panel:
        assert panel.state == "failed" and "it takes its passphrase" in panel.error
        assert [item.path for item in panel.files] == ["index.html"]
        panel.controls.passphrase.value = "wrong"
        assert "the passphrase is wrong" in panel.error
        panel.controls.passphrase.value = "correct horse"
        assert (panel.error, len(panel.backups), panel.controls.passphrase.value) == ("", 1, "")
        panel.back_up()
        panel.verify()
        panel.restore()
        assert (panel.error, panel.message, len(panel.backups)) == ("", "restored", 2)
        panel.unlock("")
        assert (panel.state, panel.backups, panel.controls.backup.options) == ("failed", [], ())
        panel.unlock("correct horse")
        panel.schedule(60)
        assert "correct horse" not in repr(panel.scheduled) and "correct horse" not in str(panel.get_state())


def test_errors_are_shown_in_it(
    engine: Engine, image: Image, volume: Volume, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with shown(volume) as panel:
        panel.buttons["back_up"].click()
        assert panel.state == "failed" and "say in which directory" in panel.error
        assert "say in which directory" in panel.controls.state.value
        panel.buttons["verify"].click()
        assert "none is chosen" in panel.error
        panel.buttons["schedule"].click()
        assert "say in which directory" in panel.error and panel.scheduled is None and panel.next_run is None
        (tmp_path / "file").touch()
        panel.controls.directory.value = str(tmp_path / "file")
        assert panel.state == "failed" and "file" in panel.error
        panel.controls.directory.value = str(tmp_path / "backups")
        assert (panel.state, panel.error) == ("ready", "")
        panel.back_up()
        with engine.run("busybox", "sleep 60", name="web", volumes=["site:/data"]):
            panel.restore()
            assert "cannot restore: web runs with it" in panel.error
        (pack,) = (tmp_path / "backups" / "packs").iterdir()
        pack.write_bytes(b"damaged")
        panel.buttons["verify"].click()
        assert "damaged" in panel.error and panel.controls.bar.value == ""
        assert not any(button.disabled for name, button in panel.buttons.items() if name != "unschedule")
    assert not caplog.records


def test_while_it_is_busy_it_says_so_and_takes_no_clicks(volume: Volume, tmp_path: Path) -> None:
    seen: list[object] = []
    with shown(volume, tmp_path / "backups") as panel:
        panel.controls.state.observe(lambda change: seen.append((panel.state, panel.message)), names="value")
        panel.controls.bar.observe(lambda _: seen.append(panel.buttons["restore"].disabled), names="value")
        panel.back_up()
    assert seen[:2] == [("busy", "backing up site"), True] and str(seen[-1]).startswith("('done'")


def test_its_bar_moves_while_a_large_file_is_read_and_four_times_a_second_at_most(
    volume: Volume, tmp_path: Path
) -> None:
    write_large(volume)
    seen: list[tuple[float, str]] = []
    with shown(volume, tmp_path / "backups") as panel:
        panel.controls.bar.observe(lambda change: seen.append((time.monotonic(), change["new"])), names="value")
        panel.back_up()
    widths = {float(part) for _, value in seen for part in re.findall(r"width:([0-9.]+)%", value)}
    assert any(0 < width < 100 for width in widths)
    assert len(seen) <= 4 * (seen[-1][0] - seen[0][0]) + 2  # the first and the last are drawn at once


def test_a_volume_that_is_gone_comes_back_with_restore(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    with shown(volume, tmp_path / "backups") as panel:
        panel.back_up()
        volume.remove()
        panel.restore()
        assert (panel.message, panel.volumes) == ("restored", ["site"])
        assert Path(volume.path, "index.html").read_text() == "hello"


def test_it_backs_up_now_and_then_until_it_is_told_not_to(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    with shown(volume, tmp_path / "backups") as panel:
        panel.buttons["schedule"].click()
        assert panel.next_run is not None and panel.next_run > datetime.now(timezone.utc)
        assert panel.scheduled is not None and "site to " in panel.controls.plan.value
        panel.schedule(0.005)
        assert eventually(lambda: len(panel.backups) >= 2) and panel.schedule_state in ("busy", "done")
        panel.buttons["unschedule"].click()
        count = len(Backups(tmp_path / "backups"))
        assert count >= 2 and panel.next_run is None
        time.sleep(0.5)
        assert len(Backups(tmp_path / "backups")) == count
        panel.schedule(60)


def test_what_is_scheduled_stays_so_when_something_else_is_chosen(
    engine: Engine, volume: Volume, tmp_path: Path
) -> None:
    Volume.create("other", engine=engine)
    with shown(volume, tmp_path / "site") as panel:
        panel.schedule(0.005)
        panel.controls.volume.value = "other"
        panel.controls.directory.value = str(tmp_path / "other")
        panel.controls.consistency.value = "none"
        assert eventually(lambda: (tmp_path / "site" / "snapshots").exists() and len(Backups(tmp_path / "site")) >= 2)
        panel.unschedule()
        assert {(one.volume, one.consistency) for one in Backups(tmp_path / "site")} == {("site", "pause")}
        assert not (tmp_path / "other").exists() and panel.backups == []


def test_a_scheduled_backup_that_fails_is_shown_and_tried_again(
    engine: Engine, volume: Volume, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "backups").touch()
    with shown(volume, tmp_path / "backups") as panel:
        panel.schedule(0.005)
        assert eventually(lambda: panel.schedule_state == "failed") and "backups" in panel.schedule_message
        assert panel.scheduled is not None
        (tmp_path / "backups").unlink()
        assert eventually(lambda: panel.schedule_state == "done" and len(panel.backups) >= 1)
    assert not caplog.records


def test_a_schedule_ends_with_its_volume(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    with shown(volume, tmp_path / "backups") as panel:
        panel.schedule(0.005)
        volume.remove()
        assert eventually(lambda: panel.scheduled is None)
        assert panel.next_run is None and panel.schedule_message == "volume site: not found: the schedule has ended"
        assert panel.schedule_message in panel.controls.plan.value


def test_closing_breaks_off_a_scheduled_backup_and_leaves_nothing(volume: Volume, tmp_path: Path) -> None:
    write_large(volume)
    with shown(volume, tmp_path / "backups") as panel:
        # It does not go on before it is told to end.
        panel.controls.plan_bar.observe(lambda _: eventually(lambda: panel.next_run is None), names="value")
        panel.schedule(0.001)
        assert eventually(lambda: panel.controls.plan_bar.value != "")
        panel.close()
    assert not list((tmp_path / "backups" / "snapshots").iterdir())
