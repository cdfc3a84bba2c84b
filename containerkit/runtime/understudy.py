"""The understudy: a process that becomes a container's init, or one more process in it, made before there is a part.

A fork is the costliest piece of a start: the interpreter's page tables are copied, and afterwards both processes pay
for every page that they write to. So the fork comes first, by whoever waits for a request, and there are no pages left
to pay for when the part comes; and the init is a child that takes the understudy's memory over (linux/takeover.py).

::

    parent                                understudy                              init
      | fork ------------------------------->| rehearses
      |-- operations (clocks, a namespace) ->| executes them
      |<--------------------- done, refused -|
      |-- Clone, the part, descriptors ----->| clone3: a child of the parent's -->|
      |<-- done: the kernel says which pid it has --------------------------------|
      |-- SIGKILL -------------------------->x                                    | init.py

It holds no descriptor but the channel and what comes with the part. It ends with its parent. A parent that needs one
and has none makes it at that moment: the rest is the same.
"""

from __future__ import annotations

import array
import fcntl
import os
import pickle
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NoReturn

from containerkit.errors import ContainerkitError, InvalidArgument, RuntimeFailure
from containerkit.linux import process
from containerkit.runtime import init, messages
from containerkit.runtime.gate import Gate
from containerkit.runtime.operation import Context, Operation
from containerkit.values import frozen

_CHANNEL = 3
#: SCM_MAX_FD (unix(7)), of which one has the part itself.
_MOST = 252


@frozen
class Part:
    """What an understudy plays once it is the init.

    Args:
        operations: what it executes; the last one does not return.
        context: what they are executed with; all descriptors in it come along.
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
        named = (*self.streams, self.gate, context.listener, context.container, *context.prepared.values())
        return tuple(dict.fromkeys(one for one in (*named, *self.preserved()) if one >= 0))

    def preserved(self) -> range:
        """The program's own, above 2."""
        return range(3, 3 + self.context.preserve)

    def with_descriptors(self, given: dict[int, int], channel: int) -> Part:
        """The same, where the descriptors have other numbers."""
        numbers = {**given, -1: -1}
        context = replace(
            self.context, channel=channel, listener=numbers[self.context.listener],
            container=numbers[self.context.container],
            prepared={place: numbers[one] for place, one in self.context.prepared.items()},
            gate=None if self.gate < 0 else Gate(numbers[self.gate], peer=channel),
        )  # fmt: skip
        stdin, stdout, stderr = (numbers[one] for one in self.streams)
        return replace(self, context=context, streams=(stdin, stdout, stderr))


def ready(understudy: Understudy | None) -> Understudy:
    """The one that was made ahead, when there is one; else one that is made now."""
    if understudy is not None and understudy.is_there:
        return understudy
    if understudy is not None:
        understudy.dismiss()
    return Understudy()


class Understudy:
    """The parent's side. ``channel`` is the init's once :meth:`play` has returned.

    Args:
        rehearse: what it does before it waits.
    """

    def __init__(self, rehearse: Callable[[], None] = lambda: None) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.pid = os.fork()
            if self.pid == 0:
                _understudy(theirs.fileno(), rehearse)

    @property
    def is_there(self) -> bool:
        """Whether it waits for its part: False when it was killed."""
        return not process.readable(self.channel.fileno(), 0)

    def perform(self, *operations: Operation) -> None:
        """Have it execute operations that are about its children.

        Raises:
            OSError: the kernel refused one.
        """
        self._say(operations, None)
        self._answer()

    def play(self, part: Part, *operations: Operation) -> tuple[int, int]:
        """Have it execute operations, the last of which makes the init: its pid and a pidfd. The understudy is gone.

        Raises:
            OSError: the kernel refused one of them.
            RuntimeFailure: it was killed.
        """
        self.channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._say(operations, part)
        pid = self._answer()
        self.channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        self._end()
        try:
            return pid, os.pidfd_open(pid)  # our child, which nobody has waited for
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise

    def dismiss(self) -> None:
        """There is no part for it."""
        self.channel.close()
        self._end()

    def _end(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0

    def _say(self, operations: Sequence[Operation], part: Part | None) -> None:
        descriptors = () if part is None else part.descriptors()
        if len(descriptors) > _MOST:
            raise InvalidArgument(f"descriptors: {len(descriptors)} are too many for one process: {_MOST} at most")
        # A file in memory: arguments and environment may be longer than a message.
        script = os.memfd_create("containerkit-part", os.MFD_CLOEXEC)
        try:
            os.write(script, pickle.dumps((operations, part, descriptors), pickle.HIGHEST_PROTOCOL))
            rights = array.array("i", (script, *descriptors))
            self.channel.sendmsg([b"part"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        except BrokenPipeError:
            pass  # it was killed: the answer says so
        finally:
            os.close(script)

    def _answer(self) -> int:
        """The pid of who answers, where that was asked for."""
        message, pid = messages.receive_from(self.channel)
        if message is None:
            raise RuntimeFailure("the container's init was killed")
        if message["kind"] == "failed":
            raise messages.failure(message)
        if message["kind"] == "refused":
            raise OSError(message["errno"], message["text"], message["file"])
        return pid


def _understudy(channel: int, rehearse: Callable[[], None]) -> NoReturn:
    """The understudy's life."""
    try:
        os.dup2(channel, _CHANNEL, inheritable=False)
        process.close_from(_CHANNEL + 1)
        rehearse()
        # Before the wait: a parent that has ended meanwhile is an end of file.
        process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
        while True:
            _act(*_hear())
    except BaseException as error:
        messages.send(_CHANNEL, "failed", text=f"init: {type(error).__name__}: {error}", exit_code=125, errno=0)
    finally:
        os._exit(125)


def _hear() -> tuple[tuple[Operation, ...], Part | None]:
    """What is to be done; does not return when the parent has gone."""
    script, *received = messages.receive_descriptors(_CHANNEL, _MOST + 1) or (-1,)
    if script < 0:
        os._exit(0)
    operations, part, numbers = pickle.loads(os.pread(script, os.fstat(script).st_size, 0))
    os.close(script)
    if part is None:
        return operations, None
    given, channel = dict(zip(numbers, received, strict=True)), _CHANNEL
    if part.context.preserve:
        try:
            channel = _make_room(part.preserved(), given)
        except OSError:
            os._exit(125)  # what is at the channel's number now may be the program's own
    return operations, part.with_descriptors(given, channel)


def _make_room(preserved: range, given: dict[int, int]) -> int:
    """Have the program's own descriptors at their numbers, and the others above; the channel's new number."""
    above = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, preserved.stop) for one in (_CHANNEL, *given.values())]
    for one in (_CHANNEL, *given.values()):
        os.close(one)
    channel, *others = above
    given.update(zip(given, others, strict=True))
    for number in preserved:
        os.dup2(given[number], number, inheritable=False)
    return channel


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
        os._exit(125)  # the channel is no longer where it was: nobody has more to say
