"""A relief: the process that a spare was forked from, which takes over what goes on for long.

To start a container is to write to nearly half of an interpreter's pages, if only to count references; as long as the
container runs that memory would be held. So the spawner forks the relief, and that, having done nothing as yet, forks
the spare. What lives on for longer than a start the spare hands over, and ends. Until then the relief does nothing but
be a parent: it forks the spare's understudy, so that every init is its own child from the beginning, and says how these
end::

    spawner ──fork── relief ──fork── spare
                       |<────────── understudy ──────────|   (one is forked)
                       |─────── its pid and channel ────>|
                       |                                 | has it become a container's init
                       |<─────────── reap ───────────────|   (the container has ended soon)
                       |──────── its wait status ───────>|
                       |        or, after a moment:      |
                       |<── duty: what it knows, with ───|
                       |    the descriptors              |
                       |─────────── taken ──────────────>|   or "refused": the spare goes on
                     watches to its end                ends

The row has the relief's pid from the beginning, unless the spare had to make an understudy itself. Each of them ends
when the other is killed before that; and a spare that comes back keeps its relief. One that becomes a worker for long
ends with the spawner, as its relief does from then on ("tie"). Where a spare goes into a user namespace to start a
container, the relief goes first ("enter"), on to where its networks are, and forks the understudy there: whoever looks
for that place finds it with the monitor that the row tells of.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pickle
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from containerkit.linux import confinement, passing, process
from containerkit.linux import namespaces as ns
from containerkit.runtime.understudy import Understudy

_UNDERSTUDY, _REAP, _TITLE, _TIE, _ENTER, _DUTY = b"understudy", b"reap ", b"title ", b"tie", b"enter", b"duty"
_TAKEN, _REFUSED = b"taken", b"refused "  # and an errno
_LONGEST_TITLE = 200


class Descriptor(int):
    """One that goes along to another process, where its number may be another one; -1 is none."""


class Relief:
    """The spare's side; made in the spare.

    Args:
        channel: to the relief.
        pid: the relief's.
    """

    def __init__(self, channel: socket.socket, pid: int) -> None:
        self._channel, self._title = channel, "containerkit-spawner"
        self.pid, self.started = pid, process.start_time(pid)

    def end_with(self) -> None:
        """End when the relief does."""
        process.end_with(self.pid)

    def set_title(self, title: str) -> None:
        """What ``ps`` shows of both, in a moment: who looks for a container's parent finds its monitor."""
        if title == self._title:
            return
        self._title = title
        process.set_title(title)
        with contextlib.suppress(OSError):
            passing.send(self._channel, _TITLE + title.encode()[:_LONGEST_TITLE])

    def understudy(self) -> Understudy:
        """One that is a child of the relief, as its inits will be.

        Raises:
            OSError: no process or descriptor can be had.
        """
        pid, (channel,) = self._ask(_UNDERSTUDY)
        return Understudy(int(pid), socket.socket(fileno=channel), self.reap)

    def enter(self, user_namespace: int, network: int | None) -> None:
        """Have the relief be root there (linux/confinement.py), and then, where one is given, in a network namespace.

        Raises:
            OSError: it may not.
        """
        self._ask(_ENTER, (user_namespace,) if network is None else (user_namespace, network))

    def reap(self, pid: int) -> int:
        """The wait status of a child of the relief, when it has ended."""
        return int(self._ask(_REAP + b"%d" % pid)[0])

    def end_with_spawner(self) -> None:
        """From now on the relief ends when the spawner does, and with it the spare."""
        self._ask(_TIE)

    def hand_over(self, duty: object) -> None:
        """Hand something over, with all sockets and :class:`Descriptor` in it, and end: does not return then.

        It returns when that cannot be: there are too many descriptors, or no room, here or there.
        """
        script, descriptors = _dumps(duty)
        if len(descriptors) > passing.MOST:
            return
        with contextlib.suppress(OSError):
            passing.send_script(self._channel, _DUTY, script, descriptors)
            self._answer()
            os._exit(0)

    def _ask(self, word: bytes, descriptors: Sequence[int] = ()) -> tuple[bytes, list[int]]:
        passing.send(self._channel, word, descriptors)
        return self._answer()

    def _answer(self) -> tuple[bytes, list[int]]:
        word, descriptors = passing.receive(self._channel)
        if not word:
            raise OSError(errno.ESRCH, "its relief was killed")
        if word.startswith(_REFUSED):
            number = int(word.removeprefix(_REFUSED))
            raise OSError(number, os.strerror(number))
        return word, descriptors


def live(
    become: Callable[[Relief], NoReturn], take_over: Callable[[Any], Callable[[], None]], rehearse: Callable[[], None]
) -> NoReturn:
    """The relief's life, in a child of the spawner.

    Args:
        become: what its child becomes, the spare.
        take_over: prepares to go on with what that has handed over; what it returns goes on to the end.
        rehearse: what an understudy does before it waits.

    Raises:
        OSError: no process or descriptor can be had.
    """
    spawner, me = os.getppid(), os.getpid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    spare = os.fork()
    if spare == 0:
        ours.close()
        become(Relief(theirs, me))
    theirs.close()
    channel = socket.socket(fileno=os.dup2(ours.detach(), 3, inheritable=False))
    process.close_from(4)
    code = 1
    try:
        go_on = _Parent(spawner, spare, channel, take_over, rehearse).stand_by()
        os.waitpid(spare, 0)
        channel.close()
        if go_on is not None:
            go_on()
        code = 0
    finally:
        os._exit(code)


class _Parent:
    """The relief until it has a duty."""

    def __init__(
        self, spawner: int, spare: int, channel: socket.socket, take_over: Callable[[Any], Callable[[], None]],
        rehearse: Callable[[], None],
    ) -> None:  # fmt: skip
        self._spawner, self._channel, self._take_over, self._rehearse = spawner, channel, take_over, rehearse
        self._spare = os.pidfd_open(spare)

    def stand_by(self) -> Callable[[], None] | None:
        """Do what the spare asks for; how to go on with its duty, or None when it has ended by itself."""
        go_on = None
        while go_on is None:
            # Not the channel alone: what the spare has forked may have the other end, too.
            process.wait_for_any(self._channel.fileno(), self._spare)
            if not process.readable(self._channel.fileno(), 0):
                break
            try:
                word, descriptors = passing.receive(self._channel)
            except OSError as error:
                self._refuse(error.errno)  # more came with it than may be had here
                continue
            if not word:
                break
            if word == _UNDERSTUDY:
                self._fork()
            elif word.startswith(_TITLE):
                process.set_title(word.removeprefix(_TITLE).decode(errors="replace"))
            elif word.startswith(_REAP):
                passing.send(self._channel, b"%d" % process.reap(int(word.removeprefix(_REAP))))
            elif word == _ENTER:
                self._enter(*descriptors)
            elif word == _TIE:
                process.end_with(self._spawner)
                passing.send(self._channel, _TAKEN)
            else:
                go_on = self._prepare(descriptors)
        os.close(self._spare)
        return go_on

    def _refuse(self, number: int | None) -> None:
        passing.send(self._channel, _REFUSED + b"%d" % (number or errno.EIO))

    def _fork(self) -> None:
        try:
            one = Understudy.fork(self._rehearse)
        except OSError as error:
            self._refuse(error.errno)
            return
        with one.channel:
            passing.send(self._channel, b"%d" % one.pid, (one.channel.fileno(),))

    def _enter(self, users: int, *network: int) -> None:
        try:
            confinement.enter(users)
            for one in network:
                ns.setns(one, ns.CLONE_NEWNET)
        except OSError as error:
            self._refuse(error.errno)
        else:
            passing.send(self._channel, _TAKEN)
        finally:
            for one in (users, *network):
                os.close(one)

    def _prepare(self, descriptors: list[int]) -> Callable[[], None] | None:
        """None when something fails: the spare goes on, and nothing that it holds is held here."""
        script, *given = descriptors
        try:
            go_on = self._take_over(_loads(passing.read(script), given))
        except Exception as error:
            number = getattr(error, "errno", None)
        else:
            passing.send(self._channel, _TAKEN)
            return go_on
        process.close_from(self._spare + 1)  # out here, where no error holds any of it any more
        self._refuse(number)
        return None


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.descriptors: list[int] = []

    def persistent_id(self, obj: object) -> tuple[bool, int] | None:
        is_socket = isinstance(obj, socket.socket)
        if not is_socket and not isinstance(obj, Descriptor):
            return None
        number = obj.fileno() if isinstance(obj, socket.socket) else int(obj)  # type: ignore[call-overload]
        if number < 0:
            return is_socket, -1
        self.descriptors.append(number)
        return is_socket, len(self.descriptors) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, descriptors: list[int]) -> None:
        super().__init__(file)
        self._descriptors = descriptors

    def persistent_load(self, pid: tuple[bool, int]) -> object:
        is_socket, index = pid
        number = self._descriptors[index] if index >= 0 else -1
        return socket.socket(fileno=number) if is_socket else Descriptor(number)


def _dumps(duty: object) -> tuple[bytes, list[int]]:
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(duty)
    return file.getvalue(), pickler.descriptors


def _loads(script: bytes, descriptors: list[int]) -> Any:
    return _Unpickler(io.BytesIO(script), descriptors).load()
