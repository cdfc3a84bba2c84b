"""A spare: a process that waits for a request, becomes what it asks for, and may come back.

::

    wait ──> take ──> monitor, helper ── ended soon, and nothing is left of it ──> FREE ──> wait
                        │    worker, keeper ──> ends
                        └─ goes on for long: the link to the spawner is closed; a container is handed to the relief

Root's has an *understudy* (runtime/understudy.py) for the processes that it will start, forked as early; and each goes
through the motions (rehearsal.py) before it waits for the first time.

An ordinary user's spawner makes a user namespace first. It stays outside; a spare goes in, or into that of the
container or the networks that it is about: to enter another's namespaces takes somebody from outside. Which one that
is, a descriptor says that comes with the request, or a pid in it. From there nobody comes back. With a container the
relief goes along, and makes the understudy there.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
from typing import NoReturn

from containerkit.errors import ContainerkitError, Unsupported, reason
from containerkit.linux import confinement, nftables, passing, process
from containerkit.linux import namespaces as ns
from containerkit.runtime.understudy import Understudy
from containerkit.supervise import helper, messages, monitor, rehearsal
from containerkit.supervise.relief import Relief
from containerkit.values import frozen

#: What it says to its spawner, and the spawner to it: with the socket that requests come over.
TAKEN, FREE, WAIT = b"taken", b"free", b"wait"
#: Requests after which it ends: what the interpreter gathers with each is not kept for ever.
_REQUESTS = 200


@frozen
class Home:
    """The user namespace of an ordinary user's containers: a descriptor, or why there is none."""

    descriptor: int
    refusal: str = ""

    @classmethod
    def make(cls) -> Home:
        """A new one."""
        try:
            return cls(confinement.create(*confinement.id_maps()))
        except OSError as error:
            return cls(-1, f"cannot make a user namespace: {reason(error)} ({error.filename or 'see doctor()'})")

    def place(self, request: messages.Request, descriptors: list[int]) -> int:
        """The user namespace where the request is to be carried out: a descriptor, which may be one of ``descriptors``
        and is taken out of them then.

        Raises:
            Unsupported: there is no such place.
            OSError: the process that is in it has just ended.
        """
        own = messages.own_descriptors(request)
        if len(descriptors) > own:
            return descriptors.pop(own)
        if isinstance(request, messages.Enter | messages.Work) and request.pid:
            place = os.open(f"/proc/{request.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            if isinstance(request, messages.Enter) and "user" in request.namespaces:
                # As for a start: the helper stays outside, and its child goes in.
                place, inner = ns.parent_of(place), place
                os.close(inner)
            return place
        if self.refusal:
            raise Unsupported(self.refusal)
        return self.descriptor


class Spare:
    """From the fork to the end.

    Args:
        channel: where requests come from. It is held only while this one waits: with nobody there, the SDK process
            starts another spawner.
        link: to the spawner. Its end: it has ended.
        home: an ordinary user's.
        relief: who takes over what goes on for long.
    """

    def __init__(self, channel: socket.socket, link: socket.socket, home: Home | None, relief: Relief) -> None:
        self._channel, self._link, self._home, self._relief = channel, link, home, relief
        self._reply: socket.socket | None = None
        # Without the channel, which it has only while it waits.
        self._descriptors = len(os.listdir("/proc/self/fd")) - 1
        self._limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._understudy: Understudy | None = None

    def live(self) -> NoReturn:
        """Wait for requests and do what they ask for. Does not return."""
        code = 1
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._live()
            code = 0
        except (ContainerkitError, OSError) as problem:
            if self._reply is not None:
                messages.send_reply(self._reply, messages.Failed.of(problem, "spawner"))
        except BaseException as error:
            if self._reply is not None:
                messages.send_reply(self._reply, messages.Failed(f"internal error: {type(error).__name__}: {error}"))
        finally:
            os._exit(code)

    def _live(self) -> None:
        self._prepare()
        # While somebody waits already, there is no time for it.
        if not process.readable(self._channel.fileno(), 0):
            rehearsal.rehearse()
        for count in range(1, _REQUESTS + 1):
            request, descriptors = self._take()
            if request is None:
                return
            self._become(request, descriptors)
            if not self._is_as_before() or count == _REQUESTS:
                return
            self._relief.set_title("containerkit-spawner")
            self._prepare()
            self._link.send(FREE)
            data, handed = messages.receive(self._link)
            if not data:
                return
            self._channel = socket.socket(fileno=handed[0])

    def _prepare(self) -> None:
        """See that this process ends with its relief, and, where it is root's, that there is an understudy."""
        self._relief.end_with()
        if self._home is not None:
            return  # it is made where its child will be
        if self._understudy is not None:
            if self._understudy.is_there():
                return
            self._understudy.dismiss()
            self._understudy = None
        with contextlib.suppress(OSError):
            self._understudy = self._relief.understudy()

    def _take(self) -> tuple[messages.Request | None, list[int]]:
        """The next request, with its descriptors; None when the SDK process or the spawner has gone."""
        process.wait_for_any(self._channel.fileno(), self._link.fileno())
        if process.readable(self._link.fileno(), 0):
            return None, []  # the spawner was killed: the next one answers
        data, descriptors, is_whole = messages.receive_request(self._channel)
        if not descriptors:
            return None, []
        with contextlib.suppress(OSError):  # the spawner was killed: it is done all the same
            self._link.send(TAKEN)
        self._channel.close()
        if os.getsid(0) != os.getpid():
            os.setsid()
        self._reply = socket.socket(fileno=descriptors[0])
        self._reply.send(messages.TAKEN)
        if not is_whole:
            raise passing.no_room()
        request, theirs = messages.decode(data), descriptors[1:]
        if self._home is not None:
            self._go(self._home.place(request, theirs), request, theirs)
        return request, theirs

    def _go(self, place: int, request: messages.Request, descriptors: list[int]) -> None:
        """Enter a user namespace. With a container the relief goes along, and on to where its networks are."""
        if isinstance(request, messages.Start):
            own = messages.own_descriptors(request)
            self._relief.enter(place, descriptors[own] if len(descriptors) > own else None)
        confinement.enter(place)
        os.close(place)

    def _become(self, request: messages.Request, descriptors: list[int]) -> None:
        """Do what is asked for; the link is closed when no other request can follow."""
        assert self._reply is not None
        if isinstance(request, messages.Start):
            self._relief.set_title(f"containerkit-monitor {request.name}")
            monitor.run(request, self._reply, descriptors, self._understudy, self._stay, self._relief)
            return
        if isinstance(request, messages.Enter):
            helper.run(request, self._reply, descriptors, self._understudy, self._stay)
            return
        self._stay()
        # Not at the top: what these need, every monitor would have in its memory.
        if isinstance(request, messages.Work):
            from containerkit.supervise import worker

            self._relief.set_title("containerkit-worker")
            worker.run(request, self._reply, descriptors, self._relief.end_with_spawner)
        else:
            from containerkit.supervise.networks import keeping

            self._relief.set_title("containerkit-networks")
            keeping.run(request, self._reply, descriptors)

    def _stay(self) -> None:
        """What it is now it will be until its end."""
        self._link.close()
        if self._understudy is not None:
            self._understudy.dismiss()
        nftables.Channel.close_kept()

    def _is_as_before(self) -> bool:
        """Whether nothing is left of what it was: no child, no descriptor, no limit, no user namespace."""
        assert self._reply is not None
        self._reply.close()
        self._reply = None
        if self._home is not None or self._link.fileno() < 0:
            return False
        try:
            with open("/proc/thread-self/children") as file:
                children = [int(pid) for pid in file.read().split()]
        except OSError:
            return False  # a kernel without CONFIG_PROC_CHILDREN
        descriptors = self._descriptors + (self._understudy is not None) + nftables.Channel.is_kept()
        return (
            not children
            and len(os.listdir("/proc/self/fd")) == descriptors
            and resource.getrlimit(resource.RLIMIT_NOFILE) == self._limit
        )
