"""What a walk through a start has seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from containerkit.results import Plan, Step
from containerkit.values import frozen
from containerkit.views import frames, text
from containerkit.views import steps as drawing
from containerkit.views.shown import Shown

if TYPE_CHECKING:
    import pandas

#: What is seen under one name: words, or the names of things that come and go.
Sight = str | tuple[str, ...]
_COLUMNS = ("side", "what", "before", "after")


@frozen
class World:
    """How things are at one moment of a start, name by name; empty while there is no process.

    Args:
        outside: what this machine sees of the process.
        inside: what the process sees.
    """

    outside: Mapping[str, Sight] = field(default_factory=dict)
    inside: Mapping[str, Sight] = field(default_factory=dict)


@frozen
class Difference:
    """What one operation has changed.

    Args:
        side: ``outside`` or ``inside``.
        what: which name of that side's.
        before, after: in words; of things that come and go, those that went and those that came.
    """

    side: str
    what: str
    before: str
    after: str


@frozen
class Stepped(Shown):
    """One operation of a start that has been executed.

    Args:
        step: the operation, its system calls, and what it cost.
        before, after: the world around it.
    """

    step: Step
    before: World
    after: World

    @property
    def changes(self) -> tuple[Difference, ...]:
        """What is another after it than before, outside first."""
        return tuple(self._changes())

    def _changes(self) -> Iterator[Difference]:
        for side in ("outside", "inside"):
            old, new = getattr(self.before, side), getattr(self.after, side)
            for what in dict.fromkeys((*old, *new)):
                before, after = old.get(what, ""), new.get(what, "")
                if before != after:
                    yield Difference(side, what, *_told(before, after))

    def rows(self) -> list[dict[str, str]]:
        """The changes, a row each."""
        return [{name: getattr(one, name) for name in _COLUMNS} for one in self.changes]

    def frame(self) -> pandas.DataFrame:
        """The changes as a pandas frame."""
        return frames.frame(self.rows(), _COLUMNS)

    def __repr__(self) -> str:
        step = self.step
        head = f"{step.number}. {step.operation} ({step.where}): {step.description}"
        if not self.changes:
            return head
        lines = text.table(self.rows(), _COLUMNS).splitlines()
        return "\n".join((head, *(f"   {line}" for line in lines)))

    def _repr_html_(self) -> str:
        step = self.step
        changed = {(one.side, one.what): (one.before, one.after) for one in self.changes}
        return drawing.step(
            Plan((step,)).drawn()[0],
            {side: list(self._sights(side, changed)) for side in ("outside", "inside")},
        )

    def _sights(self, side: str, changed: Mapping[tuple[str, str], tuple[str, str]]) -> Iterator[drawing.Sight]:
        for what in dict.fromkeys((*getattr(self.before, side), *getattr(self.after, side))):
            if (side, what) in changed:
                yield drawing.Sight(what, *changed[side, what], is_new=True)
            else:
                yield drawing.Sight(what, "", _words(getattr(self.after, side)[what]))


def _told(before: Sight, after: Sight) -> tuple[str, str]:
    if isinstance(before, str) or isinstance(after, str):
        return _words(before), _words(after)
    went = [f"- {name}" for name in before if name not in after]
    came = [f"+ {name}" for name in after if name not in before]
    return ", ".join(went), ", ".join(came)


def _words(sight: Sight) -> str:
    return sight if isinstance(sight, str) else ", ".join(sight) or "none"
