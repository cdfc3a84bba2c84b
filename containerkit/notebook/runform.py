"""A form to run a container with: a field for every option of ``ck.run``, and the line of Python that it stands for.

Which options there are, and of which kind, is read from ``RunOptions``: a field is a box to tick, a line, or a line for
each of several values. What is written there in Python (``{"a": 1}``) is taken so.
"""

from __future__ import annotations

import ast
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from containerkit.errors import InvalidArgument
from containerkit.notebook import cells, runoptions
from containerkit.notebook.aside import Button, words
from containerkit.options import RunOptions
from containerkit.views import html

if TYPE_CHECKING:
    from containerkit.container import Container
    from containerkit.engine import Engine

#: Those that a form begins with; the others are added one by one.
_FIRST = ("name", "ports", "volumes", "env", "memory", "cpus", "network", "restart", "replace", "remove")
_HINTS = {
    "name": "web", "ports": "8080:80", "volumes": "site:/data or /host:/data:ro", "env": "NAME=value", "memory": "64m",
    "cpus": "0.5", "network": "bridge, none, host or a name", "restart": "no, on-failure:3, always",
}  # fmt: skip
_WIDTH = 88


def kind(name: str) -> str:
    """``flag``, ``number``, ``mapping``, ``list`` or ``text``: what ``RunOptions`` says of an option."""
    kinds = runoptions.kinds(RunOptions.__annotations__[name])
    if kinds == {"bool"}:
        return "flag"
    if kinds & {"Sequence", "Ports", "Exposed"}:
        return "list"
    if kinds & {"int", "float"}:
        return "number"
    return "mapping" if kinds & {"Mapping", "Rates"} and "str" not in kinds else "text"


def parse(name: str, written: str) -> Any:
    """The value that somebody has written into the field of an option.

    Raises:
        InvalidArgument: a mapping without ``=``.
    """
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    if written.strip().startswith(("[", "{", "(")) or kind(name) == "number":
        return _literal(written.strip())
    if kind(name) == "mapping":
        pairs = [line.partition("=") for line in lines]
        if not all(found for _, found, _ in pairs):
            raise InvalidArgument(f"{name}: write name=value, one a line")
        return {key.strip(): _literal(value.strip()) for key, _, value in pairs}
    return lines if kind(name) == "list" else written.strip()


def _literal(words: str) -> Any:
    try:
        return ast.literal_eval(words)
    except (ValueError, SyntaxError):
        return words


def _code(value: Any) -> str:
    """The value as Python, with the quotes that people write."""
    if isinstance(value, str):
        words = repr(value)
        return words if '"' in words or "\\" in words else f'"{words[1:-1]}"'
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_code, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_code(key)}: {_code(one)}" for key, one in value.items()) + "}"
    return repr(value)


def _written(name: str, value: Any) -> str:
    """What :func:`parse` reads as that value."""
    if kind(name) == "list" and isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        return "\n".join(value)
    return value if isinstance(value, str) else repr(value)


class RunForm(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A form of ``engine``, filled in with an image, a command and options.

    ``fields`` are the controls, by the option's name (:meth:`add` makes one more); ``options`` what they say; ``line``
    the Python that stands for it. :meth:`run`, and the button, make ``container``, whose ``panel`` is shown below;
    ``error`` is what went wrong.
    """

    #: From when it is made until it is closed.
    _is_open = False

    def __init__(
        self, engine: Engine, image: str = "", command: str = "", options: Mapping[str, Any] | None = None
    ) -> None:
        self.engine = engine
        self.container: Container | None = None
        self.panel: Any = None
        self.error = ""
        self._lock = threading.RLock()
        self.fields: dict[str, Any] = {}
        tags = sorted(tag for one in engine.images for tag in one.tags)
        self.image_field = widgets.Combobox(value=image, options=tags, placeholder="busybox", ensure_option=False)
        self.command_field = widgets.Text(value=command, placeholder="the image's own")
        self.more_choice = widgets.Dropdown()
        self.run_button = Button(description="Run", icon="play", button_style="primary", tooltip="ck.run()")
        self.run_button.on_click(lambda _: self.run())
        self.more_choice.observe(lambda change: change["new"] and self.add(change["new"]), names="value")
        self._flags = widgets.HBox(layout=widgets.Layout(flex_flow="row wrap"))
        self._head = [_row("image", self.image_field), _row("command", self.command_field)]
        self._lines: dict[str, Any] = {}
        self._tail = [_row("", self._flags), _row("", self.more_choice)]
        self._rows, self._line, self._trouble, self._below = (
            widgets.VBox(),
            widgets.HTML(),
            widgets.HTML(),
            widgets.VBox(),
        )
        border = "1px solid var(--jp-border-color1, #bbb)"
        super().__init__(
            [self._rows, self._line, widgets.HBox([self.run_button]), self._trouble, self._below],
            layout=widgets.Layout(border=border, padding="10px", max_width="800px"),
        )
        for field in (self.image_field, self.command_field):
            field.observe(lambda _: self._show(), names="value")
        self._is_open = True
        for name in dict.fromkeys((*_FIRST, *(options or {}))):
            self.add(name, (options or {}).get(name))
        self._forget = cells.when_run_again(self.close)

    def add(self, name: str, value: Any = None) -> Any:
        """A field for an option, with a value; the field.

        Raises:
            InvalidArgument: there is no such option.
        """
        if name not in RunOptions.__annotations__:
            raise InvalidArgument(f"option {name}: unknown")
        if name not in self.fields:
            self.fields[name] = field = _field(name, value)
            field.observe(lambda _: self._show(), names="value")
            if kind(name) != "flag":
                self._lines[name] = _row(name, field)
            self._arrange()
        return self.fields[name]

    def _arrange(self) -> None:
        rest = sorted(name for name in RunOptions.__annotations__ if name not in self.fields)
        self.more_choice.options = [("another option …", ""), *((name, name) for name in rest)]
        self.more_choice.value = ""
        flags = [field for name, field in self.fields.items() if kind(name) == "flag"]
        self._flags.children = flags
        self._rows.children = [*self._head, *self._lines.values(), *self._tail]
        self._show()

    @property
    def options(self) -> dict[str, Any]:
        """The options that are filled in.

        Raises:
            InvalidArgument: one that cannot be read.
        """
        filled = {name: field.value for name, field in self.fields.items() if field.value not in ("", False)}
        return {name: True if value is True else parse(name, value) for name, value in filled.items()}

    @property
    def line(self) -> str:
        """The Python that the form stands for."""
        command = self.command_field.value
        parts = [_code(self.image_field.value), *([_code(command)] if command else [])]
        parts += [f"{name}={_code(value)}" for name, value in self.options.items()]
        line = f"ck.run({', '.join(parts)})"
        return line if len(line) <= _WIDTH else "ck.run(\n    " + ",\n    ".join(parts) + ",\n)"

    def _show(self) -> None:
        try:
            self._line.value, trouble = html.pre(self.line), ""
        except InvalidArgument as error:
            trouble = str(error)
        self._complain(trouble)

    def _complain(self, trouble: str) -> None:
        self.error = trouble
        self._trouble.value = html.pre(trouble, "var(--jp-error-color1, #d32f2f)")

    def run(self) -> None:
        """Run it: ``ck.run()`` with what the form says."""
        self._complain("")
        self.run_button.disabled = True
        try:
            self.container = self.engine.run(self.image_field.value, self.command_field.value or None, **self.options)
            self._open(self.container)
        except Exception as error:
            self._complain(words(error))
        finally:
            self.run_button.disabled = False

    def _open(self, container: Container) -> None:
        with self._lock:
            if not self._is_open:
                return
            if self.panel is not None:
                self.panel.close()
            self.panel = container.panel()
            self._below.children = [self.panel]

    def close(self) -> None:
        """Take the form away, and the panel below it; the container goes on."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            self._forget()
            if self.panel is not None:
                self.panel.close()
        super().close()

    def __repr__(self) -> str:
        return f"RunForm({self.image_field.value!r})"


def _field(name: str, value: Any) -> Any:
    if kind(name) == "flag":
        return widgets.Checkbox(
            value=bool(value),
            description=name,
            indent=False,
            layout=widgets.Layout(width="auto", margin="2px 16px 2px 2px"),
        )
    written, hint = "" if value is None else _written(name, value), _HINTS.get(name, "")
    if kind(name) in ("list", "mapping"):
        return widgets.Textarea(
            value=written, placeholder=hint or "one a line", rows=max(1, min(len(written.splitlines()), 6))
        )
    return widgets.Text(value=written, placeholder=hint)


def _row(name: str, field: Any) -> Any:
    field.layout.width = "auto" if isinstance(field, (widgets.HBox, widgets.Dropdown)) else "420px"
    label = widgets.HTML(f"<code>{name}</code>" if name else "", layout=widgets.Layout(width="110px"))
    return widgets.HBox([label, field], layout=widgets.Layout(align_items="flex-start"))
