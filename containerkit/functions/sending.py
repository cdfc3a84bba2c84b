"""Function and arguments, written for the interpreter in a container."""

from __future__ import annotations

import marshal
import os
import sys
import sysconfig
import threading
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from types import CodeType, ModuleType
from typing import Any

from containerkit.errors import InvalidArgument, Unsupported, from_os_error
from containerkit.functions import inside

#: cloudpickle's list of modules whose content is sent is one for the process.
_lock = threading.Lock()


def version() -> str:
    """Of this Python, as far as the code of a function depends on it."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def library() -> str:
    """The directory of cloudpickle, which reads what it has written.

    Raises:
        Unsupported: it is not installed.
    """
    return os.path.dirname(os.path.abspath(str(_cloudpickle().__file__)))


def _cloudpickle() -> ModuleType:
    try:
        import cloudpickle
    except ImportError as error:
        raise Unsupported("functions: cloudpickle is not installed (try: pip install cloudpickle)") from error
    found: ModuleType = cloudpickle
    return found


def write_call(
    path: str, name: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, whole: bool
) -> None:
    """Write a call.

    Args:
        name: the function's, for the error.
        whole: the function's module is not there where it is called: what it needs of it is sent, too.

    Raises:
        InvalidArgument: the function, or an argument, is tied to this process, as files, locks and generators are.
    """
    cloudpickle = _cloudpickle()
    try:
        with _sent_whole(cloudpickle, function if whole else None):
            inside.write(path, (function, args, kwargs), _pickler(cloudpickle))
    except OSError as error:
        raise from_os_error(error, f"function {name}") from error
    except Exception as error:
        raise InvalidArgument(f"function {name}: cannot be sent with these arguments: {error}") from error


@cache
def _pickler(cloudpickle: Any) -> Any:
    """cloudpickle's, but that code keeps the name of its file: tracebacks show its lines."""
    own: dict[type, Any] = {CodeType: lambda code: (marshal.loads, (marshal.dumps(code),))}
    table = ChainMap(own, cloudpickle.Pickler.dispatch_table)
    return type("Pickler", (cloudpickle.Pickler,), {"dispatch_table": table})


@contextmanager
def _sent_whole(cloudpickle: Any, function: Callable[..., Any] | None) -> Iterator[None]:
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    if module is None or module.__name__ == "__main__" or not _is_own(module):
        yield
        return
    with _lock:
        known = module.__name__ in cloudpickle.list_registry_pickle_by_value()
        if not known:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            if not known:
                cloudpickle.unregister_pickle_by_value(module)


def _is_own(module: ModuleType) -> bool:
    """Whether it is the user's own: neither Python's nor installed."""
    file = getattr(module, "__file__", None)
    return file is not None and not os.path.abspath(file).startswith(_installed())


@cache
def _installed() -> tuple[str, ...]:
    places = sysconfig.get_paths()
    return tuple(f"{places[name]}/" for name in ("stdlib", "platstdlib", "purelib", "platlib"))
