"""Kernel tests run on a real engine below a temporary directory, and leave nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerkit import Engine, Image
from tests import busybox, hosts, leftovers
from tests.engines import emptied
from tests.hosts import Host


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    places = {here, *map(here.with_name, ("faults", "security", "peers"))}
    for item in items:
        if places & set(item.path.parents):
            item.add_marker(pytest.mark.root)
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="needs root: run the tests as root to see them"))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Every test ends as it began: mounts, links, namespaces, cgroups, nft tables, processes, descriptors."""
    before = leftovers.look()
    yield
    found = leftovers.left(before)
    assert not found, "left behind:\n" + "\n".join(found)


@pytest.fixture(scope="session")
def busybox_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox.build_tar(tmp_path_factory.mktemp("busybox") / "busybox.tar")


@pytest.fixture
def engine(nothing_is_left: None, tmp_path: Path) -> Iterator[Engine]:
    """An engine of the test's own; what the test left in it is removed."""
    with emptied(tmp_path / "root", tmp_path / "run") as engine:
        yield engine


@pytest.fixture
def image(engine: Engine, busybox_tar: Path) -> Image:
    """``busybox``, in the test's engine."""
    return Image.import_(busybox_tar, tag="busybox", engine=engine)


@pytest.fixture
def outside(nothing_is_left: None) -> Iterator[Host]:
    """Another host, with a cable to this one."""
    with hosts.host() as host:
        yield host
