"""The panel of volumes and backups: everything it shows and does is there without a browser."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from containerkit import Backups, Engine, Image, Volume
from containerkit.notebook.volumepanel import VolumePanel


@pytest.fixture
def volume(engine: Engine) -> Volume:
    volume = Volume.create("site", engine=engine)
    Path(volume.path, "index.html").write_text("hello")
    return volume


def test_it_shows_what_is_in_a_volume_and_who_uses_it(engine: Engine, image: Image, volume: Volume) -> None:
    Volume.create("other", engine=engine)
    engine.create("busybox", "true", name="web", volumes=["site:/data"])
    panel = volume.panel()
    assert isinstance(panel, VolumePanel) and repr(panel) == "VolumePanel('site')"
    assert ([item.path for item in panel.files], panel.users) == (["index.html"], ["web (created)"])
    assert panel.volume_choice.options == ("other", "site")
    panel.volume_choice.value = "other"
    assert (panel.files, panel.users, panel.backups) == ([], [], [])
    panel.close()


def test_its_buttons_back_up_compare_verify_and_restore(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    panel = volume.panel(tmp_path / "backups")
    panel.buttons["back_up"].click()
    assert panel.error == "" and panel.message.startswith("backed up: 1 files")
    assert len(panel.backups) == len(Backups(tmp_path / "backups")) == 1 and panel.chosen == panel.backups[0]
    Path(volume.path, "new").touch()
    panel.buttons["compare"].click()
    assert panel.changes is not None and [str(one) for one in panel.changes] == ["A /new"]
    panel.buttons["verify"].click()
    assert panel.message.endswith("is whole")
    panel.buttons["restore"].click()
    assert panel.message == "restored" and [item.path for item in panel.files] == ["index.html"]
    Path(volume.path, "new").touch()
    panel.buttons["back_up"].click()
    panel.buttons["refresh"].click()
    assert len(panel.backups) == 2 and panel.backups[0].created > panel.backups[1].created
    panel.close()


def test_errors_are_shown_in_it(engine: Engine, image: Image, volume: Volume, tmp_path: Path) -> None:
    panel = volume.panel()
    panel.back_up()
    assert "say in which directory" in panel.error
    panel.verify()
    assert "none is chosen" in panel.error
    panel.directory_text.value = str(tmp_path / "backups")
    assert panel.error == ""
    panel.back_up()
    with engine.run("busybox", "sleep 60", name="web", volumes=["site:/data"]):
        panel.restore()
        assert "cannot restore: web runs with it" in panel.error
    (pack,) = (tmp_path / "backups" / "packs").iterdir()
    pack.write_bytes(b"damaged")
    panel.verify()
    assert "damaged" in panel.error
    panel.close()


def test_it_backs_up_now_and_then_until_it_is_told_not_to(engine: Engine, volume: Volume, tmp_path: Path) -> None:
    panel = volume.panel(tmp_path / "backups")
    panel.schedule_toggle.value = True
    assert panel.next_run is not None and panel.next_run > datetime.now(timezone.utc)
    panel.schedule(0.005)
    deadline = time.monotonic() + 20
    while len(panel.backups) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    panel.schedule_toggle.value = False
    count = len(Backups(tmp_path / "backups"))
    assert count >= 2 and panel.next_run is None
    time.sleep(0.5)
    assert len(Backups(tmp_path / "backups")) == count
    panel.schedule(60)
    panel.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "containerkit-backups"]
