"""Long work that another process does, which tells how far it is: beside this process, and for its rights.

The worker (worker.py) writes lines into a pipe with a name, in a directory of the store's work in progress; a thread
here reads them. A pipe without a reader is how the worker learns that nobody waits any more: it stops, and undoes what
it has begun. When this process is killed, so is the worker.
"""

from __future__ import annotations

import json
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from containerkit.linux import process
from containerkit.store import rights
from containerkit.store.workspace import Workspace

P = ParamSpec("P")
R = TypeVar("R")

#: Bytes done, of all of them, and files done.
Told = Callable[[int, int, int], None]


class Teller:
    """In the worker: tells how far it is. Is called with bytes done, of all of them, and files done."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def __call__(self, done: int, total: int, files: int) -> None:
        """Raises BrokenPipeError when nobody waits any more."""
        os.write(self._pipe, f"{json.dumps((done, total, files))}\n".encode())


def call(
    tmp: Path, told: Told, function: Callable[Concatenate[Callable[[int, int, int], None], P], R],
    *args: P.args, **kwargs: P.kwargs,
) -> R:  # fmt: skip
    """The result of ``function``, called in a worker with something to tell by, and the arguments.

    Args:
        tmp: the store's directory for work in progress.
        told: is told what the function tells, in another thread.
        function: of a module's top level; it, its arguments and its result can be pickled.
    """
    with Workspace(tmp) as space:
        path = f"{space.path}/told"
        os.mkfifo(path)
        reader = _Reader(path, told)
        try:
            result: Any = rights.apart(_run, path, function, args, kwargs)
        finally:
            reader.stop()
    found: R = result
    return found


def _run(path: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """In the worker."""
    process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    pipe = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        return function(Teller(pipe), *args, **kwargs)
    finally:
        os.close(pipe)


class _Reader:
    """Reads what a worker tells, until it is told to stop."""

    def __init__(self, path: str, told: Told) -> None:
        self._pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._told = told
        self._ours, self._theirs = os.pipe2(os.O_CLOEXEC)
        self._rest = b""
        self._thread = threading.Thread(target=self._read, daemon=True, name="containerkit-relay")
        self._thread.start()

    def _read(self) -> None:
        while self._ours not in select.select([self._pipe, self._ours], [], [])[0]:
            if not self._take():
                time.sleep(0.01)  # not opened yet, or closed: both look like an end

    def _take(self) -> bool:
        try:
            data = os.read(self._pipe, 65536)
        except BlockingIOError:
            return True
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            self._told(*json.loads(lines[-1]))
        return bool(data)

    def stop(self) -> None:
        """Read what is there, and no more."""
        os.write(self._theirs, b".")
        self._thread.join()
        self._take()
        for descriptor in (self._pipe, self._ours, self._theirs):
            os.close(descriptor)
