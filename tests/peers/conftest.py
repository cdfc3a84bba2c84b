"""Real servers and an engine for the tests with peers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from containerkit import Engine, Image
from tests import servers
from tests.engines import emptied
from tests.kernel.conftest import busybox_tar, nothing_is_left
from tests.peers.programs import Docker, dockerd

__all__ = ["busybox_tar", "nothing_is_left"]


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Registry]:
    """docker-registry on loopback, without TLS."""
    with servers.registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture(scope="session")
def private_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Registry]:
    """docker-registry behind nginx, with TLS of a private CA, and passwords."""
    with servers.private_registry(tmp_path_factory.mktemp("private")) as found:
        yield found


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """A dockerd of the tests' own."""
    with dockerd(tmp_path_factory.mktemp("docker")) as found:
        yield found


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own: nobody's logins are read or changed."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def make_engine(place: Path, **configuration: object) -> AbstractContextManager[Engine]:
    """An engine below ``place``, in a ``with``."""
    return emptied(place / "root", place / "run", configuration=configuration)


@pytest.fixture
def engine(nothing_is_left: None, tmp_path: Path) -> Iterator[Engine]:
    with make_engine(tmp_path / "here") as engine:
        yield engine


@pytest.fixture
def elsewhere(nothing_is_left: None, tmp_path: Path) -> Iterator[Engine]:
    """Another machine's engine."""
    with make_engine(tmp_path / "elsewhere") as engine:
        yield engine


@pytest.fixture
def image(engine: Engine, busybox_tar: Path) -> Image:
    return Image.import_(busybox_tar, tag="busybox", changes=['CMD ["echo", "from afar"]'], engine=engine)
