"""Who answers the calls of an operation's processes: lets them happen, counts them, and strikes at one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from containerkit.linux.process import readable
from tests.faults import listening
from tests.faults.faults import Fault, Kind, can_hit, error_of, subject

_LIMIT = 40.0


class Watch:
    """A thread that answers until no process with the filter is left.

    ``counts``: of each kind, how many calls it could hit; ``at``: the call that was hit.

    Args:
        listener: closed with this.
        fault: None: calls are only counted.
        worker: what is below this process belongs to the operation.
    """

    def __init__(self, listener: int, fault: Fault | None, place: Path, worker: int) -> None:
        self._listener, self._fault, self._place, self._worker = listener, fault, place, worker
        self.counts, self.at = dict.fromkeys(Kind, 0), ""
        self._is_over = False
        self._victim = -1
        self.all_are_gone = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def over(self) -> None:
        """The operation has ended: what its processes do now goes well. Whoever was to be killed has ended."""
        self._is_over = True
        if self._victim >= 0:  # somebody may have heard of its end before all of its files were closed
            readable(self._victim, _LIMIT)
        if self.at and self._fault is not None and self._fault.kind is Kind.KILL_ALL:
            self.all_are_gone.wait(_LIMIT)

    def close(self) -> None:
        """Wait for the end of all of them."""
        self._thread.join(_LIMIT)
        left = self._thread.is_alive() and descendants(self._worker)
        kill(left or ())
        self._thread.join()
        for descriptor in (self._listener, self._victim):
            if descriptor >= 0:
                os.close(descriptor)
        assert not left, f"still there: {left}"

    def _run(self) -> None:
        while True:
            try:
                call = listening.receive(self._listener, 1)
            except EOFError:
                return
            if call is not None:
                self._decide(call)

    def _decide(self, call: listening.Call) -> None:
        hit = None if self._is_over else self._hit(call)
        if hit is Kind.KILL:
            self._victim = os.pidfd_open(_process(call.thread))
            kill([call.thread])
        elif hit is Kind.KILL_ALL:
            while found := descendants(self._worker):
                kill(found)
                time.sleep(0.001)
            self.all_are_gone.set()
        else:
            listening.answer(self._listener, call, 0 if hit is None else error_of(hit))

    def _hit(self, call: listening.Call) -> Kind | None:
        """What this call gets; each kind that could be it has one more."""
        for kind in Kind if self._fault is None else (self._fault.kind,):
            self.counts[kind] += can_hit(kind, call, self._place)
        if self._fault is None or not can_hit(self._fault.kind, call, self._place):
            return None
        kind, number, count = self._fault.kind, self._fault.number, self.counts[self._fault.kind]
        if count == number:
            self.at = _shown(call)
        # A disk that is full stays full.
        return kind if count == number or (kind is Kind.NO_SPACE and count > number) else None


def _process(thread: int) -> int:
    """Whose thread it is."""
    (line,) = (line for line in Path(f"/proc/{thread}/status").read_text().splitlines() if line.startswith("Tgid:"))
    return int(line.split()[1])


def _shown(call: listening.Call) -> str:
    try:
        who = Path(f"/proc/{call.thread}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return f"{call.name} {subject(call)} by {who[-40:]}"
    except OSError:
        return call.name


def kill(pids: Iterable[int]) -> None:
    """SIGKILL to each that is there."""
    for pid in pids:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass


def descendants(pid: int) -> list[int]:
    """The processes below one, those that have ended left out."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            # The first thread of a process may have ended before the others.
            if fields[0] not in "ZX" or int(fields[17]) > 1:
                parents.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    pending = [pid]
    while pending:
        children = parents.get(pending.pop(), [])
        pending += children
        found += children
    return found
