"""The understudy: a process that becomes a container's init, or one more process in it, made before there is a part.

A fork is the costliest piece of a start: the interpreter's page tables are copied, and afterwards both processes pay
for every page that they write to. So the fork comes first, by whoever waits for a request, and there are no pages left
to pay for when the part comes; and the init is a child that takes the understudy's memory over (linux/takeover.py)
until it executes the program. Then the understudy can play another part.

::

    parent                                understudy                              init
      | fork ------------------------------->| rehearses
      |-- operations (clocks, a namespace) ->| executes them
      |<--------------------- done, refused -|
      |-- Clone, the part, descriptors ----->| clone3: a child of the parent's -->|
      |<-- done, on a channel that came with the part: the kernel says which pid --|
      |                                      | stands still                       | init.py
      |<------------------------------- back |<---------------------------- execve(2)

It holds no descriptor but the channel, and those of the part until it is back. It ends with its parent, and with an
init that executes nothing; and it is ended as soon as the init is there, where it could play no other part
(``Operation.binds``). Who needs one and has none makes it at that moment: the rest is the same. Who gives it parts need
not be its parent (supervise/relief.py): the parent says then how its children end.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import NoReturn

from containerkit.errors import ContainerkitError, InvalidArgument, RuntimeFailure
from containerkit.linux import namespaces as ns
from containerkit.linux import passing, process
from containerkit.linux.takeover import Executed
from containerkit.runtime import init, messages
from containerkit.runtime.gate import Gate
from containerkit.runtime.operation import Context, Operation
from containerkit.values import frozen

_CHANNEL = 3


@frozen
class Part:
    """What an understudy plays once it is the init.

    Args:
        operations: what it executes; the last one does not return.
        context: what they are executed with; all descriptors in it come along, the init's channel among them.
        streams: what becomes its standard input, output and error.
        gate: where it waits before each operation, or -1.
    """

    operations: tuple[Operation, ...]
    context: Context
    streams: tuple[int, int, int]
    gate: int = -1

    def descriptors(self) -> tuple[int, ...]:
        """Those that it needs; of the preserved ones the program gets copies with the same numbers."""
        context = self.context
        named = (
            *self.streams, self.gate, context.channel, context.listener, context.container, *context.prepared.values(),
        )  # fmt: skip
        return tuple(dict.fromkeys(one for one in (*named, *self.preserved()) if one >= 0))

    def preserved(self) -> range:
        """The program's own, above 2."""
        return range(3, 3 + self.context.preserve)

    def with_descriptors(self, given: dict[int, int]) -> Part:
        """The same, where the descriptors have other numbers."""
        numbers = {**given, -1: -1}
        channel = numbers[self.context.channel]
        context = replace(
            self.context, channel=channel, listener=numbers[self.context.listener],
            container=numbers[self.context.container],
            prepared={place: numbers[one] for place, one in self.context.prepared.items()},
            gate=None if self.gate < 0 else Gate(numbers[self.gate], peer=channel),
        )  # fmt: skip
        stdin, stdout, stderr = (numbers[one] for one in self.streams)
        return replace(self, context=context, streams=(stdin, stdout, stderr))


@contextmanager
def ready(understudy: Understudy | None) -> Iterator[Understudy]:
    """The one that was made ahead, when there is one; else one that is made now, for this block."""
    if understudy is None or not understudy.is_there():
        understudy, is_own = Understudy.fork(), True
    else:
        is_own = False
    try:
        yield understudy
    except BaseException:
        is_own = True  # who knows what it has gone through
        raise
    finally:
        if is_own:
            understudy.dismiss()


class Understudy:
    """The side of whoever has parts to give.

    Args:
        pid: of the understudy, whose parent is this process or another one.
        channel: to it.
        reap: waits for a child of that parent, and gives its wait status.
    """

    def __init__(self, pid: int, channel: socket.socket, reap: Callable[[int], int] = process.reap) -> None:
        self.pid, self.channel, self.reap = pid, channel, reap
        self._plays = self._is_bound = False

    @classmethod
    def fork(cls, rehearse: Callable[[], None] = lambda: None) -> Understudy:
        """A child of this process.

        Args:
            rehearse: what it does before it waits.

        Raises:
            OSError: no process or descriptor can be had.
        """
        channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                pid = os.fork()
            except OSError:
                channel.close()
                raise
            if pid == 0:
                _understudy(theirs.fileno(), rehearse)
        return cls(pid, channel)

    def is_there(self) -> bool:
        """Whether it waits for a part: False when it has ended. Comes back when the init that it made has become the
        program, or ended.
        """
        if not self.pid:
            return False
        if self._plays:
            self._plays = False
            message, _ = messages.receive(self.channel)
            return message is not None and message["kind"] == "back"
        return not process.readable(self.channel.fileno(), 0)

    def perform(self, *operations: Operation) -> None:
        """Have it execute operations that are about its children.

        Raises:
            OSError: the kernel refused one.
        """
        self._is_bound = self._is_bound or any(one.binds() for one in operations)
        self._say(operations, None)
        _answer(self.channel)

    def play(self, part: Part, *operations: Operation) -> tuple[int, int, socket.socket]:
        """Have it execute operations, the last of which makes the init: its pid, a pidfd, and our end of its channel.

        Raises:
            OSError: the kernel refused one of them.
            RuntimeFailure: it was killed.
        """
        channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._plays = True
        try:
            with theirs:
                channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
                self._say(operations, replace(part, context=replace(part.context, channel=theirs.fileno())))
            pid = _answer(channel)
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
            if self._is_bound or part.context.preserve or any(one.binds() for one in (*operations, *part.operations)):
                self.dismiss()
            try:
                return pid, os.pidfd_open(pid), channel  # nobody has waited for it
            except OSError:
                os.kill(pid, signal.SIGKILL)
                self.reap(pid)
                raise
        except BaseException:
            channel.close()
            raise

    def dismiss(self) -> None:
        """End it, whether it waits or stands still; an init that it has made goes on."""
        self.channel.close()
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.reap(self.pid)
            self.pid = 0

    def _say(self, operations: Sequence[Operation], part: Part | None) -> None:
        descriptors = () if part is None else part.descriptors()
        if len(descriptors) > passing.MOST:
            raise InvalidArgument(
                f"descriptors: {len(descriptors)} are too many for one process: {passing.MOST} at most"
            )
        script = pickle.dumps((operations, part, descriptors), pickle.HIGHEST_PROTOCOL)
        with suppress(BrokenPipeError):  # it was killed: the answer says so
            passing.send_script(self.channel, b"part", script, descriptors)


def _answer(channel: socket.socket) -> int:
    """The pid of who answers, where that was asked for."""
    message, pid = messages.receive_from(channel)
    if message is None:
        raise RuntimeFailure("the container's init was killed")
    if message["kind"] == "failed":
        raise messages.failure(message)
    if message["kind"] == "refused":
        raise OSError(message["errno"], message["text"], message["file"])
    return pid


def _understudy(channel: int, rehearse: Callable[[], None]) -> NoReturn:
    """The understudy's life."""
    speaks = _CHANNEL
    try:
        os.dup2(channel, _CHANNEL, inheritable=False)
        process.close_from(_CHANNEL + 1)
        rehearse()
        # Before the wait: with a parent that has ended meanwhile, who gives parts ends, too, which is an end of file.
        process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
        while True:
            operations, part = _hear()
            speaks = _CHANNEL if part is None else part.context.channel
            try:
                _act(operations, part)
            except Executed:
                if part is not None and part.context.preserve:
                    os._exit(0)  # what is at our channel's number is the program's
                process.close_from(_CHANNEL + 1)
                _go_home()
                speaks = _CHANNEL
                messages.send(_CHANNEL, "back")
    except BaseException as error:
        messages.send(speaks, "failed", text=f"init: {type(error).__name__}: {error}", exit_code=125, errno=0)
    finally:
        os._exit(125)


def _go_home() -> None:
    """To exec a program in a container is to have children in its pid namespace: from here on in ours again."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    ns.setns(own, ns.CLONE_NEWPID)
    os.close(own)


def _hear() -> tuple[tuple[Operation, ...], Part | None]:
    """What is to be done; does not return when the parent has gone."""
    with socket.socket(fileno=os.dup(_CHANNEL)) as channel:
        word, received = passing.receive(channel)
    if not word:
        os._exit(0)
    operations, part, numbers = pickle.loads(passing.read(received.pop(0)))
    if part is None:
        return operations, None
    given = dict(zip(numbers, received, strict=True))
    if part.context.preserve:
        try:
            _make_room(part.preserved(), given)
        except OSError:
            os._exit(125)  # what is at the channel's number now may be the program's own
    return operations, part.with_descriptors(given)


def _make_room(preserved: range, given: dict[int, int]) -> None:
    """Have the program's own descriptors at their numbers, the others above, and no channel to the parent any more."""
    above = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, preserved.stop) for one in given.values()]
    for one in (_CHANNEL, *given.values()):
        os.close(one)
    given.update(zip(given, above, strict=True))
    for number in preserved:
        os.dup2(given[number], number, inheritable=False)


def _act(operations: tuple[Operation, ...], part: Part | None) -> None:
    """Execute operations, and say so; with a part, who says so is the init, and does not return."""
    context, channel = (Context(), _CHANNEL) if part is None else (part.context, part.context.channel)
    try:
        for operation in operations:
            operation.execute(context)
    except OSError as error:
        file = error.filename if isinstance(error.filename, str) else None
        messages.send(channel, "refused", errno=error.errno or 0, text=error.strerror or str(error), file=file)
    except ContainerkitError as error:
        messages.send(channel, "failed", text=error.message, exit_code=125, errno=error.errno)
    else:
        messages.send(channel, "done")
        if part is not None:
            init.run(part.operations, part.context, part.streams)
    if part is not None:
        os._exit(125)  # it has failed
