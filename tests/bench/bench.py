"""One run: who takes part, how much is done, and who could not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.figures import FIGURES
from tests.bench.ours import Ours
from tests.bench.peers.client import Client
from tests.bench.samples import Measurement, Samples
from tests.bench.side import Keeping, Side


@dataclass
class Bench:
    """What every measurement is given.

    ``absent`` are peers that are not installed or do not start, ``runs`` how often a work is measured, ``is_full``
    whether the large ones are, and ``scratch`` a directory of this run's own.
    """

    ours: Ours
    peers: Sequence[Side]
    absent: tuple[str, ...]
    scratch: Path
    runs: int
    is_full: bool = False
    _failed: list[str] = field(default_factory=list)

    @property
    def sides(self) -> list[Side]:
        return [self.ours, *self.peers]

    @property
    def keeping(self) -> list[Keeping]:
        """Those whose containers go on in the background."""
        return [side for side in self.sides if isinstance(side, Keeping)]

    @property
    def clients(self) -> list[Client]:
        """The peers with docker's words."""
        return [peer for peer in self.peers if isinstance(peer, Client)]

    @contextlib.contextmanager
    def may_miss(self, name: str, values: dict[str, Any]) -> Iterator[None]:
        """What a peer does here may fail: that is said, and it is taken out of ``values``."""
        try:
            yield
        except (RuntimeError, OSError) as error:
            if name == self.ours.name:
                raise
            print(f"not measured: {name}: {error}")
            del values[name]
            self._failed.append(name)

    def measurement(self, id: str, values: Mapping[str, Sequence[float]]) -> Measurement:
        """Of what all took part with."""
        found = {name: Samples.of(some) for name, some in values.items()}
        missing, self._failed = (*self.absent, *self._failed), []
        return Measurement(FIGURES[id], found.pop(self.ours.name), found, missing)
