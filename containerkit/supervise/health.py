"""Health checks: a command that is run in the container again and again, and what its exit codes add up to.

A probe is an exec like any other, but its helper is the monitor's own fork: the monitor reads what the command writes,
and ends it when its time is up. ``starting`` until the first success or enough failures, then ``healthy`` or
``unhealthy``. While the container is paused nothing is asked.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from containerkit.errors import reason
from containerkit.linux import process
from containerkit.linux.loop import Loop, Timer
from containerkit.supervise import helper
from containerkit.supervise.messages import Enter, Exited, Failed, Probe, receive_reply
from containerkit.values import frozen

#: How many probes are remembered, and how many bytes of what each wrote.
_REMEMBERED, _OUTPUT = 5, 4096


class Outcome(NamedTuple):
    """One probe. Times in epoch seconds."""

    start: float
    end: float
    exit_code: int
    output: str


@frozen
class Health:
    """What the probes so far add up to; ``streak`` failures in a row."""

    status: str = "starting"
    streak: int = 0
    log: tuple[Outcome, ...] = ()

    def after(self, outcome: Outcome, probe: Probe, age: float) -> Health:
        """With one more outcome, ``age`` seconds after the container's start."""
        log = (*self.log, outcome)[-_REMEMBERED:]
        if outcome.exit_code == 0:
            return Health("healthy", 0, log)
        if self.status == "starting" and age < probe.start_period:
            return replace(self, log=log)
        streak = self.streak + 1
        return Health("unhealthy" if streak >= probe.retries else self.status, streak, log)

    def dumps(self) -> str:
        """As it is written down."""
        return json.dumps({"status": self.status, "streak": self.streak, "log": [one._asdict() for one in self.log]})

    @classmethod
    def loads(cls, text: str) -> Health | None:
        """What :meth:`dumps` gave; None for nothing."""
        if not text:
            return None
        members: dict[str, Any] = json.loads(text)
        return cls(members["status"], members["streak"], tuple(Outcome(**one) for one in members["log"]))


@frozen
class Probing:
    """How a run's health is looked at, and what is known of it.

    Args:
        request: how to get in: what is run is the probe's.
        began: when the run did; ``due``: the next probe. Moments of the monotonic clock.
    """

    probe: Probe
    request: Enter
    began: float
    due: float
    health: Health

    @classmethod
    def begin(cls, probe: Probe, request: Enter) -> Probing:
        """Of a run that begins now.

        Args:
            request: any that gets in.
        """
        wanted = replace(request, process=replace(request.process, args=probe.args, terminal=False))
        now = time.monotonic()
        return cls(probe, wanted, now, now, Health()).following()

    def following(self) -> Probing:
        """With the moment of the probe after one that has ended now."""
        now = time.monotonic()
        young = self.health.status == "starting" and now - self.began < self.probe.start_period
        return replace(self, due=now + (self.probe.start_interval if young else self.probe.interval))


class Prober:
    """Probes one run of a container.

    Args:
        is_paused: whether to leave it out this time.
        report: told the health after each probe, and whether its status is another than before.
    """

    def __init__(
        self, loop: Loop, probing: Probing, is_paused: Callable[[], bool], report: Callable[[Health, bool], None]
    ) -> None:
        self._loop, self._probing, self._is_paused, self._report = loop, probing, is_paused, report
        self._running: _Running | None = None
        self._timer = self._schedule()

    def _schedule(self) -> Timer:
        return self._loop.after(self._probing.due - time.monotonic(), self._ask)

    def _ask(self) -> None:
        if self._is_paused():
            self._go_on()
            return
        began = time.time()
        try:
            probing = self._probing
            self._running = _Running(self._loop, probing.request, probing.probe.timeout, self._answer)
        except OSError as error:
            # No descriptors, processes or memory left: that is no reason for the container to end.
            text = f"the health check could not be started: {reason(error)}"
            self._answer(Outcome(began, time.time(), -1, text))

    def _answer(self, outcome: Outcome) -> None:
        self._running = None
        probing = self._probing
        health = probing.health.after(outcome, probing.probe, time.monotonic() - probing.began)
        self._report(health, health.status != probing.health.status)
        self._probing = replace(probing, health=health)
        self._go_on()

    def _go_on(self) -> None:
        self._probing = self._probing.following()
        self._timer = self._schedule()

    def portable(self) -> Probing | None:
        """For another process to go on with; None while a probe runs."""
        return None if self._running is not None else self._probing

    def stop(self) -> None:
        """Ask no more, and end what is being asked."""
        self._timer.cancel()
        if self._running is not None:
            self._running.abandon()
            self._running = None


class _Running:
    """One probe while it runs."""

    def __init__(self, loop: Loop, request: Enter, timeout: float, answer: Callable[[Outcome], None]) -> None:
        self._loop, self._answer = loop, answer
        self._began, self._text, self._code = time.time(), b"", 1
        self._is_late = False
        with contextlib.ExitStack() as undo:
            self._start(request, undo)
            undo.pop_all()
        self._timer = loop.after(timeout, lambda: self._end_late(timeout))
        loop.add(self._channel.fileno(), self._hear)
        loop.add(self._output, self._read)
        loop.add(self._pidfd, self._ended)

    def _start(self, request: Enter, undo: contextlib.ExitStack) -> None:
        """Fork the helper; ``undo`` what was done when something of it fails."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for one in (theirs, self._channel):
            undo.callback(one.close)
        self._output, writer = os.pipe()
        undo.callback(os.close, self._output)
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _become_helper(request, theirs.fileno(), writer)
        finally:
            theirs.close()
            os.close(writer)
        undo.callback(_kill, self._pid)
        os.set_blocking(self._output, False)
        self._pidfd = os.pidfd_open(self._pid)

    def _hear(self, _: int = 0) -> bool:
        """Take one word of the helper's; False when there will be none."""
        word, _descriptors = receive_reply(self._channel)
        if isinstance(word, Exited):
            self._code = word.exit_code
        elif isinstance(word, Failed):
            self._code, self._text = word.exit_code, word.text.encode()
        elif word is None:
            self._loop.remove(self._channel.fileno())
        return word is not None

    def _read(self, _: int = 0) -> None:
        try:
            data = os.read(self._output, 65536)
        except BlockingIOError:
            return
        self._text += data[: max(0, _OUTPUT - len(self._text))]
        if not data:
            self._loop.remove(self._output)

    def _end_late(self, timeout: float) -> None:
        self._is_late = True
        self._code, self._text = -1, f"the health check took longer than {timeout:g} s".encode()
        self._loop.remove(self._channel.fileno())
        self._loop.remove(self._output)
        self._channel.close()  # the helper ends what it started, and then itself

    def _ended(self, _: int) -> None:
        if not self._is_late:
            while self._hear():
                pass
            self._read()
        self._close()
        self._answer(Outcome(self._began, time.time(), self._code, self._text.decode(errors="replace")))

    def _close(self) -> None:
        self._timer.cancel()
        for descriptor in (self._pidfd, self._output):
            self._loop.remove(descriptor)
            os.close(descriptor)
        if not self._is_late:
            self._loop.remove(self._channel.fileno())
            self._channel.close()
        os.waitpid(self._pid, 0)

    def abandon(self) -> None:
        """End it; nobody wants the answer."""
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self._close()


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _become_helper(request: Enter, channel: int, output: int) -> None:
    """In the forked child: nothing of the monitor's is kept but these two."""
    code = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        # Above all three first: none of them is written over.
        above = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in (channel, output, null)]
        descriptors = [os.dup2(one, number) for number, one in enumerate(above, 3)]
        process.close_from(6)
        reply = socket.socket(fileno=descriptors[0])
        helper.run(request, reply, [descriptors[2], descriptors[1], os.dup(descriptors[1])])
        code = 0
    finally:
        os._exit(code)
