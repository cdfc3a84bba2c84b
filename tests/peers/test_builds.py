"""Dockerfiles of every instruction and option, built by docker and here: nothing differs that is not explained.

``python -m tests.peers.builds`` prints the same as a table, and how docker's own two builders differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import leftovers
from tests.peers.builds.builders import Dockers, Ours
from tests.peers.builds.case import Case
from tests.peers.builds.corpus import CASES
from tests.peers.builds.setting import both
from tests.peers.builds.verdict import of_ours
from tests.peers.programs import Docker, needs


@pytest.fixture(autouse=True)
def nothing_is_left() -> None:
    """Looked at when the engine of all cases has ended."""


@pytest.fixture(scope="module")
def builders(
    docker: Docker, busybox_tar: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Dockers, Ours]]:
    before = leftovers.look()
    with both(docker, busybox_tar, tmp_path_factory.mktemp("builds")) as found:
        yield found
    left = leftovers.left(before)
    assert not left, "left behind:\n" + "\n".join(left)


@needs("dockerd", "docker.io")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_image_is_dockers(builders: tuple[Dockers, Ours], case: Case) -> None:
    verdict = of_ours(case, *builders)
    assert not verdict.open, "\n".join(verdict.open)
