"""Volumes and their backups: what is in a volume, who uses it, backups to be made, compared, verified and restored."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from containerkit.errors import ContainerkitError, NotFound
from containerkit.progress import Shown
from containerkit.views import html, text

if TYPE_CHECKING:
    from containerkit.backup.items import Item
    from containerkit.backups import Backup, Changes
    from containerkit.engine import Engine

#: Rows of a long list that are shown.
_ROWS = 200
_WIDE = widgets.Layout(width="460px")


class VolumePanel(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """The panel of an engine's volumes.

    ``volume_choice`` says which volume, ``directory_text`` where its backups are; ``files``, ``users``, ``backups`` and
    ``changes`` are what is shown, ``message`` and ``error`` how the last action went. Each button calls the method of
    its name: :meth:`back_up`, :meth:`compare`, :meth:`verify`, :meth:`restore`, :meth:`refresh`.

    Args:
        name: the volume that is shown first.
        directory: of backups; made with the first one.
    """

    def __init__(self, engine: Engine, name: str, directory: str | os.PathLike[str] | None = None) -> None:
        self.engine = engine
        self.files: list[Item] = []
        self.users: list[str] = []
        self.backups: list[Backup] = []
        self.changes: Changes | None = None
        self.message = self.error = ""
        self.next_run: datetime | None = None
        self._timer: _Timer | None = None
        self._lock = threading.RLock()
        self._make_controls(name, "" if directory is None else os.fspath(directory))
        layout = widgets.Layout(border="1px solid #bbb", padding="10px", width="760px")
        super().__init__(self._rows(), layout=layout)
        self.refresh()

    def _make_controls(self, name: str, directory: str) -> None:
        names = [volume.name for volume in self.engine.volumes]
        self.volume_choice = widgets.Dropdown(options=names, value=name, description="volume", layout=_WIDE)
        self.directory_text = widgets.Text(
            value=directory, placeholder="a directory", description="backups in", layout=_WIDE
        )
        self.consistency_choice = widgets.Dropdown(
            options=[("pause who uses it for a moment", "pause"), ("as it is", "none")], description="back up",
            layout=_WIDE,
        )  # fmt: skip
        self.backup_choice = widgets.Select(
            options=[], rows=6, description="backup", layout=widgets.Layout(width="720px")
        )
        self.every_minutes = widgets.BoundedIntText(value=60, min=1, max=10_000, description="minutes")
        self.schedule_toggle = widgets.ToggleButton(value=False, description="back up every …")
        self._about, self._content, self._outcome, self._bar = (widgets.HTML() for _ in range(4))
        for control in (self.volume_choice, self.directory_text):
            control.observe(lambda _: self.refresh(), names="value")
        self.schedule_toggle.observe(lambda change: self._toggle(change["new"]), names="value")

    def _rows(self) -> list[widgets.Widget]:
        self.buttons = {
            name: widgets.Button(description=label, layout=widgets.Layout(width="auto"))
            for name, label in (
                ("back_up", "Back up"), ("compare", "What changed since"), ("verify", "Verify"), ("restore", "Restore"),
                ("refresh", "Look again"),
            )
        }  # fmt: skip
        for name, button in self.buttons.items():
            button.on_click(partial(self._clicked, name))
        return [
            self.volume_choice, self._about, self._content, self.directory_text, self.consistency_choice,
            self.backup_choice, widgets.HBox(list(self.buttons.values())),
            widgets.HBox([self.schedule_toggle, self.every_minutes]), self._bar, self._outcome,
        ]  # fmt: skip

    def _clicked(self, name: str, _: object) -> None:
        getattr(self, name)()

    # -- what is there -----------------------------------------------------------------------------------------------

    @property
    def volume(self) -> Any:
        """The volume that is chosen."""
        return self.engine.volumes[self.volume_choice.value]

    @property
    def chosen(self) -> Backup | None:
        """The backup that is chosen."""
        return next((one for one in self.backups if one.place == self.backup_choice.value), None)

    def refresh(self) -> None:
        """Look at the volume and its backups anew."""
        self._act(self._look, "")

    def _look(self) -> str:
        from containerkit.backupdirectory import Backups

        volume = self.volume
        self.files = volume.files()
        self.users = [f"{one.name} ({one.status})" for one in volume.containers]
        try:
            found = Backups(self.directory_text.value, volume=volume.name) if self.directory_text.value else ()
            self.backups = list(found)[::-1]
        except NotFound:
            self.backups = []  # made with the first one
        kept = self.backup_choice.value
        options = [(_label(one), one.place) for one in self.backups]
        self.backup_choice.options = options
        if kept in [place for _, place in options]:
            self.backup_choice.value = kept
        self._draw()
        return self.message

    def _draw(self) -> None:
        size = sum(item.size for item in self.files)
        about = {"content": f"{len(self.files)} names, {text.size(size)}", "used by": ", ".join(self.users) or "nobody"}
        self._about.value = html.card(f"volume {self.volume_choice.value}", "", about)
        rows = [
            {"name": item.path, "kind": item.kind, "size": item.size, "mode": f"{item.mode:04o}",
             "owner": f"{item.uid}:{item.gid}"}
            for item in self.files[:_ROWS]
        ]  # fmt: skip
        table = html.table(rows, ("name", "kind", "size", "mode", "owner"), "nothing is in it")
        rest = len(self.files) - _ROWS
        more = html.note(f"… and {rest} more") if rest > 0 else ""
        self._content.value = f'<div style="max-height:200px;overflow:auto">{table}</div>{more}'

    # -- what is done ------------------------------------------------------------------------------------------------

    def back_up(self) -> None:
        """Add a backup to the directory."""

        def work() -> str:
            made = self.volume.backup(
                os.path.join(self._directory(), ""), consistency=self.consistency_choice.value, progress=_Bar(self._bar)
            )
            self.message = f"backed up: {made.files} files, {text.size(made.stored_size)} added"
            self._look()
            self.backup_choice.value = made.place
            return self.message

        self._act(work)

    def compare(self) -> None:
        """What the volume has changed since the chosen backup."""

        def work() -> str:
            self.changes = self.volume.diff(self._chosen())
            return f"{len(self.changes)} changes since then"

        self._act(work)
        if self.changes is not None and not self.error:
            self._outcome.value += f'<div style="max-height:200px;overflow:auto">{self.changes._repr_html_()}</div>'

    def verify(self) -> None:
        """Read the chosen backup and compare it with its digests."""
        self._act(lambda: f"{self._chosen().verify(progress=_Bar(self._bar)).id[:12]} is whole")

    def restore(self) -> None:
        """Make the chosen backup the content of the volume."""

        def work() -> str:
            self._chosen().restore(self.volume_choice.value, progress=_Bar(self._bar), engine=self.engine)
            self.message = "restored"
            return self._look()

        self._act(work)

    def _directory(self) -> str:
        if not self.directory_text.value:
            raise NotFound("backups: say in which directory they are to be")
        return str(self.directory_text.value)

    def _chosen(self) -> Backup:
        if self.chosen is None:
            raise NotFound("backups: none is chosen")
        return self.chosen

    def _act(self, work: Callable[[], str], begun: str | None = None) -> None:
        """Do something, and show how it went."""
        with self._lock:
            self.error = ""
            if begun is not None:
                self.message = begun
            try:
                self.message = work()
            except ContainerkitError as error:
                self.message, self.error = "", str(error)
            self._outcome.value = html.note(self.message) if not self.error else html.pre(self.error, "#b71c1c")

    # -- now and then ------------------------------------------------------------------------------------------------

    def _toggle(self, on: bool) -> None:
        if on:
            self.schedule(self.every_minutes.value)
        else:
            self.unschedule()

    def schedule(self, minutes: float) -> None:
        """Back up every so many minutes from now on, as long as this kernel lives."""
        self.unschedule()
        self._timer = _Timer(self, minutes * 60)

    def unschedule(self) -> None:
        """Do not any more."""
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.next_run = None

    def close(self) -> None:
        """End what goes on, and take the widget away."""
        self.unschedule()
        super().close()

    def __repr__(self) -> str:
        return f"VolumePanel({self.volume_choice.value!r})"


def _label(backup: Backup) -> str:
    return (
        f"{backup.created:%Y-%m-%d %H:%M:%S}   {backup.files} files, {text.size(backup.size)}, "
        f"{text.size(backup.stored_size)} added   {backup.id[:12]}"
    )


class _Timer:
    """Calls a panel's ``back_up`` every so many seconds, in a thread of its own."""

    def __init__(self, panel: VolumePanel, seconds: float) -> None:
        self._panel, self._seconds = panel, seconds
        self._over = threading.Event()
        self._set()
        self._thread = threading.Thread(target=self._run, daemon=True, name="containerkit-backups")
        self._thread.start()

    def _set(self) -> None:
        self._panel.next_run = datetime.now(timezone.utc) + timedelta(seconds=self._seconds)

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            self._set()
            self._panel.back_up()

    def stop(self) -> None:
        self._over.set()
        if self._thread is not threading.current_thread():
            self._thread.join()


class _Bar(Shown):
    """Shows progress where the panel has room for it."""

    def __init__(self, view: widgets.HTML) -> None:
        super().__init__()
        self._view = view

    def draw(self) -> None:
        rows = [(i.key, i.state, 0.0 if not i.total else min(1.0, i.done / i.total)) for i in self.items.values()]
        self._view.value = html.progress(self.title, rows, self.summary if self.is_over else "")
