"""What builds keep from one time to the next: layers of steps, and the caches that commands have mounted."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from containerkit.errors import InvalidArgument
from containerkit.options import Duration, duration
from containerkit.options.values import size as bytes_of
from containerkit.results import PruneReport
from containerkit.store import rights, trees
from containerkit.store.buildsteps import Step
from containerkit.store.workspace import remove_unlocked
from containerkit.values import frozen
from containerkit.views import frames, html, text
from containerkit.views.shown import Shown

if TYPE_CHECKING:
    import pandas

    from containerkit.engine import Engine


@frozen
class CachedStep:
    """One step that needs not be carried out again.

    Args:
        key: the digest of all that it depends on.
        instruction: as it was written.
        size: bytes of the files of its layer; 0 when it has none.
        created, used: when it was carried out, and when a build had use of it last (UTC).
    """

    key: str
    instruction: str
    size: int
    created: datetime
    used: datetime


class BuildCache(Sequence[CachedStep], Shown):
    """The build cache of one engine, what was used last first: ``len``, ``size``, ``frame()``, ``prune()``."""

    _COLUMNS = ("instruction", "size", "created", "used")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def _steps(self) -> list[Step]:
        return [step for step in self._engine.store.buildsteps.list() if step.instruction]

    def __len__(self) -> int:
        return len(self._steps())

    def __iter__(self) -> Iterator[CachedStep]:
        return iter([_shown(step) for step in self._steps()])

    def __getitem__(self, index: Any) -> Any:
        return [*self][index]

    @property
    def size(self) -> int:
        """Bytes of all its layers' files, those too that images have as well."""
        return sum(step.size for step in self._steps())

    def prune(
        self, *, max_size: int | str | None = None, max_age: Duration | None = None, mounts: bool = False
    ) -> PruneReport:
        """Forget steps, those first that were used the longest time ago; without bounds, all of them.

        Args:
            max_size: bytes or ``"2g"``: so much may stay.
            max_age: seconds or ``"48h"``: what was used since then stays.
            mounts: the caches of ``RUN --mount=type=cache``, too, but for those that are in use.

        Raises:
            InvalidArgument: a bound that cannot be right.
        """
        store = self._engine.store
        most = None if max_size is None else bytes_of(max_size, "max_size")
        age = None if max_age is None else duration(max_age, "max_age")
        if age is not None and age < 0:
            raise InvalidArgument(f"max_age {max_age!r}: less than nothing")
        if most is None and age is None:
            store.buildsteps.remove([step.key for step in store.buildsteps.list()])
        else:
            store.buildsteps.trim(sys.maxsize if most is None else most, math.inf if age is None else age)
        freed = store.images.collect()
        if mounts and store.paths.build_caches.is_dir():
            before = self.mounts_size()
            for name in os.listdir(store.paths.build_caches):
                rights.call(remove_unlocked, store.paths.build_caches / name)
            freed += before - self.mounts_size()
        return PruneReport(space_reclaimed=freed)

    def mounts_size(self) -> int:
        """Bytes on the disk of the caches of ``RUN --mount=type=cache``."""
        place = self._engine.store.paths.build_caches
        return rights.call(trees.disk_usage, place) if place.is_dir() else 0

    def rows(self) -> list[dict[str, Any]]:
        """A row per step."""
        return [
            {"instruction": step.instruction, "size": step.size, "created": step.created, "used": step.used}
            for step in self
        ]

    def frame(self) -> pandas.DataFrame:
        """As a pandas frame: instruction, size (bytes), created, used (UTC)."""
        return frames.frame(self.rows(), self._COLUMNS)

    def __repr__(self) -> str:
        return text.table(self.rows(), self._COLUMNS, empty="no steps of builds")

    def _repr_html_(self) -> str:
        return html.table(self.rows(), self._COLUMNS, empty="no steps of builds")


def _shown(step: Step) -> CachedStep:
    created, used = (datetime.fromtimestamp(moment, timezone.utc) for moment in (step.created, step.used))
    return CachedStep(step.key, step.instruction, step.size, created, used)
