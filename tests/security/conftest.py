"""Attacks run as kernel tests do: on a real engine, and nothing is left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from containerkit import Engine
from tests import registry_stub
from tests.kernel.conftest import busybox_tar, engine, image, nothing_is_left
from tests.registry_stub import Stub

__all__ = ["busybox_tar", "engine", "image", "nothing_is_left"]


@pytest.fixture
def stub(nothing_is_left: None) -> Iterator[Stub]:
    """A registry that does what it is told to."""
    with registry_stub.serving() as stub:
        yield stub


def left_in(engine: Engine, *, tmp_only: bool = False) -> list[str]:
    """What is in the store where there is no image."""
    paths = engine.paths
    places = (paths.tmp,) if tmp_only else (paths.tmp, paths.blobs, paths.layers)
    return [str(path) for place in places for path in place.iterdir() if path.name != ".lock"]
