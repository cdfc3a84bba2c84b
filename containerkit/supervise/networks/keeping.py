"""A spare becomes the keeper of an ordinary user's networks (net/keeper.py)."""

from __future__ import annotations

import os
import socket

from containerkit.net import keeper
from containerkit.net.outside import Outside, new_namespace
from containerkit.supervise.messages import Keep, Kept, send_reply


def run(request: Keep, channel: socket.socket, descriptors: list[int]) -> None:
    """Keep the network namespace that comes along, or a new one. Descriptors: the lock, held; the namespace.

    Raises:
        OSError: the kernel refuses.
    """
    lock, *there = descriptors
    users = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    network = there[0] if there else new_namespace()
    outside = Outside(network)
    outside.open()
    listening = keeper.listen(request.socket)

    def greet(guest: socket.socket) -> None:
        send_reply(guest, Kept(outside.problem), (users, network))

    os.close(lock)
    keeper.Keeper(listening, request.socket, request.lock, outside, greet).serve(channel)
