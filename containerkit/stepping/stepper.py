"""The stepper: it holds the gates of a start, and gives the word to each operation in turn."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from containerkit.container import Container
from containerkit.errors import InvalidArgument, InvalidState, NotFound, RuntimeFailure, Timeout
from containerkit.options import Duration, Settings, duration
from containerkit.results import Plan, Step
from containerkit.running import starting
from containerkit.runtime import gate as gates
from containerkit.runtime.gate import GO
from containerkit.stepping.values import Stepped, World
from containerkit.stepping.worlds import Viewer
from containerkit.supervise import configjson
from containerkit.supervise.networks import membership
from containerkit.views import steps as drawing

if TYPE_CHECKING:
    from containerkit.engine import Engine
    from containerkit.image import Image

#: What the monitor does while the init waits; in the order and the words of supervise/monitor.py.
_CONNECT = Step(
    0, "host", "ConnectNetworks", "netlink: a cable from each network into the namespace, addresses, routes",
    calls=("setns", "sendto"),
)  # fmt: skip
_WRITE_DOWN = Step(0, "host", "WriteDown", "write down pid and state: the container is running", calls=("pwrite64",))
_PUBLISH = Step(
    0, "host", "PublishPorts", "nftables: what comes to its published ports is let through", calls=("sendto",)
)  # fmt: skip
#: The parent does its part of these before it goes on.
_MEETINGS = ("Clone", "ShowNetwork", "AwaitHooks")
#: Seconds that a start has to end by itself when it is given up.
_PATIENCE = 5.0
_CREDENTIALS = struct.Struct("3i")


class Stepper:
    """A start that waits before each of its operations. Made by ``ck.step()``.

    ``next()`` executes one, ``run()`` the rest; iterating, too, gives what each has changed. What is half made ends
    when this is closed, collected, or its process is gone, and nothing is left of it. A context manager: at the end the
    container is removed, started or not.

    ``plan``: all operations, in their order; ``container``: what is being started; ``done``: what has been executed;
    ``world``: how things are now.
    """

    def __init__(self, engine: Engine, image: Image, chosen: Settings, options: Mapping[str, Any]) -> None:
        self._engine = engine
        self.done: list[Stepped] = []
        self._pid: int | None = None
        self._view: dict[str, Any] = {}
        self._is_started = False
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
        self._gates = [ours for ours, _ in pairs]
        # The kernel says who speaks: the init does not know what its pid is here.
        self._gates[1].setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._hang_up = weakref.finalize(self, _close, self._gates)
        try:
            gates = [theirs.fileno() for _, theirs in pairs]
            self._running = starting.walk(engine, image, chosen, options, gates)
        except BaseException:
            self._hang_up()
            raise
        finally:
            for _, theirs in pairs:
                theirs.close()
        record = self._running.record
        self.container = Container(engine, record.id, record.name)
        try:
            works = (_CONNECT, _WRITE_DOWN, _PUBLISH) if self._running.networked else (_WRITE_DOWN,)
            self._works = tuple(work.operation for work in works)
            self.plan = Plan(tuple(_order(self.container.explain(), works)))
            spec = configjson.read(engine.store, record.id)
            rootfs = os.path.join(configjson.directory(engine.store, record.id), spec.root.path)
            self._viewer = Viewer(engine.store, record.id, spec, rootfs)
            self._hear(0, None)
            self.world = self._look()
        except BaseException:
            self.close()
            raise

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to execute: the program runs, the start has failed, or it was given up."""
        return not self._hang_up.alive

    def next(self, timeout: Duration | None = None) -> Stepped:
        """Execute the next operation; what it was and what it has changed.

        Args:
            timeout: for the operation; then the start is given up.

        Raises:
            InvalidState: there is none left.
            RuntimeFailure: it failed; nothing is left of the container.
            Timeout: time was up; nothing is left of the container.
        """
        if self.is_over:
            raise InvalidState(f"container {self.container._last_name}: no step is left: {self._why()}")
        try:
            return self._execute(None if timeout is None else time.monotonic() + duration(timeout, "timeout"))
        except BaseException:
            self.close()
            raise

    def run(self, until: str | int | None = None, timeout: Duration | None = None) -> Container:
        """Execute the rest, and give the container.

        Args:
            until: the name of an operation, or its number: the last one to be executed.
            timeout: for all of them together.

        Raises:
            InvalidArgument: there is no such operation ahead.
            RuntimeFailure, Timeout: as for :meth:`next`.
        """
        ahead = self.plan.steps[len(self.done) :] if not self.is_over else ()
        last = next((step.number for step in ahead if until in (step.operation, step.number)), None)
        if until is not None and last is None:
            raise InvalidArgument(f"operation {until!r}: none ahead of that name or number")
        ends = None if timeout is None else time.monotonic() + duration(timeout, "timeout")
        while not self.is_over and (last is None or len(self.done) < last):
            self.next(None if ends is None else max(ends - time.monotonic(), 0))
        return self.container

    def close(self) -> None:
        """Give up what is half made: it ends, and nothing is left. A container that has been started stays."""
        if self.is_over:
            return
        self._hang_up()
        with contextlib.suppress(RuntimeFailure):
            self._running.wait_started(self._engine.store, _PATIENCE)
        self._remove()

    def panel(self) -> Any:
        """A widget: the plan, the last step, and buttons for the next one and for the rest (ipywidgets)."""
        from containerkit.notebook.stepperpanel import StepperPanel

        return StepperPanel(self)

    def __iter__(self) -> Iterator[Stepped]:
        while not self.is_over:
            yield self.next()

    def __len__(self) -> int:
        return len(self.plan)

    def __enter__(self) -> Stepper:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
        if self._is_started:
            self.container.__exit__(*exception)

    def __repr__(self) -> str:
        return f"Stepper({self.container._last_name!r}, {len(self.done)} of {len(self.plan)}: {self._why()})"

    def _repr_html_(self) -> str:
        steps = (*(one.step for one in self.done), *self.plan.steps[len(self.done) :])
        return drawing.plan(f"start of {self.container._last_name}: {self._why()}", Plan(steps).drawn(), len(self.done))

    def _why(self) -> str:
        if self._is_started:
            return "started"
        return "given up" if self.is_over else f"next is {self.plan.steps[len(self.done)].operation}"

    # -- walking -----------------------------------------------------------------------------------------------------

    def _execute(self, ends: float | None) -> Stepped:
        step = self.plan.steps[len(self.done)]
        is_last = len(self.done) + 1 == len(self.plan)
        gate = int(step.where == "container")
        if step.operation == self._works[0]:
            self._hear(0, ends)  # the monitor has been here and there before it begins with these
        with contextlib.suppress(BrokenPipeError):
            self._gates[gate].send(GO)
        cost = self._hear(gate, ends, may_end=is_last)
        if step.operation == "Clone":
            self._hear(1, ends)
        if is_last:
            self._conclude()
        before, self.world = self.world, self._look()
        self.done.append(Stepped(replace(step, nanoseconds=cost), before, self.world))
        return self.done[-1]

    def _hear(self, gate: int, ends: float | None, *, may_end: bool = False) -> int | None:
        """Wait for who executes to arrive at its next operation; what the last one cost, in nanoseconds."""
        channel = self._gates[gate]
        poll = select.poll()
        poll.register(channel, select.POLLIN)
        if not poll.poll(None if ends is None else max(0.0, ends - time.monotonic()) * 1000):
            name = self.plan.steps[len(self.done)].operation
            raise Timeout(f"container {self.container._last_name}: operation {name}: time is up")
        data, ancillary = _received(channel)
        if not data:
            if may_end:
                return None
            self._fail()
        cost, view = gates.read(data)
        if gate == 1:
            self._view = view
            self._pid = next((_CREDENTIALS.unpack(words[: _CREDENTIALS.size])[0] for _, _, words in ancillary), None)
        return cost

    def _fail(self) -> None:
        """Say why the start has failed."""
        self._hang_up()
        try:
            self._running.wait_started(self._engine.store)
        finally:
            self._remove()
        raise RuntimeFailure(f"container {self.container._last_name}: its init was killed while it was started")

    def _remove(self) -> None:
        """What its monitor has not removed: that was killed, or took the end of a killed init for the program's."""
        self._running.channel.close()
        with contextlib.suppress(NotFound):
            self.container.remove(force=True, volumes=True)

    def _conclude(self) -> None:
        """The init has become the program, or could not."""
        self._hang_up()
        try:
            self._running.wait_started(self._engine.store)
        except BaseException:
            self._remove()
            raise
        self._running.channel.close()
        membership.tell_linked(self._engine.store, self._running.record)
        self._is_started = True

    def _look(self) -> World:
        return self._viewer.look(self._pid, self._view)


def _received(channel: socket.socket) -> tuple[bytes, list[Any]]:
    """The next message, and who sent it; empty at the end."""
    try:
        data, ancillary, _, _ = channel.recvmsg(8192, socket.CMSG_SPACE(_CREDENTIALS.size))
    except ConnectionResetError:
        return b"", []  # it ended with a word unread
    return data, ancillary


def _close(gates: list[socket.socket]) -> None:
    for gate in gates:
        gate.close()


def _order(plan: Plan, works: tuple[Step, ...]) -> Iterator[Step]:
    """The operations with what the monitor does between them, numbered anew."""
    met = max(place for place, step in enumerate(plan, 1) if step.operation in _MEETINGS)
    steps = (*plan.steps[:met], *works, *plan.steps[met:])
    for number, step in enumerate(steps, 1):
        yield replace(step, number=number, nanoseconds=None)
