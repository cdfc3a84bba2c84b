"""What a container's parent and its init tell each other, over one SOCK_SEQPACKET pair.

::

    parent                                   init
      |  clone3 ------------------------------>|
      |  write uid_map, gid_map                |
      |------------------------------ mapped ->|   only with a user namespace
      |                                        |   mounts, devices, pivot_root, ...
      |<- console (+ the terminal's master) ---|   only with a terminal
      |<- ready -------------------------------|
      |  record the pid on disk                |
      |------------------------------ start -->|   may wait long: created, not started
      |                                        |   user, capabilities, seccomp
      |<- executing (cost of each operation) --|   execve
      |<- failed (text, errno, exit code) -----|   or end of file: the program runs

The init's end is close-on-exec, so the end of file *is* the successful execve. When the parent dies the init reads an
end of file instead of ``start`` and exits: no program runs that nobody has written down.
"""

from __future__ import annotations

import array
import json
import os
import socket
from typing import Any

from containerkit.errors import RuntimeFailure

MAPPED, START = b"mapped", b"start"
_LIMIT = 65536


def send(channel: int, kind: str, **members: Any) -> None:
    """Send one message from the init (a plain write: the channel is just a descriptor there)."""
    os.write(channel, json.dumps({"kind": kind, **members}).encode()[:_LIMIT])


def send_console(channel: int, master: int) -> None:
    """Send the ``console`` message with the terminal's master."""
    with socket.socket(fileno=os.dup(channel)) as handle:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [master]))
        handle.sendmsg([b'{"kind":"console"}'], [rights])


def receive(channel: socket.socket) -> tuple[dict[str, Any] | None, int | None]:
    """The parent's next message and the descriptor that came with it; None at the end of file."""
    try:
        data, ancillary, _, _ = channel.recvmsg(_LIMIT, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        # It ended without reading what was sent to it: told once, before what it sent itself.
        data, ancillary, _, _ = channel.recvmsg(_LIMIT, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    descriptor = None
    for _, kind, payload in ancillary:
        if kind == socket.SCM_RIGHTS:
            descriptor = array.array("i", payload)[0]
    return (json.loads(data) if data else None), descriptor


def failure(message: dict[str, Any]) -> RuntimeFailure:
    """The error that a ``failed`` message stands for."""
    return RuntimeFailure(message["text"], exit_code=message["exit_code"], errno=message["errno"])
