"""What a container's network looks like from inside, and who is on which network: read when somebody asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from containerkit.errors import InvalidState
from containerkit.linux import netview
from containerkit.linux.netview import Interface, Neighbour, Route
from containerkit.running.conditions import Place
from containerkit.store.containers import ContainerRecord
from containerkit.supervise import worker

_T = TypeVar("_T")


def interfaces(record: ContainerRecord) -> list[Interface]:
    """As ``Container.interfaces``."""
    return _look(record, netview.interfaces)


def routes(record: ContainerRecord) -> list[Route]:
    """As ``Container.routes``."""
    return _look(record, netview.routes)


def neighbours(record: ContainerRecord) -> list[Neighbour]:
    """As ``Container.neighbours``."""
    return _look(record, netview.neighbours)


def _look(record: ContainerRecord, reader: Callable[[int], list[_T]]) -> list[_T]:
    """In a worker: threads and event loops of the user's process are none of its business."""
    assert record.pid is not None
    try:
        found: list[_T] = worker.call(_at, (Place(record.pid), reader), {})
    except (FileNotFoundError, ProcessLookupError) as error:
        raise InvalidState(f"container {record.name}: cannot look at its network: it has just ended") from error
    return found


def _at(place: Place, reader: Callable[[int], list[_T]]) -> list[_T]:
    return reader(place.pid)
