"""What one tree has changed of another, by what is known of their files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from containerkit.backup.compare import changes
from containerkit.backup.items import DIRECTORY, FIFO, HARDLINK, SYMLINK, Item

ROOT = Item(".", DIRECTORY)
FILE = Item("f", mode=0o644, size=3, mtime_ns=1, digest="one")


def said(old: list[Item], new: list[Item]) -> list[str]:
    return [str(change) for change in changes([ROOT, *old], [ROOT, *new])]


def test_the_same_is_no_change() -> None:
    assert said([FILE], [FILE]) == said([], []) == []


def test_what_came_and_what_went_sorted_by_path() -> None:
    old, new = [Item(name) for name in ("c", "a", "both")], [Item(name) for name in ("d", "both", "b")]
    assert said(old, new) == ["D /a", "A /b", "D /c", "A /d"]


@pytest.mark.parametrize("other", [
    {"mode": 0o600}, {"uid": 1}, {"gid": 1}, {"size": 4}, {"digest": "two"}, {"xattrs": {"user.a": b"1"}},
    {"kind": FIFO}, {"kind": SYMLINK, "link": "g"},
])  # fmt: skip
def test_what_is_a_change_of_a_file(other: dict[str, Any]) -> None:
    assert said([FILE], [replace(FILE, **other)]) == ["C /f"]


@pytest.mark.parametrize("other", [{"mtime_ns": 9}, {"ctime_ns": 9}, {"inode": 9}, {"device": 9}, {"blocks": ("x",)}])
def test_what_is_none(other: dict[str, Any]) -> None:
    assert said([FILE], [replace(FILE, **other)]) == []


def test_times_count_where_a_content_was_not_read() -> None:
    unread = replace(FILE, digest="")
    assert said([FILE], [unread]) == []
    assert said([FILE], [replace(unread, mtime_ns=9)]) == ["C /f"]


def test_a_directory_is_not_changed_by_what_is_in_it() -> None:
    assert said([Item("d", DIRECTORY, mtime_ns=1)], [Item("d", DIRECTORY, mtime_ns=2)]) == []


def test_a_second_name_is_the_file_that_it_is_of() -> None:
    second = Item("g", HARDLINK, link="f")
    assert said([FILE, second], [FILE, replace(FILE, path="g")]) == []
    assert said([FILE, second], [replace(FILE, digest="two"), second]) == ["C /f", "C /g"]
    # Sorted the other way round, the other one is the first.
    third = [replace(FILE, path="e"), Item("f", HARDLINK, link="e"), Item("g", HARDLINK, link="e")]
    assert said([FILE, second], third) == ["A /e"]


def test_links_and_devices() -> None:
    assert said([Item("l", SYMLINK, link="a")], [Item("l", SYMLINK, link="b")]) == ["C /l"]
    assert said([Item("d", "char", major=1, minor=3)], [Item("d", "char", major=1, minor=5)]) == ["C /d"]
