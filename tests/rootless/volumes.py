"""Volumes and their backups, as an ordinary user: scenarios of :mod:`tests.rootless.scenarios`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import containerkit as ck
from containerkit import Backups, Engine, Mount, Volume
from tests import shelves

SCENARIOS = ("volumes", "volumes_filled", "volumes_backed_up", "volumes_of_a_driver", "volumes_refused")


def _sh(text: str, *words: str) -> list[str]:
    return ["sh", "-c", text, *words]


def volumes(engine: Engine, here: Path, users: int) -> None:
    """Anonymous, named and bind; what root writes into a directory of this user's is this user's."""
    host = here / "out-host"
    with engine.run("busybox", "sleep 60", network="none", stop_timeout=0,
                    volumes=["site:/data", "/anonymous", f"{host}:/host"]) as box:  # fmt: skip
        box.exec(_sh("echo 1 >/data/f; echo 2 >/host/g; touch /anonymous/h"), check=True)
        mounts = [Mount("/part", "site", subpath="f"), Mount("/m", "busybox", "image", subpath="etc")]
        found = engine.call("busybox", _sh("cat /part; ls /m"), network="none", mounts=mounts)
        assert found.stdout.split()[0] == "1" and "passwd" in found.stdout, found
    assert (host / "g").stat().st_uid == os.getuid()
    assert [volume.name for volume in engine.volumes] == ["site"]
    ended = engine.create("busybox", "true", network="none", volumes=["site:/data"])
    assert ended.path("/data/f").read_text() == "1\n"


def volumes_filled(engine: Engine, here: Path, users: int) -> None:
    """An empty volume takes the image's files, with owners that only a user namespace knows."""
    owner = "12:13" if users > 1 else "0:0"
    maker = engine.run("busybox", _sh(f"mkdir /w; echo x >/w/f; chmod 640 /w/f; chown {owner} /w /w/f"), network="none")
    maker.wait(timeout=60)
    maker.commit("stocked", changes=["VOLUME /w"])
    maker.remove()
    for _ in range(2):
        found = engine.call("stocked", _sh("stat -c '%u:%g %a' /w/f; echo y >>/w/f"), network="none", volumes=["w:/w"])
        assert found.stdout == f"{owner} 640\n", found
    assert engine.volumes["w"].size > 0
    engine.volumes["w"].remove()


def volumes_backed_up(engine: Engine, here: Path, users: int) -> None:
    """What belongs to subordinate ids is backed up and comes back so."""
    owner = "5:6" if users > 1 else "0:0"
    script = f"echo 1 >/data/f; mkdir /data/d; mkfifo /data/p; chown {owner} /data/f /data/d; chmod 700 /data/d"
    engine.call("busybox", _sh(script), network="none", volumes=["site:/data"], check=True)
    volume = engine.volumes["site"]
    out = here / "out-backups"
    out.mkdir()
    for place in ("b.tar.zst", "many/", "many/"):
        backup = volume.backup(f"{out}/{place}")
        restored = Volume.restore(backup, "again", engine=engine)
        assert restored.diff(volume) == restored.diff(backup) == []
        told = _sh("stat -c %u:%g /data/f /data/d")
        assert engine.call("busybox", told, network="none", volumes=["again:/data"]).stdout.split() == [owner] * 2
    assert len(Backups(out / "many").verify()) == 2
    assert volume.clone("copy").diff(volume) == [] and volume.snapshot("then").diff(volume) == []
    for one in engine.volumes:
        one.remove()
    assert os.listdir(engine.paths.volumes) == os.listdir(engine.paths.tmp) == []


def volumes_of_a_driver(engine: Engine, here: Path, users: int) -> None:
    """A driver of a package shows a directory of this user's; it is told when nobody needs it any more."""
    place, packages = here / "out-shelf", here / "out-packages"
    shelves.install(packages, place)
    sys.path.insert(0, str(packages))
    volume = Volume.create("books", driver="shelf", engine=engine)
    options = {"network": "none", "volumes": ["books:/b"]}
    for number in range(2):
        box = engine.run("busybox", _sh("touch /b/$0; sleep 60", str(number)), name="box", stop_timeout=0, **options)  # type: ignore[arg-type]
        box.wait_for(ck.until.file(f"/b/{number}"))
        assert "mount books" in shelves.diary(place)[-1]
        box.stop()
        assert shelves.diary(place)[-1] == "unmount books" and os.listdir(volume.path) == []
        assert box.path("/b/0").exists()
        box.remove()
    assert sorted(os.listdir(place / "books")) == ["0", "1"]
    assert (place / "books" / "0").stat().st_uid == os.getuid()
    (here / "out-backup").mkdir()
    backup = volume.backup(here / "out-backup" / "b.tar.zst")
    assert volume.diff(backup) == []
    volume.remove()
    assert shelves.diary(place)[-1] == "remove books" and sorted(os.listdir(place / "books")) == ["0", "1"]


def volumes_refused(engine: Engine, here: Path, users: int) -> None:
    """What takes root is refused in words."""
    for options in ({"size": "10m"}, {"type": "tmpfs", "device": "tmpfs"}):
        try:
            Volume.create("small", options=options, engine=engine)
        except ck.Unsupported as error:
            assert "an ordinary user mounts nothing" in str(error), error
        else:
            raise AssertionError("it was made")
    place = here / "out-place"
    place.mkdir()
    shown = Volume.create("shown", options={"type": "none", "device": str(place), "o": "bind"}, engine=engine)
    engine.call("busybox", "touch /s/f", network="none", volumes=["shown:/s"], check=True)
    shown.remove()
    assert os.listdir(place) == ["f"]
