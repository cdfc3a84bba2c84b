"""Which stages a build needs, in which order, and who waits for whom."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Sequence

from containerkit.dockerfile import Scope, Stage
from containerkit.dockerfile.stages import base_of, needed
from containerkit.errors import InvalidArgument


class Plan:
    """The stages of one build. From any of its threads.

    Args:
        scope: what FROM sees.
        given: names that stand for something else, whatever stage is called so.
    """

    def __init__(self, stages: Sequence[Stage], scope: Scope, given: Collection[str]) -> None:
        self.scope = scope
        self._stages, self._given = stages, given
        names = [stage.base.expanded(scope.variables).image for stage in stages]
        self._bases = [
            None if name in given else base_of(stage, stages, name) for stage, name in zip(stages, names, strict=True)
        ]
        self._taken: defaultdict[int, set[int]] = defaultdict(set)  # from which stages each takes files
        self._lock = threading.Lock()

    def below(self, stage: Stage) -> Stage | None:
        """The stage that it begins with; None where that is an image."""
        return self._bases[stage.index]

    def needed(self, target: Stage) -> tuple[Stage, ...]:
        """The stages that ``target`` needs by what the Dockerfile says, each after those that it needs; then itself.

        Raises:
            InvalidArgument: stages that need each other.
        """
        return needed([target], self._stages, self._bases, self._given)

    def take(self, user: Stage, origin: Stage) -> None:
        """``user`` takes files from another stage; a trigger may be what says so.

        Raises:
            InvalidArgument: that one waits for ``user`` itself.
        """
        with self._lock:
            self._taken[user.index].add(origin.index)
            if user in self._waited_for(origin):
                raise InvalidArgument(f"stage {user}: needs {origin}, which needs {user}")

    def _waited_for(self, stage: Stage) -> list[Stage]:
        """All that a stage waits for, itself included."""
        found = [*self.needed(stage)]
        for one in found:  # which grows meanwhile
            for index in self._taken[one.index]:
                found += [more for more in self.needed(self._stages[index]) if more not in found]
        return found
