"""Options by their names: those that a function shows, and which one was meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from containerkit.errors import InvalidArgument, near

F = TypeVar("F", bound=Callable[..., Any])


def shows_options(options: type, defaults: Mapping[str, Any] | None = None) -> Callable[[F], F]:
    """Give a function that takes ``**options`` a signature that names them, for ``help()`` and for completion.

    Args:
        options: a TypedDict; what it says of its options goes below the function's own documentation.
        defaults: of those whose default is not None.
    """
    named = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=(defaults or {}).get(name),
            annotation=getattr(hint, "__forward_arg__", hint),
        )
        for name, hint in options.__annotations__.items()
    ]  # fmt: skip

    def show(function: F) -> F:
        signature = inspect.signature(function)
        given = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        function.__signature__ = signature.replace(parameters=[*given, *named])  # type: ignore[attr-defined]  # PEP 362
        function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{inspect.cleandoc(options.__doc__ or '')}"
        return function

    return show


def explained_by(explained: Callable[..., Any]) -> Callable[[F], F]:
    """Give a function the documentation of another one that does the same."""

    def explain(function: F) -> F:
        function.__doc__ = explained.__doc__
        return function

    return explain


def unknown_option(name: str, known: Iterable[str], foreign: Mapping[str, str]) -> InvalidArgument:
    """The error for an option that there is not, with what to write instead.

    Args:
        known: those that there are.
        foreign: what others call them, and what to write (see :mod:`containerkit.options.foreign`).
    """
    meant = name if name in foreign else near(name, [*known, *foreign])
    if meant in foreign:
        return InvalidArgument(f"option {name}: {foreign[meant]}")
    return InvalidArgument(f"option {name}: unknown" + (f" (did you mean {meant}?)" if meant else ""))
