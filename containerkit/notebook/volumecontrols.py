"""What the panel of volumes is made of, and where it is: fields, choices, buttons and lines to be filled."""

from __future__ import annotations

from collections.abc import Iterator

import ipywidgets as widgets

#: Button → what is on it, its icon, and what it does, in words and as a method.
_BUTTONS = {
    "back_up": ("Back up", "archive", "Add a backup to the directory: back_up()"),
    "compare": ("What changed", "exchange", "What the volume has changed since the chosen backup: compare()"),
    "verify": ("Verify", "check", "Read the chosen backup and compare it with its digests: verify()"),
    "restore": ("Restore", "undo", "The chosen backup takes the place of what the volume has: restore()"),
    "refresh": ("Look again", "refresh", "Look at the volume and its backups anew: refresh()"),
    "schedule": ("Back up every …", "clock-o", "Back up this volume to this directory now and then: schedule()"),
    "unschedule": ("End", "stop", "Do not back up now and then any more: unschedule()"),
}
# Options keep their columns in a font of one width; a theme's own colours come through.
_STYLE = """<style>
.ck-volumes select, .ck-volumes .ck-head {font-family: var(--jp-code-font-family, monospace); font-size: 12px}
.ck-volumes .ck-head {opacity: .7; white-space: pre; padding-left: 3px; line-height: 1.2}
.ck-volumes table {border-collapse: collapse; line-height: 1.4}
.ck-volumes th, .ck-volumes td {padding: 0 12px 0 0}
</style>"""
_LABELS = {"description_width": "90px"}


class Controls:
    """The parts of a panel. ``buttons`` are by the name of the method that they call."""

    def __init__(self) -> None:
        field = widgets.Layout(width="auto", max_width="620px")
        self.volume = widgets.Dropdown(description="volume", layout=field, style=_LABELS, tooltip="Which volume")
        self.directory = widgets.Text(
            description="backups in", placeholder="a directory; it is made with the first backup", layout=field,
            style=_LABELS, continuous_update=False, tooltip="The directory of backups; press Enter",
        )  # fmt: skip
        self.passphrase = widgets.Password(
            description="passphrase", placeholder="of a directory that has one", layout=field, style=_LABELS,
            continuous_update=False, tooltip="Taken with Enter; this field does not keep it",
        )  # fmt: skip
        self.consistency = widgets.Dropdown(
            options=[("as of one moment: pause who uses it", "pause"), ("as it is read, while others write", "none")],
            description="consistency", layout=field, style=_LABELS, tooltip="What happens to running containers",
        )  # fmt: skip
        self.backup = widgets.Select(rows=6, layout=widgets.Layout(width="auto"), tooltip="Which backup")
        self.minutes = widgets.BoundedIntText(
            value=60, min=1, max=10_000, layout=widgets.Layout(width="80px"), tooltip="Minutes between two backups"
        )
        self.buttons = {name: _button(name) for name in _BUTTONS}
        self.about, self.content, self.head, self.state, self.bar, self.details, self.plan, self.plan_bar = (
            widgets.HTML() for _ in range(8)
        )

    def rows(self) -> list[widgets.Widget]:
        """From top to bottom."""
        line = widgets.Layout(flex_flow="row wrap", align_items="center")
        actions = [self.buttons[name] for name in ("back_up", "compare", "verify", "restore", "refresh")]
        again = [self.buttons["schedule"], self.minutes, widgets.HTML("minutes"), self.buttons["unschedule"]]
        return [
            widgets.HTML(_STYLE, layout=widgets.Layout(display="none")),
            self.volume, self.about, self.content, self.directory, self.passphrase, self.consistency, self.head,
            self.backup, widgets.HBox(actions, layout=line), self.state, self.bar, self.details,
            widgets.HBox(again, layout=line), self.plan, self.plan_bar,
        ]  # fmt: skip


def _button(name: str) -> widgets.Button:
    label, icon, tooltip = _BUTTONS[name]
    style = {"back_up": "primary", "restore": "warning"}.get(name, "")
    return widgets.Button(
        description=label, icon=icon, tooltip=tooltip, button_style=style, layout=widgets.Layout(width="auto")
    )


def inside(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    """Everything in a box."""
    for child in getattr(widget, "children", ()):
        yield child
        yield from inside(child)
