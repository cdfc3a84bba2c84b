"""A backup that can be made again and again, its bar, and a directory's backups as rows with what each has changed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from containerkit.errors import InvalidState
from containerkit.progress import Shown
from containerkit.values import frozen
from containerkit.views import html, text

if TYPE_CHECKING:
    from containerkit.engine import Engine
    from containerkit.progress import Progress
    from containerkit.volumebackups.backup import Backup, Changes

#: What a row says, and how wide that is.
_COLUMNS = {"created": 19, "files": 7, "size": 10, "added": 10, "changes": 14, "id": 12}
_BLANK = "\N{NO-BREAK SPACE}"


@frozen
class Task:
    """What is backed up, where to and how: it stays so, whatever is chosen later."""

    volume: str
    directory: str
    consistency: str
    passphrase: str | None = field(default=None, repr=False)

    def run(self, engine: Engine, progress: Progress) -> Backup:
        """Add a backup to the directory."""
        return engine.volumes[self.volume].backup(
            os.path.join(self.directory, ""), consistency=self.consistency, passphrase=self.passphrase,
            progress=progress,
        )  # fmt: skip


class Bar(Shown):
    """Shows how far the work is in a line of the panel, and breaks it off when nobody waits for it any more."""

    def __init__(self, view: widgets.HTML, is_over: Callable[[], bool]) -> None:
        super().__init__()
        self._view, self._is_wanted_no_more = view, is_over

    def item(self, key: str, state: str, done: int = 0, total: int | None = None) -> None:
        if self._is_wanted_no_more():
            raise InvalidState(f"{self.title}: broken off")
        super().item(key, state, done, total)

    def draw(self) -> None:
        rows = [(i.key, i.state, 0.0 if not i.total else min(1.0, i.done / i.total)) for i in self.items.values()]
        # What it came to is said by the one whose work it is.
        self._view.value = "" if self.is_over else html.progress(self.title, rows, "")


class History:
    """The backups of a volume in a directory as rows, the newest first, each with what it has changed."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Counter[str]] = {}

    def rows(self, backups: list[Backup]) -> list[dict[str, Any]]:
        """A row per backup: as ``Backups.rows()``, and how many names it has new, changed and deleted.

        Args:
            backups: the newest first. The last one has changed nothing: it is the first.
        """
        befores: list[Backup | None] = [*backups[1:], None]
        return [self._row(one, before) for one, before in zip(backups, befores, strict=False)]

    def _row(self, one: Backup, before: Backup | None) -> dict[str, Any]:
        kinds = Counter[str]() if before is None else self._kinds(one, before)
        return {
            "created": one.created, "files": one.files, "size": one.size, "added": one.stored_size, "id": one.id[:12],
            "new": kinds["added"], "changed": kinds["changed"], "deleted": kinds["deleted"], "is_first": before is None,
        }  # fmt: skip

    def _kinds(self, one: Backup, before: Backup) -> Counter[str]:
        key = (one.place, before.place)
        if key not in self._known:
            self._known[key] = kinds(one.diff(before))
        return self._known[key]


def kinds(changes: Changes) -> Counter[str]:
    """How many of each kind."""
    return Counter(change.kind for change in changes)


def label(row: dict[str, Any]) -> str:
    """A row in one line, its columns below those of :func:`head`."""
    changes = "the first" if row["is_first"] else f"+{row['new']} ~{row['changed']} -{row['deleted']}"
    return _line({**row, "changes": changes})


def head() -> str:
    """What the columns are."""
    return _line({"created": "made (UTC)", **{name: name for name in _COLUMNS if name != "created"}})


def _line(row: dict[str, Any]) -> str:
    cells = [
        text.cell("" if isinstance(row[name], str) else name, row[name]).ljust(width)
        for name, width in _COLUMNS.items()
    ]
    # An option keeps no other blanks.
    return "  ".join(cells).rstrip().replace(" ", _BLANK)
