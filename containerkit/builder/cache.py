"""What steps came to before; and, of one that is not there, why."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextlib import suppress

from containerkit.builder.inputs import Inputs, changes, key
from containerkit.errors import ContainerkitError
from containerkit.store.buildsteps import Step
from containerkit.store.ingest import Ingest, Written
from containerkit.store.store import Store

#: Seconds: so exactly is it known when a step was used last.
_NOTED = 3600


class Cache:
    """The cache as one build uses it. From any of its threads.

    Args:
        ingest: where the layers wait that are made.
        bounds: so many bytes stay, and what was used in so many seconds.
        is_read: False: every step is carried out; what it comes to is kept all the same.
    """

    def __init__(self, store: Store, ingest: Ingest, bounds: tuple[int, float], *, is_read: bool = True) -> None:
        self._store, self._ingest, self._bounds, self._is_read = store, ingest, bounds, is_read
        self._made: dict[str, Step] = {}
        self._learned: dict[str, Step] = {}
        self._found: set[str] = set()
        self._lock = threading.Lock()

    def find(self, inputs: Inputs) -> Step | None:
        """The step with these inputs, if it was carried out once, and what it came to is still there."""
        wanted = key(inputs)
        with self._lock:
            if wanted in self._made:
                return self._made[wanted]
        if not self._is_read:
            return None
        found = self._store.buildsteps.find(wanted) or self._learned.get(wanted)
        if found is None or (found.layer is not None and not self._ingest.hold(found.layer.digest)):
            return None
        with self._lock:
            if wanted in self._learned:
                self._made[wanted] = found  # it was of use: from now on it is known here
            elif time.time() - found.used > _NOTED:
                self._found.add(wanted)
        return found

    def learn(self, steps: Iterable[Step]) -> None:
        """Take over what others have carried out, as far as this build has use of it."""
        known = self._store.buildsteps
        self._learned = {step.key: step for step in steps if known.find(step.key) is None} | self._learned

    def why(self, place: str, slot: str, inputs: Inputs) -> tuple[str, ...]:
        """What is another one than the last time: of the same instruction, else of the one that stood there."""
        if not self._is_read:
            return ("no_cache",)
        before = self._store.buildsteps.last(place, slot)
        if before is None:
            return ("not built before",)
        if before.place != place:
            return ("another instruction",)
        return tuple(changes(before.inputs, inputs)) or ("what it came to is gone",)

    def add(self, place: str, slot: str, instruction: str, inputs: Inputs, made: Written | None, chain_id: str) -> Step:
        """Keep what a step came to; from the end of the build on, for others, too."""
        now = time.time()
        if made is None:
            step = Step(key(inputs), place, slot, instruction, inputs, None, created=now)
        else:
            size = self._store.layers.size(chain_id)
            layer, diff_id = made.descriptor, made.packed.diff_id
            step = Step(key(inputs), place, slot, instruction, inputs, layer, diff_id, chain_id, size, now)
        with self._lock:
            self._made[step.key] = step
        return step

    def close(self) -> None:
        """The build is over, well or not: its steps are there for the next one; on a full disk they are forgotten."""
        with suppress(ContainerkitError, OSError):
            self._keep()

    def _keep(self) -> None:
        with self._lock:
            made, found = list(self._made.values()), set(self._found)
            self._made.clear()
            self._found.clear()
        if made or found:
            self._store.buildsteps.write(made, found, self._ingest)
        if made and self._store.buildsteps.trim(*self._bounds):
            self._store.images.collect()
