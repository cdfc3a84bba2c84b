"""JSON objects of the OCI specifications ⇄ frozen dataclasses.

A field's JSON name is its own in camelCase, or ``metadata["json"]``. Absent members take the field's default; members
that a class does not know are ignored, as the specifications ask of a reader. A value of the wrong type is named by
its place: ``config.json: process.args[1]: expected a string, found 3``.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, Union

from containerkit.errors import InvalidArgument

T = TypeVar("T")
Reader = Callable[[Any, str], Any]

#: Longer lists are nobody's but a stranger's who wants our memory: an object here takes a hundred times its text.
_MOST = 100_000
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def named(json_name: str, default: Any = None, *, always: bool = False) -> Any:
    """A field whose JSON name is not its own in camelCase; with ``always`` written even when it holds its default."""
    return dataclasses.field(default=default, metadata={"json": json_name, "always": always})


def always(default: Any) -> Any:
    """A field that is written even when it holds its default: the specification requires it."""
    return dataclasses.field(default=default, metadata={"always": True})


def decode(cls: type[T], data: Any, where: str) -> T:
    """An instance of ``cls`` from parsed JSON; ``where`` names the document in errors.

    Raises:
        InvalidArgument: a member is missing or of the wrong type.
    """
    hint: Any = cls
    try:
        return typing.cast(T, _reader(hint)(data, ""))
    except InvalidArgument as error:
        raise InvalidArgument(f"{where}: {error.message.removeprefix(': ')}") from None


def loads(cls: type[T], text: str | bytes, where: str) -> T:
    """As :func:`decode`, from JSON text."""
    try:
        # Not by json itself: it would guess at the encoding, and take halves of characters.
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        found = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(found, ensure_ascii=False).encode()  # half a character is an error
        return decode(cls, found, where)
    except RecursionError as error:
        raise InvalidArgument(f"{where}: nested too deeply") from error
    except ValueError as error:
        if isinstance(error, InvalidArgument):
            raise
        raise InvalidArgument(f"{where}: not JSON: {error}") from error


def encode(value: Any) -> Any:
    """What ``json.dumps`` takes: members that hold their default are left out."""
    kind = type(value)
    if kind is str or kind is int or value is None:
        return value
    if kind is tuple or kind is list:
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if hasattr(kind, "__dataclass_fields__"):
        return _encode_object(value, kind)
    return value


def _encode_object(value: Any, kind: type) -> dict[str, Any]:
    out = {}
    for name, key, default, _ in _members(kind):
        member = getattr(value, name)
        if member is not None and (default is dataclasses.MISSING or member != default):
            out[key] = encode(member)
    return out


def prepare(*classes: type) -> None:
    """Work out now how these classes, and those in their fields, are read and written: forks share the result."""
    pending: list[Any] = list(classes)
    seen: set[Any] = set()
    while pending:
        hint = pending.pop()
        if hint in seen:
            continue
        seen.add(hint)
        pending.extend(argument for argument in typing.get_args(hint) if argument is not Ellipsis)
        if hasattr(hint, "__dataclass_fields__"):
            pending.extend(member for *_, member in _members(hint))
            _reader(hint)


def dumps(value: Any) -> str:
    """JSON text of a value of ours: one way, so that equal values have equal bytes."""
    return json.dumps(encode(value), separators=(",", ":"), ensure_ascii=False)


@cache
def _members(cls: Any) -> tuple[tuple[str, str, Any, Any], ...]:
    """(attribute, JSON name, default, type) of each field."""
    hints = typing.get_type_hints(cls)
    members = []
    for field in dataclasses.fields(cls):
        default = dataclasses.MISSING if field.metadata.get("always") else field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        key = field.metadata.get("json") or _camel(field.name)
        members.append((field.name, key, default, hints[field.name]))
    return tuple(members)


def _camel(name: str) -> str:
    head, *rest = name.rstrip("_").split("_")
    return head + "".join(part.title() for part in rest)


@cache
def _reader(hint: Any) -> Reader:
    """The function that reads one JSON value as ``hint``; made once per type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return lambda value, where: value
    if origin in (Union, types.UnionType):
        (inner,) = (a for a in arguments if a is not type(None))
        read = _reader(inner)
        return lambda value, where: None if value is None else read(value, where)
    if origin is tuple:
        return _tuple_reader(_reader(arguments[0]), arguments[0] is str)
    if origin in (dict, Mapping) or getattr(origin, "__name__", "") == "Mapping":
        return _mapping_reader(_reader(arguments[1]))
    if dataclasses.is_dataclass(hint):
        return _object_reader(hint)
    return _scalar_reader(hint)


def _scalar_reader(kind: type) -> Reader:
    accepted = (int, float) if kind is float else kind

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, accepted) or (kind is not bool and isinstance(value, bool)):
            raise InvalidArgument(f"{where}: expected {_NAMES[kind]}, found {json.dumps(value)[:60]}")
        return value

    return read


def _tuple_reader(read: Reader, of_texts: bool) -> Reader:
    def read_all(value: Any, where: str) -> Any:
        if value is None:
            return ()
        if of_texts and type(value) is list and set(map(type, value)) <= {str}:
            return tuple(value)
        if not isinstance(value, list):
            raise InvalidArgument(f"{where}: expected a list, found {json.dumps(value)[:60]}")
        if len(value) > _MOST:
            raise InvalidArgument(f"{where}: {len(value)} items, more than {_MOST}")
        return tuple([read(item, f"{where}[{index}]") for index, item in enumerate(value)])

    return read_all


def _mapping_reader(read: Reader) -> Reader:
    def read_all(value: Any, where: str) -> Any:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise InvalidArgument(f"{where}: expected an object, found {json.dumps(value)[:60]}")
        return {key: read(item, f"{where}.{key}") for key, item in value.items()}

    return read_all


def _object_reader(cls: Any) -> Reader:
    plan = [(name, key, default, _reader(hint)) for name, key, default, hint in _members(cls)]
    optional = {field.name for field in dataclasses.fields(cls) if field.metadata.get("always")}

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise InvalidArgument(f"{where}: expected an object, found {json.dumps(value)[:60]}")
        found = {}
        for name, key, default, inner in plan:
            if key in value:
                found[name] = inner(value[key], f"{where}.{key}" if where else key)
            elif default is dataclasses.MISSING and name not in optional:
                raise InvalidArgument(f"{where}: {key} is missing")
        return cls(**found)

    return read
