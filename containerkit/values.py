"""Values: frozen dataclasses that cost little to define.

``dataclass(frozen=True)`` writes six functions for a class, and compiles them, when its module is imported: that takes
half a millisecond, and what a first container needs are some two hundred such classes, in two processes. Here five of
the six are the same for every class, and the constructor is compiled when a first instance is made. For all the rest
it is such a dataclass: ``fields()``, ``replace()`` and ``match`` take it as one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from functools import cache
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """As ``dataclass(frozen=True)``."""
    # Where there is none, one would be made, of the signature.
    cls.__doc__ = cls.__doc__ or cls.__name__
    dataclass(init=False, repr=False, eq=False)(cls)
    for name, function in (("__init__", _first(cls)), *_SHARED.items()):
        if cls.__dict__.get(name) is None:  # of a class with an __eq__ of its own, __hash__ is there, and None
            setattr(cls, name, function)
    return cls


def _first(cls: type) -> Callable[..., None]:
    """The constructor until there is one."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        constructor = _constructor(cls)
        cls.__init__ = constructor  # type: ignore[misc]  # that is what it is for
        constructor(self, *args, **kwargs)

    return __init__


class _Signature:
    """What ``help()`` shows of a class, as of any other: its constructor's."""

    def __get__(self, instance: object, cls: Any) -> Any:
        from inspect import Parameter, Signature, signature

        below = cls.__mro__[: [self in vars(one).values() for one in cls.__mro__].index(True)]
        if any("__init__" in vars(one) for one in below):  # a subclass has a constructor of its own
            found = signature(cls.__init__)
            return found.replace(parameters=[*found.parameters.values()][1:])
        kinds = {False: Parameter.POSITIONAL_OR_KEYWORD, True: Parameter.KEYWORD_ONLY}
        return Signature([
            Parameter(one.name, kinds[_is_keyword(one)], default=_default(one, Parameter.empty), annotation=one.type)
            for one in sorted(fields(cls), key=_is_keyword)
        ])  # fmt: skip


def _default(one: Field[Any], none: object) -> Any:
    if one.default_factory is not MISSING:
        return one.default_factory()
    return none if one.default is MISSING else one.default


def _constructor(cls: Any) -> Callable[..., None]:
    # Of names that no field can have: those of defaults are an underscore and the field's.
    names: dict[str, Any] = {"_0set": object.__setattr__, "_0absent": MISSING}
    ordered = sorted(fields(cls), key=_is_keyword)
    parameters = [_parameter(one, names) for one in ordered]
    keyword_only = sum(map(_is_keyword, ordered))
    if keyword_only:
        parameters.insert(len(parameters) - keyword_only, "*")
    lines = [f" _0set(self, {one.name!r}, {_given(one)})" for one in ordered]
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    exec("\n".join((f"def __init__(self, {', '.join(parameters)}):", *(lines or [" pass"]))), names)
    found: Callable[..., None] = names["__init__"]
    return found


def _is_keyword(one: Field[Any]) -> bool:
    return one.kw_only is True


def _parameter(one: Field[Any], names: dict[str, Any]) -> str:
    if one.default is not MISSING:
        names[f"_{one.name}"] = one.default
        return f"{one.name}=_{one.name}"
    if one.default_factory is not MISSING:
        names[f"_{one.name}"] = one.default_factory
        return f"{one.name}=_0absent"
    return one.name


def _given(one: Field[Any]) -> str:
    is_made = one.default_factory is not MISSING
    return f"_{one.name}() if {one.name} is _0absent else {one.name}" if is_made else one.name


@cache
def _compared(cls: Any) -> tuple[str, ...]:
    return tuple([one.name for one in fields(cls) if one.compare])


def _members(self: Any) -> tuple[Any, ...]:
    """What of it makes it equal to another."""
    return tuple([getattr(self, name) for name in _compared(self.__class__)])


def _repr(self: Any) -> str:
    shown = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr)
    return f"{type(self).__qualname__}({shown})"


def _eq(self: Any, other: object) -> Any:
    if type(self) is not type(other):
        return NotImplemented
    return self is other or _members(self) == _members(other)


def _hash(self: Any) -> int:
    return hash(_members(self))


def _refuse(self: Any, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deletion(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


_SHARED: dict[str, Any] = {
    "__signature__": _Signature(), "__repr__": _repr, "__eq__": _eq, "__hash__": _hash,
    "__setattr__": _refuse, "__delattr__": _refuse_deletion,
}  # fmt: skip
