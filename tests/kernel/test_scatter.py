"""Directories of a store whose children have nothing to do with each other are in different parts of an ext4 disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerkit.linux.files import scatter


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small ext4 file system of several groups."""
    image, place = tmp_path / "image", tmp_path / "disk"
    with open(image, "wb") as file:
        file.truncate(512 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-g", "8192", "-G", "1", image], check=True)
    place.mkdir()
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def _groups(directory: Path) -> set[int]:
    """In which groups of inodes new directories get theirs."""
    said = subprocess.run(["stat", "-f", "-c", "%c", directory], capture_output=True, text=True, check=True).stdout
    per_group = int(said) // 16  # of 32 MB each
    found = set()
    for number in range(8):
        (directory / str(number)).mkdir()
        found.add((directory / str(number)).stat().st_ino // per_group)
    return found


def test_new_directories_are_in_different_parts_of_the_disk(disk: Path) -> None:
    beside, scattered = disk / "beside", disk / "scattered"
    for place in (beside, scattered):
        place.mkdir()
    scatter(scattered)
    scatter(scattered)  # once is enough
    assert len(_groups(beside)) == 1
    assert len(_groups(scattered)) > 1


def test_where_the_file_system_knows_no_such_thing_nothing_happens(tmp_path: Path) -> None:
    place = Path(f"/dev/shm/{os.urandom(4).hex()}")
    place.mkdir()
    try:
        scatter(place)
    finally:
        shutil.rmtree(place)
