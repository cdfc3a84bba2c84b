"""Several containers measured over time, by one thread: their samples are of the same moments."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from containerkit.errors import NotFound
from containerkit.measuring.recording import COLUMNS, UNITS, Recording, warn
from containerkit.measuring.sampler import Sampler
from containerkit.reading import listing
from containerkit.views import frames, html, plots, text

if TYPE_CHECKING:
    import pandas

    from containerkit.store.containers import ContainerRecord
    from containerkit.store.store import Store

_SUMMARY = ("container", "samples", "cpu_seconds", "cpu_percent_max", "memory_max")
#: Seconds between two looks for containers that have been started.
_LOOK = 0.25


class Recordings:
    """Samples of several containers, taken in a ``with`` block, or between ``start`` and ``stop``.

    Args:
        chosen: which; None for all that run, and those that are started meanwhile.
        interval: seconds between samples.
    """

    def __init__(self, store: Store, chosen: Sequence[ContainerRecord] | None, interval: float) -> None:
        self.interval = interval
        #: What kept it last from looking for containers that have been started; None for nothing.
        self.error: Exception | None = None
        self._store = store
        self._grows = chosen is None
        self._all: list[Recording] = [Recording(store, record, interval) for record in chosen or ()]
        self._living: list[Recording] = []
        self._sampler: Sampler | None = None
        self._looked = 0.0
        self._event = -1

    def start(self) -> Recordings:
        """Begin; the first samples are taken before this returns. Of those that have ended there are none."""
        if self._sampler is None:
            try:
                self._living = [one for one in self._all if one._open()]
                self._look()
            except BaseException:
                self._shut()
                raise
            self._sampler = Sampler("record containers", self.interval, self._take)
        return self

    def stop(self) -> Recordings:
        """End as ``Recording.stop`` does."""
        if self._sampler is not None:
            self._sampler.stop()
        for one in self._all:
            one._close()
            warn(f"container {one.name}", one.error)
        warn("recordings", self.error)
        return self

    def _shut(self) -> None:
        for one in self._all:
            one._shut()

    def _take(self) -> bool:
        self._living = [one for one in self._living if one._take()]
        try:
            self._look()
        except Exception as error:  # the next moment may be better
            self.error = error
        return self._grows or bool(self._living)

    def _look(self) -> None:
        """Take in those that run and are not measured yet."""
        if not self._grows or time.monotonic() < self._looked + _LOOK:
            return
        self._looked = time.monotonic()
        if self._event == (now := self._store.events.last()):
            return
        known = {(one._record.id, one._record.pid) for one in self._all}
        for record in listing.records(self._store, all=False):
            if record.state == "running" and (record.id, record.pid) not in known:
                found = Recording(self._store, record, self.interval)
                if found._open():
                    self._all.append(found)
                    self._living.append(found)
        self._event = now

    def __enter__(self) -> Recordings:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def __iter__(self) -> Iterator[Recording]:
        return iter(sorted(self._all, key=lambda one: one.name))

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, name: str) -> Recording:
        found = [one for one in self._all if one.name == name]
        if not found:
            raise NotFound(f"container {name}: was not recorded")
        return found[-1]

    def _ipython_key_completions_(self) -> list[str]:
        return [one.name for one in self]

    def rows(self) -> list[dict[str, Any]]:
        """A row per container and sample but its first, by container and time."""
        return [{"container": one.name, **row} for one in self for row in one.rows()]

    def frame(self) -> pandas.DataFrame:
        """The samples as a pandas frame, indexed by ``time`` (UTC), with a column ``container``; otherwise as
        ``Recording.frame``.
        """
        made = frames.frame(self.rows(), ("container", *COLUMNS), index="time")
        made.attrs["units"] = dict(UNITS)
        return made

    def plot(self, ax: Any = None) -> Any:
        """CPU over memory, a line for each container; returns the Axes of the CPU, whose ``memory_ax`` is the other.

        Args:
            ax: draw the CPU there, and memory dashed, on an axis at its right.
        """
        marks = [(one.name, when, what) for one in self for when, what in one._marks()]
        return plots.recordings(self.frame(), marks, ax)

    def _summary(self) -> list[dict[str, Any]]:
        return [{"container": one.name, **one._summary()} for one in self]

    def __repr__(self) -> str:
        return text.table(self._summary(), _SUMMARY, empty="recordings of no containers")

    def _repr_html_(self) -> str:
        return html.table(self._summary(), _SUMMARY, empty="recordings of no containers")
