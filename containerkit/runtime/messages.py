"""What a container's parent and its init tell each other, over one SOCK_SEQPACKET pair.

::

    parent                                   init
      |<- done --------------------------------|   it is there (runtime/understudy.py)
      |  write uid_map, gid_map                |
      |------------------------------ mapped ->|   only with a user namespace
      |<- network (+ its namespace) -----------|   only with a network namespace of an ordinary user's
      |                                        |   mounts, devices, ...
      |<- hooks -------------------------------|   only with createRuntime hooks
      |  run them                              |
      |------------------------------ hooked ->|
      |                                        |   pivot_root, ...
      |<- console (+ the terminal's master) ---|   only with a terminal
      |<- ready -------------------------------|
      |  record the pid on disk                |
      |------------------------------ start -->|   may wait long: created, not started
      |                                        |   user, capabilities, seccomp
      |<- seccomp (+ a listener) --------------|   only where a process outside decides on calls
      |<- executing (cost of each operation) --|   execve
      |<- failed (text, errno, exit code) -----|   or end of file: the program runs

A parent that is to end before the start says ``detached`` where others say ``start``: from then on the init listens on
a socket in the file system, and whoever connects to it has the rest of this conversation.

The init's end is close-on-exec, so the end of file *is* the successful execve. When the parent dies the init reads an
end of file instead of ``start`` and exits: no program runs that nobody has written down.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct
from typing import Any

from containerkit.errors import RuntimeFailure
from containerkit.linux import passing

MAPPED, HOOKED, START, DETACHED = b"mapped", b"hooked", b"start", b"detached"
_LIMIT = 65536
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
#: What the init says, and before it the understudy: kind → members.
_MEMBERS: dict[Any, dict[str, Any]] = {
    "network": {}, "hooks": {}, "console": {}, "ready": {}, "seccomp": {}, "executing": {"costs": list},
    "failed": {"text": str, "errno": int | None, "exit_code": int},
    "back": {}, "done": {}, "refused": {"errno": int, "text": str, "file": str | None},
}  # fmt: skip


def send(channel: int, kind: str, **members: Any) -> None:
    """Send one message from the init (a plain write: the channel is just a descriptor there)."""
    os.write(channel, json.dumps({"kind": kind, **members}).encode()[:_LIMIT])


def send_descriptor(channel: int, kind: str, descriptor: int) -> None:
    """Send a message with a descriptor: ``console`` with the terminal's master, ``network``, ``seccomp``."""
    with socket.socket(fileno=os.dup(channel)) as handle:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))
        handle.sendmsg([json.dumps({"kind": kind}).encode()], [rights])


def receive(channel: socket.socket) -> tuple[dict[str, Any] | None, int | None]:
    """The init's next message and the descriptor that came with it; None at the end of file.

    Raises:
        OSError: there is no room for the descriptor here.
        RuntimeFailure: it is none.
    """
    try:
        data, descriptors = passing.receive(channel, _LIMIT)
    except ConnectionResetError:
        data, descriptors = passing.receive(channel, _LIMIT)  # what it sent before it ended
    for one in descriptors[1:]:
        os.close(one)
    return (_read(data) if data else None), (descriptors[0] if descriptors else None)


def _read(data: bytes) -> dict[str, Any]:
    try:
        message: dict[str, Any] = json.loads(data)
        if all(isinstance(message[name], kind) for name, kind in _MEMBERS[message.get("kind")].items()):
            return message
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise RuntimeFailure("init: says what is no message")


def receive_from(channel: socket.socket) -> tuple[dict[str, Any] | None, int]:
    """The next message and the pid, as seen from here, of who sent it, where SO_PASSCRED asks for that; else 0."""
    try:
        data, ancillary, _, _ = channel.recvmsg(_LIMIT, socket.CMSG_SPACE(_CREDENTIALS.size))
    except ConnectionResetError:
        return None, 0  # it was killed before it had read what was sent to it
    pids = [_CREDENTIALS.unpack(payload)[0] for _, _, payload in ancillary]
    return (_read(data) if data else None), pids[0] if pids else 0


def failure(message: dict[str, Any]) -> RuntimeFailure:
    """The error that a ``failed`` message stands for."""
    return RuntimeFailure(message["text"], exit_code=message["exit_code"], errno=message["errno"])
