"""Volumes and their backups: what is in a volume, who uses it, backups to be made, compared, verified and restored."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from containerkit.errors import ContainerkitError, InvalidArgument, NotFound
from containerkit.notebook import cells
from containerkit.notebook.backuptask import Bar, History, Task, head, kinds, label
from containerkit.notebook.timer import Timer
from containerkit.notebook.volumecontrols import Controls, inside
from containerkit.views import html, text

if TYPE_CHECKING:
    from containerkit.backup.items import Item
    from containerkit.engine import Engine
    from containerkit.volume import Volume
    from containerkit.volumebackups.backup import Backup, Changes

#: Rows of a long list that are shown.
_ROWS = 200


class VolumePanel(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """The panel of an engine's volumes. It ends with :meth:`close`, or when the cell that made it is run again.

    What is chosen: ``controls.volume`` (one of ``volumes``), ``controls.directory`` of its backups,
    ``controls.backup``, ``controls.consistency``. What is shown: ``files`` and ``users`` of the volume; ``backups``,
    the newest first, and ``rows``: what each of them has changed; ``changes`` since the chosen one.

    How the last action went: ``state`` (ready, busy, done, failed), ``message``, ``error``. Each of the ``buttons``
    calls the method of its name: :meth:`back_up`, :meth:`compare`, :meth:`verify`, :meth:`restore`, :meth:`refresh`,
    :meth:`schedule`, :meth:`unschedule`. None of them raises what goes wrong: the panel says it.

    What is done now and then: ``scheduled``, ``next_run``, and how it went the last time: ``schedule_state``,
    ``schedule_message``.

    Args:
        name: the volume that is shown first.
        directory: of backups; made with the first one.
        interval: seconds between two looks at which volumes there are and who uses the chosen one; 0 for none.
    """

    def __init__(
        self, engine: Engine, name: str, directory: str | os.PathLike[str] | None = None, interval: float = 2.0
    ) -> None:
        self.engine = engine
        self.volumes: list[str] = []
        self.files: list[Item] = []
        self.users: list[str] = []
        self.backups: list[Backup] = []
        self.rows: list[dict[str, Any]] = []
        self.changes: Changes | None = None
        self.state, self.message, self.error = "ready", "", ""
        self.scheduled: Task | None = None
        self.schedule_state = self.schedule_message = ""
        self._passphrase: str | None = None
        self._history = History()
        self._timer: Timer | None = None
        self._is_filling = self._is_closed = False
        self._lock = threading.RLock()
        self.controls = Controls()
        self.buttons = self.controls.buttons
        self._list_volumes(name)
        self.controls.directory.value = "" if directory is None else os.fspath(directory)
        self._connect()
        border = "1px solid var(--jp-border-color1, #bbb)"
        super().__init__(self.controls.rows(), layout=widgets.Layout(border=border, padding="10px", max_width="820px"))
        self.add_class("ck-volumes")
        self.refresh()
        self._watch = Timer(interval, self._notice, f"panel {name}") if interval > 0 else None
        self._forget = cells.when_run_again(self.close)

    def _connect(self) -> None:
        for name, button in self.buttons.items():
            button.on_click(partial(self._clicked, name))
        for choice in (self.controls.volume, self.controls.directory):
            choice.observe(lambda _: self._chose(self.refresh), names="value")
        secret = self.controls.passphrase
        secret.observe(lambda change: self._chose(partial(self.unlock, change["new"])), names="value")

    def _clicked(self, name: str, _: object) -> None:
        getattr(self, name)()

    def _chose(self, action: Callable[[], None]) -> None:
        with self._lock:
            if not self._is_filling:
                action()

    @contextmanager
    def _filling(self, control: widgets.Widget) -> Iterator[None]:
        """What a control is set to in the block is nobody's choice, and the browser learns of the end of it only."""
        with self._lock, control.hold_sync():
            self._is_filling = True
            try:
                yield
            finally:
                self._is_filling = False

    # -- what is there -----------------------------------------------------------------------------------------------

    @property
    def volume(self) -> Volume:
        """The volume that is chosen."""
        return self.engine.volumes[self.controls.volume.value]

    @property
    def chosen(self) -> Backup | None:
        """The backup that is chosen."""
        return next((one for one in self.backups if one.place == self.controls.backup.value), None)

    def unlock(self, passphrase: str) -> None:
        """Take the passphrase of the directory. Its field is emptied: a notebook may be kept with what is in fields."""
        self._passphrase = passphrase or None
        with self._filling(self.controls.passphrase):
            self.controls.passphrase.value = ""
            self.controls.passphrase.placeholder = "is taken; another one takes its place" if passphrase else "none"
        self.refresh()

    def refresh(self) -> None:
        """Look at the volume and its backups anew."""
        self._act("looking", self._look)

    def _look(self) -> str:
        self._list_volumes(self.controls.volume.value)
        self.files, self.users, self.backups, self.rows = [], [], [], []
        try:
            self.files, self.users = self.volume.files(), self._users()
            self._list_backups()
        finally:
            self._draw()
        return ""

    def _users(self) -> list[str]:
        return [f"{one.name} ({one.status})" for one in self.volume.containers]

    def _list_volumes(self, chosen: str) -> None:
        """Those that are there, and the chosen one, which a restore can bring back."""
        found = list(self.engine.volumes)
        names = [one.name for one in found]
        options = [(one.name[:12] if one.is_anonymous else one.name, one.name) for one in found]
        if chosen not in names:
            options.append((f"{chosen} (removed)", chosen))
        if self.controls.volume.options != tuple(options):
            with self._filling(self.controls.volume):
                self.controls.volume.options, self.controls.volume.value = options, chosen
        self.volumes = names

    def _list_backups(self) -> None:
        from containerkit.volumebackups.collection import Backups

        directory = self.controls.directory.value
        try:
            found = Backups(directory, volume=self.volume.name, passphrase=self._passphrase) if directory else ()
            self.backups = list(found)[::-1]
        except NotFound:
            pass  # made with the first one
        self.rows = self._history.rows(self.backups)

    def _draw(self) -> None:
        size = sum(item.size for item in self.files)
        about = {"content": f"{len(self.files)} names, {text.size(size)}", "used by": ", ".join(self.users) or "nobody"}
        self.controls.about.value = html.card("", "", about)
        rows = [
            {"name": item.path, "kind": item.kind, "size": item.size, "mode": f"{item.mode:04o}",
             "owner": f"{item.uid}:{item.gid}"}
            for item in self.files[:_ROWS]
        ]  # fmt: skip
        table = html.table(rows, ("name", "kind", "size", "mode", "owner"), "nothing is in it")
        rest = len(self.files) - _ROWS
        more = html.note(f"… and {rest} more") if rest > 0 else ""
        self.controls.content.value = _scrolled(table + more)
        self._draw_backups()

    def _draw_backups(self) -> None:
        none = "no backups yet" if self.controls.directory.value else "say in which directory backups are"
        self.controls.head.value = f'<div class="ck-head">{head() if self.backups else none}</div>'
        choice = self.controls.backup
        places = [one.place for one in self.backups]
        options = tuple((label(row), place) for row, place in zip(self.rows, places, strict=True))
        if choice.options != options:
            with self._filling(choice):
                # The one that was chosen stays so.
                wanted = choice.value if choice.value in places else next(iter(places), None)
                choice.options, choice.value = options, wanted

    def _notice(self, watch: Timer) -> None:
        """See volumes that others have made or removed, and who uses the chosen one."""
        if not self._lock.acquire(blocking=False):
            return  # busy: it looks by itself
        try:
            self._list_volumes(self.controls.volume.value)
            users = self._users() if self.controls.volume.value in self.volumes else []
            if users != self.users:
                self.users = users
                self._draw()
        except Exception as error:  # the engine is closed, or its root is gone
            watch.stop()
            self._say("failed", error=_words(error))
        finally:
            self._lock.release()

    # -- what is done ------------------------------------------------------------------------------------------------

    def back_up(self) -> None:
        """Add a backup to the directory."""

        def work() -> str:
            made = self._task().run(self.engine, self._bar())
            self._look()
            self.controls.backup.value = made.place
            return _made(made)

        self._act(f"backing up {self.controls.volume.value}", work)

    def compare(self) -> None:
        """What the volume has changed since the chosen backup."""

        def work() -> str:
            self.changes = self.volume.diff(self._chosen())
            self.controls.details.value = _scrolled(self.changes._repr_html_()) if self.changes else ""
            count = kinds(self.changes)
            numbers = ", ".join(f"{count[kind]} {kind}" for kind in ("added", "changed", "deleted") if count[kind])
            return f"{len(self.changes)} changes since then" + (f": {numbers}" if numbers else "")

        self._act("comparing", work)

    def verify(self) -> None:
        """Read the chosen backup and compare it with its digests."""
        self._act("verifying", lambda: f"{self._chosen().verify(progress=self._bar()).id[:12]} is whole")

    def restore(self) -> None:
        """Make the chosen backup the content of the volume."""

        def work() -> str:
            self._chosen().restore(self.controls.volume.value, progress=self._bar(), engine=self.engine)
            self._look()
            return "restored"

        self._act(f"restoring {self.controls.volume.value}", work)

    def _task(self) -> Task:
        if not self.controls.directory.value:
            raise InvalidArgument("backups: say in which directory they are to be")
        directory = os.path.abspath(self.controls.directory.value)
        return Task(self.controls.volume.value, directory, self.controls.consistency.value, self._passphrase)

    def _chosen(self) -> Backup:
        if self.chosen is None:
            raise InvalidArgument("backups: none is chosen")
        return self.chosen

    def _bar(self) -> Bar:
        return Bar(self.controls.bar, lambda: self._is_closed)

    def _act(self, doing: str, work: Callable[[], str]) -> None:
        """Do something, and show how it went: what goes wrong belongs here, not into the kernel's log."""
        with self._lock:
            self.controls.details.value = ""
            self._say("busy", doing)
            try:
                said = work()
                self._say("done" if said else "ready", said)
            except Exception as error:
                self._say("failed", error=_words(error))
            except BaseException:  # Ctrl-C ends the cell, too
                self._say("failed", error=f"{doing}: interrupted")
                raise

    def _say(self, state: str, message: str = "", error: str = "") -> None:
        self.state, self.message, self.error = state, message, error
        self.controls.state.value = _said(state, message or error)
        for name, button in self.buttons.items():
            button.disabled = state == "busy" or (name == "unschedule" and self.scheduled is None)

    # -- now and then ------------------------------------------------------------------------------------------------

    @property
    def next_run(self) -> datetime | None:
        """When what is scheduled is done the next time (UTC)."""
        return self._timer.next_run if self._timer is not None else None

    def schedule(self, minutes: float | None = None) -> None:
        """Back up this volume to this directory every so many minutes, until the panel or this kernel ends.

        It stays with these, whatever is chosen later, and takes the place of what was scheduled before.

        Args:
            minutes: default: what the field says.
        """
        every, before = minutes or self.controls.minutes.value, self._timer

        def work() -> str:
            task = self._task()
            self.scheduled, self.schedule_state, self.schedule_message = task, "ready", ""
            self._timer = Timer(every * 60, partial(self._back_up_again, task), f"backups of {task.volume}")
            self._draw_schedule()
            return f"{task.volume} is backed up every {every:g} minutes"

        self._act("scheduling", work)
        if before is not None and before is not self._timer:
            before.stop()  # with no lock held: its thread may wait for one

    def unschedule(self) -> None:
        """Do not any more. A backup that is being made is broken off."""
        with self._lock:
            timer, self._timer, self.scheduled = self._timer, None, None
            self.buttons["unschedule"].disabled = True
            self._draw_schedule()
        if timer is not None:
            timer.stop()

    def _back_up_again(self, task: Task, timer: Timer) -> None:
        """In the timer's thread."""
        try:
            with self._lock:
                self._say_scheduled(task, "busy", "backing up")
            made = task.run(self.engine, Bar(self.controls.plan_bar, lambda: timer.is_over))
            with self._lock:
                if self._shows(task):
                    self._look()
            state, said = "done", _made(made)
        except Exception as error:
            state, said = "failed", _words(error)
        is_gone = state == "failed" and self._is_gone(task)
        with self._lock:
            self._say_scheduled(task, state, f"{said}: the schedule has ended" if is_gone else said)
            if is_gone and self._timer is timer:
                self.unschedule()

    def _say_scheduled(self, task: Task, state: str, said: str) -> None:
        if self.scheduled is task:
            self.schedule_state, self.schedule_message = state, said
            self._draw_schedule()

    def _shows(self, task: Task) -> bool:
        shown = (self.controls.volume.value, os.path.abspath(self.controls.directory.value))
        return not self._is_closed and shown == (task.volume, task.directory)

    def _is_gone(self, task: Task) -> bool:
        try:
            self.engine.volumes[task.volume]
        except Exception:  # or all of its engine is
            return True
        return False

    def _draw_schedule(self) -> None:
        last = _said(self.schedule_state, self.schedule_message) if self.schedule_message else ""
        if self.scheduled is None or self.next_run is None:
            self.controls.plan.value = last
            return
        plan = f"{self.scheduled.volume} to {self.scheduled.directory}, next at {self.next_run:%H:%M:%S} UTC"
        self.controls.plan.value = f"<div>{escape(plan)}</div>{last}"

    def close(self) -> None:
        """End what goes on, and take the widget away."""
        self._is_closed = True
        self._forget()
        self.unschedule()
        if self._watch is not None:
            self._watch.stop()
        for widget in inside(self):
            widget.close()
        super().close()

    def __repr__(self) -> str:
        return f"VolumePanel({self.controls.volume.value!r})"


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, ContainerkitError) else f"{type(error).__name__}: {error}"


def _made(backup: Backup) -> str:
    return f"backed up: {backup.files} files, {text.size(backup.stored_size)} added"


def _said(state: str, words: str) -> str:
    """A state, and what there is to say of it."""
    colour = "var(--jp-error-color1, #d32f2f)" if state == "failed" else "inherit"
    return f'<div style="color:{colour};white-space:pre-wrap">{html.badge(state)} {escape(words)}</div>'


def _scrolled(content: str) -> str:
    return f'<div style="max-height:160px;overflow:auto">{content}</div>'
