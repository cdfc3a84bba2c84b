"""Who is measured: ours, and each peer."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Work:
    """What is timed: ``do``.

    Not timed are ``before``, which is done before each time, and ``around``, which is entered once.
    """

    do: Callable[[], object]
    before: Callable[[], object] = _nothing
    around: Callable[[], AbstractContextManager[object]] = nullcontext


class Side(ABC):
    """One program, ready to work."""

    name: str

    @abstractmethod
    def works(self) -> Mapping[str, Work]:
        """Id of a figure → its work; without those that this program has not."""


class Keeping(Side):
    """One whose containers go on in the background."""

    @abstractmethod
    def start(self, network: str) -> str:
        """Start one that sleeps; its id."""

    @contextmanager
    def running(self, count: int, network: str) -> Iterator[tuple[list[str], list[float]]]:
        """So many at the same time: their ids, and the seconds that each start took; removed at the end."""
        ids: list[str] = []
        seconds: list[float] = []
        try:
            for _ in range(count):
                began = time.perf_counter()
                ids.append(self.start(network))
                seconds.append(time.perf_counter() - began)
            yield ids, seconds
        finally:
            self.remove(ids)

    @abstractmethod
    def remove(self, ids: list[str]) -> None:
        """Kill and remove them."""

    @abstractmethod
    def keeper(self, id: str) -> int:
        """The process that is there for this container alone, outside of it."""
