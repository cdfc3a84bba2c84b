"""Where operations are done to be hit: a process that forks for each, and whose children are everything they start.

``python -m tests.faults.working``; it hears and speaks lines of JSON. It is the subreaper of what its children leave
(prctl(2)), so that whatever is below it belongs to the operation.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import containerkit as ck
from containerkit.linux import process
from tests.faults import listening, operations

_PR_SET_CHILD_SUBREAPER = 36


class Worker:
    """The other end of it: one per test run."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-B", "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid

    def begin(self, operation: str, place: Path) -> int:
        """Fork; the process that does the operation once :meth:`go` is said."""
        self._say({"operation": operation, "place": str(place)})
        return int(self._hear()["pid"])

    def go(self) -> None:
        """The filter is watched."""
        self._say({})

    def end(self) -> dict[str, Any]:
        """What came of it, once it has: ``error`` (a type's name), ``is_ours``, ``message``, ``trace``."""
        return self._hear()

    def close(self) -> None:
        """It ends."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _say(self, value: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found


def main() -> None:
    """Fork for each line."""
    process.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children, and theirs, reap themselves
    filter = listening.program()
    for name in ck.__all__:
        getattr(ck, name)  # imported now, not by each child
    while line := _line():
        told = json.loads(line)
        heard, said = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(heard)
            _work(filter, told["operation"], Path(told["place"]), said)
        os.close(said)
        ended = os.pidfd_open(pid)
        print(json.dumps({"pid": pid}), flush=True)
        with os.fdopen(heard) as file:
            outcome = file.readline() or "{}\n"
        process.readable(ended, None)
        os.close(ended)
        print(outcome, end="", flush=True)


def _line() -> bytes:
    """A line, byte by byte: what follows is for somebody else."""
    found = b""
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        found += byte
    return found


def _work(filter: bytes, operation: str, place: Path, said: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    listener = listening.submit(filter)
    _line()  # somebody has taken the descriptor
    os.close(listener)
    outcome: dict[str, Any] = {}
    try:
        operations.BY_NAME[operation].work(operations.Scene(place))
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)[-6:]
        trace = "".join(f"\n      {Path(one.filename).name}:{one.lineno} {one.line}" for one in frames)
        is_ours = isinstance(error, ck.ContainerkitError)
        outcome = {"error": type(error).__name__, "is_ours": is_ours, "message": str(error), "trace": trace}
    try:
        os.write(said, json.dumps(outcome).encode() + b"\n")
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
