"""Work that takes the rights of a user namespace, done by a spare for an SDK process that has none.

The function and its arguments travel pickled, in files in memory; so does what comes back. Both ends are ours.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

from containerkit.errors import RuntimeFailure, about
from containerkit.linux import namespaces as ns
from containerkit.supervise.messages import Failed, Work, Worked, receive_reply, send_reply
from containerkit.values import frozen

#: In a worker: has it end when the SDK process does.
end_with_caller: Callable[[], None]
#: Whether this process is one that does such work: it has one thread, and the rights.
is_here = False


@frozen
class Handed:
    """A result that is a descriptor: whoever has asked gets one of its own."""

    descriptor: int


def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], place: Sequence[int] = ()) -> Any:
    """The result of ``function``, called in the user namespace; what it raises is raised here. Of ``Handed`` it is the
    descriptor.

    An argument with a method ``lives_in`` names a process in whose user namespace it has to be; ``place`` are
    descriptors of a user namespace and of a network namespace to be in.
    """
    if is_here:
        found = function(*args, **kwargs)
        return found.descriptor if isinstance(found, Handed) else found
    # Not at the top: the spawner imports this module too.
    from containerkit.supervise.client import spawner

    order, result = (os.memfd_create(name, os.MFD_CLOEXEC) for name in ("order", "result"))
    try:
        with open(order, "wb", closefd=False) as file:
            pickle.dump((function, args, kwargs), file)
        pids = [argument.lives_in() for argument in args if hasattr(argument, "lives_in")]
        work = Work(tuple(sys.path), *pids[:1])
        with spawner.request(work, (order, result, *place)) as channel, about("worker"):
            reply, descriptors = receive_reply(channel)
        if isinstance(reply, Failed):
            raise reply.error("worker")
        if reply is None:
            raise RuntimeFailure("worker: was killed")
        os.lseek(result, 0, os.SEEK_SET)
        with open(result, "rb", closefd=False) as file:
            is_good, value = pickle.load(file)
    finally:
        os.close(order)
        os.close(result)
    if not is_good:
        raise value
    return descriptors[0] if isinstance(value, Handed) else value


def run(request: Work, channel: socket.socket, descriptors: list[int], end_with_spawner: Callable[[], None]) -> None:
    """Do it. Descriptors: the order, the result, and the network namespace to be in where it is not this one."""
    global is_here, end_with_caller
    is_here, end_with_caller = True, end_with_spawner
    order, result, *network = descriptors
    for descriptor in network:
        ns.setns(descriptor, ns.CLONE_NEWNET)
    sys.path[:] = request.path
    os.lseek(order, 0, os.SEEK_SET)
    with open(order, "rb") as file:
        function, args, kwargs = pickle.load(file)
    answer: tuple[bool, Any]
    try:
        answer = True, function(*args, **kwargs)
    except Exception as error:
        answer = False, error
    with open(result, "wb") as file:
        pickle.dump(answer, file)
    send_reply(channel, Worked(), [answer[1].descriptor] if isinstance(answer[1], Handed) else [])
