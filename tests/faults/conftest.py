"""Operations are hit on an engine of their own; a template of it, and who does them, are made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.case import Bench
from tests.kernel.conftest import busybox_tar, engine, image, nothing_is_left

__all__ = ["busybox_tar", "engine", "image", "nothing_is_left"]


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Where operations are hit."""
    with Bench.set_up(tmp_path_factory.mktemp("faults")) as bench:
        yield bench
