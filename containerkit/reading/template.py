"""Go's templates, as far as people use them with ``docker inspect --format``: fields, ``json``, ``index``, ``range``.

Source: the documentation of Go's text/template, and of docker's formatting functions.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from containerkit.errors import InvalidArgument


def render(template: str, data: Mapping[str, Any]) -> str:
    """``template`` with its actions replaced by what they say of ``data``.

    Raises:
        InvalidArgument: an action that is not known, or a field that is not there.
    """
    tokens = iter(_tokens(template))
    try:
        text, ended = _block(tokens, data, data, template)
    except RecursionError as error:
        raise InvalidArgument(f"format {template[:80]!r}…: nested too deeply") from error
    if ended:
        raise InvalidArgument(f"format {template!r}: {{{{{ended}}}}} without a beginning")
    return text


def _tokens(template: str) -> list[tuple[str, str]]:
    tokens, position = [], 0
    while (start := template.find("{{", position)) >= 0:
        end = template.find("}}", start + 2)
        if end < 0:
            raise InvalidArgument(f"format {template!r}: an action without an end")
        tokens.append(("text", template[position:start]))
        tokens.append(("action", template[start + 2 : end].removeprefix("-").removesuffix("-").strip()))
        position = end + 2
    return [*tokens, ("text", template[position:])]


def _block(tokens: Iterator[tuple[str, str]], dot: Any, root: Any, template: str) -> tuple[str, str]:
    """The text up to ``end`` or ``else``, and which of them it was."""
    text = []
    for kind, value in tokens:
        if kind == "text":
            text.append(value)
            continue
        word, _, rest = value.partition(" ")
        if word in ("end", "else"):
            return "".join(text), word
        if word in ("range", "if", "with"):
            text.append(_branch(word, _evaluate(rest, dot, root, template), tokens, dot, root, template))
        else:
            text.append(_show(_evaluate(value, dot, root, template)))
    return "".join(text), ""


def _branch(word: str, value: Any, tokens: Iterator[tuple[str, str]], dot: Any, root: Any, template: str) -> str:
    # The tokens of a branch are taken once and gone through for each element.
    body, ended = _take(tokens, template)
    other: list[tuple[str, str]] = []
    if ended == "else":
        other, ended = _take(tokens, template)
    if word == "range":
        dots = list(value.values()) if isinstance(value, Mapping) else value or []
        if not isinstance(dots, (list, tuple)):
            raise InvalidArgument(f"format {template!r}: range: not over {_show(value)[:40]}")
    else:
        dots = [] if not value else [value if word == "with" else dot]
    if not dots:
        return _block(iter(other), dot, root, template)[0]
    return "".join(_block(iter(body), one, root, template)[0] for one in dots)


def _take(tokens: Iterator[tuple[str, str]], template: str) -> tuple[list[tuple[str, str]], str]:
    taken: list[tuple[str, str]] = []
    depth = 0
    for kind, value in tokens:
        word = value.partition(" ")[0] if kind == "action" else ""
        if word in ("end", "else") and depth == 0:
            return taken, word
        depth += (word in ("range", "if", "with")) - (word == "end")
        taken.append((kind, value))
    raise InvalidArgument(f"format {template!r}: an {{{{end}}}} is missing")


def _evaluate(expression: str, dot: Any, root: Any, template: str) -> Any:
    *stages, last = expression.split("|")
    value: tuple[Any, ...] = ()
    for stage in (*stages, last):
        try:
            words = shlex.split(stage.strip(), posix=False)
        except ValueError as error:
            raise InvalidArgument(f"format {template!r}: {str(error).lower()}") from error
        value = (_call(words, value, dot, root, template),)
    return value[0]


def _call(words: list[str], piped: tuple[Any, ...], dot: Any, root: Any, template: str) -> Any:
    name, *rest = words or [""]
    if name not in _FUNCTIONS:
        if rest or piped:
            raise InvalidArgument(f"format {template!r}: unknown function {name!r}")
        return _operand(name, dot, root, template)
    arguments = [_operand(word, dot, root, template) for word in rest]
    try:
        return _FUNCTIONS[name](*arguments, *piped)
    except (TypeError, LookupError, ValueError, AttributeError) as error:
        raise InvalidArgument(f"format {template!r}: {name}: {error}") from error


def _operand(word: str, dot: Any, root: Any, template: str) -> Any:
    if word[:1] in ('"', "`") and len(word) > 1:
        return word[1:-1]
    if re.fullmatch(r"-?[0-9]{1,18}", word):
        return int(word)
    if not word.startswith((".", "$")):
        raise InvalidArgument(f"format {template!r}: {word!r}: expected a field like .State.Pid")
    value = root if word.startswith("$") else dot
    for field in filter(None, word.lstrip("$").split(".")):
        if not isinstance(value, Mapping) or field not in value:
            raise InvalidArgument(f"format {template!r}: {word}: there is no {field}")
        value = value[field]
    return value


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        # As in Go, a key that a map does not have gives nothing.
        value = value.get(key, "") if isinstance(value, Mapping) else value[key]
    return value


_FUNCTIONS: dict[str, Any] = {
    "json": lambda value: json.dumps(value, separators=(",", ":")),
    "index": _index,
    "len": len,
    "join": lambda values, separator: separator.join(values),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "println": lambda *values: " ".join(map(_show, values)) + "\n",
    "not": lambda value: not value,
    "eq": lambda one, *others: one in others,
    "ne": lambda one, other: one != other,
}


def _show(value: Any) -> str:
    """As Go prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{_show(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(map(_show, value)) + "]"
    return str(value)
