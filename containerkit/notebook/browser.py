"""An image, looked into: its layers with their sizes, its history, its config, and the files of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from containerkit.errors import ContainerkitError
from containerkit.views import html, text

if TYPE_CHECKING:
    from containerkit.image import Image
    from containerkit.layers.listing import LayerEntry

_TABS = ("Layers", "History", "Config", "Files")
#: Rows of a long list that are shown.
_ROWS = 200


class ImageBrowser(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """The browser of ``image``.

    ``layer_choice`` says whose files are listed (the lowest layer is 1), ``filter_text`` which of them; ``layers``,
    ``history`` and ``files`` are the rows that are shown. An image never changes: there is nothing to follow.
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        self.layers = image.layer_details()
        self.history = image.history()
        self.files: list[LayerEntry] = []
        self.error = ""
        head, layers, history, config = (widgets.HTML(value) for value in self._pages())
        self._list = widgets.HTML()
        options = [(f"{one.number}: {one.created_by[:60] or one.diff_id[7:19]}", one.number) for one in self.layers]
        self.layer_choice = widgets.Dropdown(options=options, description="layer", layout=widgets.Layout(width="540px"))
        self.filter_text = widgets.Text(placeholder="part of a path", description="path")
        for control in (self.layer_choice, self.filter_text):
            control.observe(lambda _: self.refresh(), names="value")
        files = widgets.VBox([self.layer_choice, self.filter_text, self._list])
        self.tabs = widgets.Tab([layers, history, config, files], titles=_TABS)
        layout = widgets.Layout(border="1px solid #bbb", padding="10px", width="760px")
        super().__init__([head, self.tabs], layout=layout)
        self.refresh()

    def _pages(self) -> tuple[str, str, str, str]:
        image = self.image
        usage = image.usage()
        about = {
            "id": image.id, "digest": image.digest, "platform": image.platform,
            "created": image.created.strftime("%Y-%m-%d %H:%M:%S"),
            "on disk": f"{text.size(usage.total)}, of which {text.size(usage.shared)} are shared with other images",
        }  # fmt: skip
        bars = [
            (str(one.number), float(one.size), f"{text.size(one.size)}  {one.created_by[:70]}") for one in self.layers
        ]
        steps = [
            {"step": index, "created by": step["created_by"], "size": step["size"], "comment": step["comment"]}
            for index, step in enumerate(self.history, 1)
        ]
        settings = {name: value for name, value in image.inspect()["Config"].items() if value}
        config = [{"name": name, "value": _words(value)} for name, value in settings.items()]
        return (
            html.card(" ".join(image.tags) or "<none>", "", about),
            html.bars(bars) if bars else html.note("no layers"),
            html.table(steps, ("step", "created by", "size", "comment"), "no history"),
            html.table(config, ("name", "value"), "nothing is set"),
        )

    def refresh(self) -> None:
        """List the files of the chosen layer."""
        self.error = ""
        found: list[LayerEntry] = []
        try:
            if self.layer_choice.value is not None:
                found = self.image.files(layer=self.layer_choice.value)
        except ContainerkitError as error:
            self.error = str(error)
        wanted = self.filter_text.value
        self.files = [entry for entry in found if wanted in entry.path]
        rest = len(self.files) - _ROWS
        more = html.note(f"… and {rest} more: say a part of the path") if rest > 0 else ""
        columns = ("path", "kind", "mode", "owner", "size")
        table = html.table([entry._asdict() for entry in self.files[:_ROWS]], columns, "no such files")
        trouble = html.pre(self.error, "#b71c1c")
        self._list.value = f'<div style="max-height:320px;overflow:auto">{table}</div>{more}{trouble}'

    def __repr__(self) -> str:
        return f"ImageBrowser({' '.join(self.image.tags) or self.image.short_id!r})"


def _words(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(str, value))
    if isinstance(value, dict):
        return "\n".join(f"{name}={text}" if text not in ({}, None) else str(name) for name, text in value.items())
    return str(value)
