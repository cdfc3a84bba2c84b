"""A Python function that runs in containers."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from containerkit import engine as engines
from containerkit.errors import InvalidArgument, MapFailed
from containerkit.functions import hostview
from containerkit.functions.call import Call, Outcome, Place
from containerkit.functions.calling import carry_out
from containerkit.options import Duration, Settings, duration, settings

if TYPE_CHECKING:
    from containerkit.engine import Engine
    from containerkit.image import Image

P = ParamSpec("P")
R = TypeVar("R")

#: This machine's own files.
HOST = "host"
#: What is not the user's to say of a call's container.
_OURS = ("entrypoint", "healthcheck", "log_options", "name", "remove", "replace", "restart", "stdin_open", "tty")


class Function(Generic[P, R]):
    """A function that runs in a container of its own each time that it is called; what ``ck.function`` gives.

    ``f(…)`` gives what the function returns, raises what it raises (the traceback in the container is the exception's
    cause), and writes its output where ``print`` writes, as it comes. ``f.local(…)`` calls it here.

    Arguments and results travel as pickles; functions, closures and classes of a notebook or script, too, and large
    arrays and frames beside the pickle. In an image there has to be the same minor version of Python, and what the
    function imports; its own module is sent along. What it is given is a copy: nothing that it changes is changed here.
    """

    __name__: str

    def __init__(
        self, function: Callable[P, R], image: str | Image, timeout: Duration | None, options: Mapping[str, Any],
        engine: Engine | None,
    ) -> None:  # fmt: skip
        _check(function)
        self._function, self._image, self._engine = function, image, engine
        self._timeout = None if timeout is None else duration(timeout, "timeout")
        self._options = {"network": "none", **{name: value for name, value in options.items() if value is not None}}
        for name in _OURS:
            if name in self._options:
                raise InvalidArgument(f"option {name}: is not for functions: each call has a container of its own")
        self._settings = settings(None, self._options)
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it in a container.

        Raises:
            InvalidArgument: it, or an argument, cannot be sent.
            Timeout: time was up; it has been ended, with all that it had started.
            OutOfMemory: it needed more than ``memory``; a MemoryError, too.
            ProcessFailed: it ended without a result: by ``sys.exit``, or killed.
            Unsupported: the Python in the image is of another version.
            RuntimeFailure: the container could not be started.
        """
        place = self._place()
        (outcome,) = carry_out([args], lambda given: self._started(place, given, kwargs), 1)
        if outcome.error is not None:
            raise outcome.error
        value: R = outcome.value
        return value

    def local(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it here, without a container."""
        return self._function(*args, **kwargs)

    def map(self, inputs: Iterable[Any], *, parallel: int | None = None) -> list[R]:
        """Call it with each of ``inputs``, several at a time, each in a container of its own.

        Args:
            inputs: one argument each.
            parallel: how many containers run at once; default: as many as there are processors.

        Returns:
            What it gives for each, in their order.

        Raises:
            MapFailed: it has failed for some. All others have been computed nevertheless: ``results`` has what they
                gave, and the exception at the place of each that failed.
        """
        limit = parallel if parallel is not None else len(os.sched_getaffinity(0))
        if limit < 1:
            raise InvalidArgument(f"parallel {limit}: must be 1 or more")
        place = self._place()
        outcomes = carry_out(inputs, lambda given: self._started(place, (given,), {}), limit)
        failed = [(number, one.error) for number, one in enumerate(outcomes) if one.error is not None]
        if failed:
            raise self._map_failed(outcomes, *failed[0], len(failed)) from failed[0][1]
        return [one.value for one in outcomes]

    def _map_failed(self, outcomes: list[Outcome], first: int, error: Exception, count: int) -> MapFailed:
        return MapFailed(
            f"function {self.__name__}: {count} of {len(outcomes)} inputs failed, input {first} with "
            f"{type(error).__name__}: {error} (what the others gave is in .results)",
            results=[one.value if one.error is None else one.error for one in outcomes],
        )

    def _started(self, place: Place, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        return Call(place, self._function, self._timeout).start(args, kwargs)

    def _place(self) -> Place:
        engine = self._engine or engines.default_engine()
        if self._image == HOST:
            return Place(
                engine.store, engine.configuration, hostview.image(), HOST, _in_view(self._settings),
                _interpreter(), tuple(hostview.search_path(sys.path)), hostview.links(),
            )  # fmt: skip
        image = engine._image(self._image, self._options)
        return Place(engine.store, engine.configuration, image._record, image._reference, self._settings)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        # As functions do: in a class it is a method.
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self) -> tuple[Any, ...]:
        # In a container, where it has come to by its name or as an argument, it is the function itself.
        return functools.partial, (self._function,)

    def __repr__(self) -> str:
        where = self._image if isinstance(self._image, str) else self._image._reference
        return f"<function {self.__name__} in {where}>"


def decorated(
    function: Callable[..., Any] | None, image: str | Image, timeout: Duration | None, options: Mapping[str, Any],
    engine: Engine | None,
) -> Any:  # fmt: skip
    """What ``@function`` and ``@function(…)`` give: a Function, or what makes one."""

    def decorate(function: Callable[P, R]) -> Function[P, R]:
        return Function(function, image, timeout, options, engine)

    return decorate if function is None else decorate(function)


def _check(function: Callable[..., Any]) -> None:
    if not callable(function):
        raise InvalidArgument(f"function {function!r}: cannot be called (options have names: @function(image=…))")
    name = getattr(function, "__name__", repr(function))
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidArgument(f"function {name}: is a generator: a call has one result (return a list)")
    if inspect.iscoroutinefunction(function):
        raise InvalidArgument(f"function {name}: is a coroutine: a call runs to its end (use asyncio.run in it)")


def _interpreter() -> str:
    if not sys.executable:
        raise InvalidArgument('function: image="host": this program has no Python interpreter of its own to start')
    return sys.executable


def _in_view(chosen: Settings) -> Settings:
    """With this machine's files, below what the user wants."""
    taken = {mount.target for mount in chosen.mounts} | {*(chosen.tmpfs or {})}
    view = tuple(mount for mount in hostview.mounts() if mount.target not in taken)
    user, environment = hostview.user(chosen.user), hostview.environment()
    if user is not None:
        environment["HOME"] = user.home
    return replace(
        chosen, mounts=(*view, *chosen.mounts), workdir=chosen.workdir or hostview.directory(),
        user=chosen.user if user is None else f"{user.uid}:{user.gid}",
        env=(*(f"{name}={value}" for name, value in environment.items()), *chosen.env),
    )  # fmt: skip
