"""Long work that another process does, which tells how far it is: beside this process, and for its rights.

The worker (worker.py) writes into pipes with names, in a directory of the store's work in progress; a thread here reads
each (:class:`Stream`). A pipe without a reader is how the worker learns that nobody waits any more: it stops, and
undoes what it has begun. When this process is killed, so is the worker.
"""

from __future__ import annotations

import json
import os
import select
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from containerkit.store import rights
from containerkit.store.workspace import Workspace
from containerkit.supervise import worker

P = ParamSpec("P")
R = TypeVar("R")

#: Bytes done, of all of them, and files done.
Told = Callable[[int, int, int], None]


class Stream:
    """A pipe with the name ``path``; ``take`` gets what is written into it, in another thread."""

    def __init__(self, path: str, take: Callable[[bytes], object]) -> None:
        os.mkfifo(path, 0o600)
        self._pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        # As long as this end is open there is no end of file.
        self._writer = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self._ours, self._theirs = os.pipe2(os.O_CLOEXEC)
        self._take = take
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="containerkit-stream")
        self._thread.start()

    def _run(self) -> None:
        try:
            while self._ours not in select.select([self._pipe, self._ours], [], [])[0]:
                self._read()
            while self._read():
                pass  # what is left
        except BaseException as error:
            self._error = error
        finally:
            os.close(self._pipe)  # who still writes learns that nobody reads

    def _read(self) -> bool:
        try:
            data = os.read(self._pipe, 1 << 20)
        except BlockingIOError:
            return False
        if data:
            self._take(data)
        return bool(data)

    def end(self) -> None:
        """Nothing more will come that matters: take what is there. What ``take`` has raised is raised here."""
        os.close(self._theirs)
        self._thread.join()
        for descriptor in (self._writer, self._ours):
            os.close(descriptor)
        if self._error is not None:
            raise self._error


class _Lines:
    """Takes the lines that a :class:`Teller` writes."""

    def __init__(self, told: Told) -> None:
        self._told, self._rest = told, b""

    def __call__(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            self._told(*json.loads(lines[-1]))


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
        stream = Stream(path, _Lines(told))
        try:
            result: Any = rights.apart(_run, path, function, args, kwargs)
        finally:
            stream.end()
    found: R = result
    return found


def _run(path: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """In the worker."""
    worker.end_with_caller()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    # Not blocking: whoever was to read may have been killed before this process could learn of it, and nobody comes.
    pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(pipe, True)
    try:
        return function(Teller(pipe), *args, **kwargs)
    finally:
        os.close(pipe)
