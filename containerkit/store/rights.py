"""Work that another process does: for its rights, or to be done beside this one.

Root is everybody. An ordinary user is everybody only inside a user namespace of its own, which a process with threads
cannot enter: what is to be done to files of other users is handed to :data:`delegate`, which the layer above sets
(supervise/worker.py). Work that keeps a processor busy goes there too: here it would hold up all other threads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

#: Calls a function elsewhere: (function, positional, named arguments) → its result, or what it raised. None: here.
delegate: Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any] | None = None
#: Whether this process lacks the rights to the store's trees.
is_needed = False


def call(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of the function, called by somebody with the rights to the store's trees.

    Args:
        function: of a module's top level; it, its arguments and its result can be pickled.
    """
    return apart(function, *args, **kwargs) if is_needed else function(*args, **kwargs)


def if_refused(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """As :func:`call`, tried here first: another process takes tens of milliseconds. For what seldom needs the rights,
    does the same whoever calls it, and may have been done in part before.
    """
    try:
        return function(*args, **kwargs)
    except PermissionError:
        if not is_needed:
            raise
        return apart(function, *args, **kwargs)


def apart(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """As :func:`call`, in another process where there is somebody to hand it to."""
    if delegate is None:
        return function(*args, **kwargs)
    result: R = delegate(function, args, kwargs)
    return result


def held(function: Callable[P, R]) -> Callable[P, R]:
    """A function or method that is always called so."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        # What arrives elsewhere by its name is this wrapper, which there calls the function itself.
        return call(wrapper, *args, **kwargs) if is_needed else function(*args, **kwargs)

    return wrapper
