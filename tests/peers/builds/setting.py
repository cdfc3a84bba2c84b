"""What a comparison stands on: the web server, docker and an engine of ours, with the same ``busybox`` in both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from containerkit import Image
from tests.peers.builds.builders import Dockers, Ours
from tests.peers.builds.web import serving
from tests.peers.conftest import make_engine
from tests.peers.programs import Docker


@contextmanager
def both(docker: Docker, busybox: Path, place: Path) -> Iterator[tuple[Dockers, Ours]]:
    """Their builders, for the time of the ``with``.

    Args:
        busybox: the base image's tar.
        place: an empty directory for the engine.
    """
    docker("import", busybox, "busybox")
    with serving() as web, make_engine(place) as engine:
        Image.import_(busybox, tag="busybox", engine=engine)
        yield Dockers(docker, web), Ours(engine, web)
