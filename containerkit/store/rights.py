"""Work on files that belong to users whom this process is not.

Root is everybody. An ordinary user is everybody only inside a user namespace of its own, which a process with threads
cannot enter: what has to be done there is handed to :data:`delegate`, which the layer above sets (supervise/worker.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

#: Calls a function elsewhere: (function, positional, named arguments) → its result, or what it raised. None: here.
delegate: Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any] | None = None


def call(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of the function, called by somebody with the rights to the store's trees.

    Args:
        function: of a module's top level; it, its arguments and its result can be pickled.
    """
    if delegate is None:
        return function(*args, **kwargs)
    result: R = delegate(function, args, kwargs)
    return result


def held(function: Callable[P, R]) -> Callable[P, R]:
    """A function or method that is always called so."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        # What arrives elsewhere by its name is this wrapper, which there calls the function itself.
        return function(*args, **kwargs) if delegate is None else call(wrapper, *args, **kwargs)

    return wrapper
