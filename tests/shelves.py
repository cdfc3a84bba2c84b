"""A package with a driver of volumes, as somebody else might write one."""

from __future__ import annotations

from pathlib import Path

DRIVER = '''
import json, pathlib
from containerkit import VolumeDriver

PLACE = pathlib.Path({place!r})

class Driver(VolumeDriver):
    """Keeps volumes in directories of a place, and a diary."""

    def _write(self, *words):
        with open(PLACE / "diary", "a") as diary:
            print(*words, file=diary)

    def create(self, name, options):
        self._write("create", name, json.dumps(dict(options), sort_keys=True))
        if "bad" in options:
            raise ValueError("option bad: not in this house")
        (PLACE / name).mkdir(exist_ok=True)

    def remove(self, name):
        self._write("remove", name)

    def mount(self, name):
        self._write("mount", name)
        if (PLACE / "broken").exists():
            raise OSError(5, "the shelf is broken")
        return str(PLACE / name)

    def unmount(self, name):
        self._write("unmount", name)
'''


def install(packages: Path, place: Path) -> None:
    """Make the package in a directory that is for ``sys.path``; its driver ``shelf`` keeps things at ``place``."""
    info = packages / "shelf-1.0.dist-info"
    place.mkdir()
    info.mkdir(parents=True)
    (packages / "shelf_driver.py").write_text(DRIVER.format(place=str(place)))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[containerkit.volume_drivers]\nshelf = shelf_driver:Driver\n")


def diary(place: Path) -> list[str]:
    """What the driver was asked."""
    return (place / "diary").read_text().splitlines()
