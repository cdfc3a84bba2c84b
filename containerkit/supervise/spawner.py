"""The spawner: everything imported once, then one fork per request. It ends with its SDK process.

Started as ``python -I -S -c "…spawner.main()"`` with its socket as descriptor 3. One thread, no state.

An ordinary user's spawner makes a user namespace first. It stays outside; its children go in, or into that of the
container or the networks that they are about: to enter another's namespaces takes somebody from outside. Which one
that is, a descriptor says that comes with the request, or a pid in it.

The fork comes before the request: one *spare* child waits on the socket, and when it takes a request the spawner forks
the next. What forks cost (2 ms: page tables, and the first writes to shared pages) nobody waits for then. A spare has
an *understudy* (runtime/understudy.py), forked as early, for the process that it will start::

    SDK ── request ──> socket <── spare: takes it, says so, becomes monitor, helper, …
                                     │ one byte
                                  spawner: forks the next spare
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket

from containerkit.errors import ContainerkitError, Unsupported, reason
from containerkit.linux import capabilities, cgroups, confinement, process
from containerkit.linux import namespaces as ns
from containerkit.oci import codec
from containerkit.oci.runtime_spec import Spec
from containerkit.runtime.understudy import Understudy
from containerkit.supervise import helper, messages, monitor, rehearsal
from containerkit.values import frozen

SOCKET = 3


def main() -> None:
    """Serve until the SDK process closes its end."""
    channel = socket.socket(fileno=SOCKET)
    # Nothing of the user's process lives on in containers: not its files, its directory, its mask.
    process.close_from(SOCKET + 1)
    os.chdir("/")
    os.umask(0o022)
    process.set_title("containerkit-spawner")
    # Inherited dispositions are the user's process's; here and in all children they are the default.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    home = Home.make() if os.geteuid() else None
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children reap themselves
    _warm_up()
    while _serve_one(channel, home):
        pass


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

    def enter(self, request: messages.Request, descriptors: list[int]) -> None:
        """Go where the request is to be carried out. The descriptor that says so is taken out of ``descriptors``.

        Raises:
            Unsupported: there is no such place.
        """
        own = messages.own_descriptors(request)
        if len(descriptors) > own:
            place = descriptors.pop(own)
        elif isinstance(request, messages.Enter | messages.Work) and request.pid:
            place = os.open(f"/proc/{request.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            if isinstance(request, messages.Enter) and "user" in request.namespaces:
                # As for a start: the helper stays outside, and its child goes in.
                place, inner = ns.parent_of(place), place
                os.close(inner)
        elif self.refusal:
            raise Unsupported(self.refusal)
        else:
            place = self.descriptor
        confinement.enter(place)
        os.close(place)


def _warm_up() -> None:
    """Do once what every fork would do at its first use of something; the collector is not to write to any of it."""
    gc.disable()
    codec.prepare(Spec, messages.Start, messages.Enter, messages.Work)
    cgroups.detect()
    capabilities.last_cap()
    process.boot_id()
    rehearsal.rehearse()
    rehearsal.rehearse_part()
    gc.freeze()


def _serve_one(channel: socket.socket, home: Home | None) -> bool:
    """Keep a spare until it has taken a request. False when the SDK process has gone."""
    heard, said = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:
        os.close(heard)
        os.close(said)
        return _refuse(channel, error)
    if pid == 0:
        os.close(heard)
        _spare(channel, said, home)
    os.close(said)
    # A byte: it has taken a request. An end of file: it was killed. A hang-up of the channel: we are not needed.
    poll = select.poll()
    poll.register(heard, select.POLLIN)
    poll.register(channel, 0)
    ready = dict(poll.poll())
    os.close(heard)
    return heard in ready


def _refuse(channel: socket.socket, error: OSError) -> bool:
    """Answer one request with the reason why nothing can be started."""
    data, descriptors = messages.receive(channel)
    if not descriptors:
        return bool(data)
    with socket.socket(fileno=descriptors[0]) as reply:
        reply.send(messages.TAKEN)
        text = f"cannot fork: {(error.strerror or '').lower()}"
        messages.send_reply(reply, messages.Failed(text, errno=error.errno))
    for descriptor in descriptors[1:]:
        os.close(descriptor)
    return True


def _spare(channel: socket.socket, said: int, home: Home | None) -> None:
    """A forked child: wait for a request, become what it asks for, and end."""
    code = 1
    reply: socket.socket | None = None
    try:
        # A spare goes when its spawner does; what it becomes does not.
        process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        understudy = None
        # An ordinary user's could not go where its parent will be: that makes its own; as does who cannot fork now.
        if home is None:
            with contextlib.suppress(OSError):
                understudy = Understudy(rehearsal.rehearse_part)
        rehearsal.rehearse()
        data, descriptors = messages.receive(channel)
        if data:
            process.prctl(process.PR_SET_PDEATHSIG, 0)
            os.write(said, b".")
            os.close(said)
            channel.close()
            os.setsid()
            reply = socket.socket(fileno=descriptors[0])
            reply.send(messages.TAKEN)
            request, theirs = messages.decode(data), descriptors[1:]
            if home is not None:
                home.enter(request, theirs)
            _become(request, reply, theirs, understudy)
        code = 0
    except (ContainerkitError, OSError) as problem:
        if reply is not None:
            messages.send_reply(reply, messages.Failed.of(problem, "spawner"))
    except BaseException as error:
        if reply is not None:
            messages.send_reply(reply, messages.Failed(f"internal error: {type(error).__name__}: {error}"))
    finally:
        os._exit(code)


def _become(
    request: messages.Request, reply: socket.socket, descriptors: list[int], understudy: Understudy | None
) -> None:
    if isinstance(request, messages.Start):
        monitor.run(request, reply, descriptors, understudy)
        return
    if isinstance(request, messages.Enter):
        helper.run(request, reply, descriptors, understudy)
        return
    if understudy is not None:
        understudy.dismiss()
    # Not at the top: what these need, every monitor would have in its memory.
    if isinstance(request, messages.Work):
        from containerkit.supervise import worker

        worker.run(request, reply, descriptors)
    else:
        from containerkit.supervise.networks import keeping

        keeping.run(request, reply, descriptors)
