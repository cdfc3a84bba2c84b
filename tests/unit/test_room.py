"""How much of what its process may open a relay may take."""

from __future__ import annotations

import os
import resource

import pytest

from containerkit.net.budget import Room


@pytest.mark.parametrize(("limit", "count"), [(256, 16), (1256, 250), (100_000, 1024)])
def test_a_reserve_is_left(limit: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    monkeypatch.setattr(os, "listdir", lambda _: [])
    room = Room(4)
    while not room.is_full:
        room.take()
    assert room.taken == count
    room.leave()
    assert not room.is_full
