"""Words, descriptors and objects of any length, passed on between two processes over a SOCK_SEQPACKET pair.

Source: unix(7), SCM_RIGHTS.
"""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Sequence
from errno import EMFILE

#: Descriptors that go with a message, beside the one of a script: SCM_MAX_FD.
MOST = 252
_LONGEST = 256


def send(channel: socket.socket, word: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send a word, with descriptors.

    Raises:
        BrokenPipeError: nobody is there any more.
        OSError: there is no room for it.
    """
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    channel.sendmsg([word], rights)


def send_script(channel: socket.socket, word: bytes, script: bytes, descriptors: Sequence[int]) -> None:
    """Send a word and, as the first of its descriptors, a file in memory: that may be longer than a message.

    Raises:
        OSError: as for :func:`send`.
    """
    file = os.memfd_create("containerkit-script", os.MFD_CLOEXEC)
    try:
        os.write(file, script)
        send(channel, word, (file, *descriptors))
    finally:
        os.close(file)


def receive(channel: socket.socket, longest: int = _LONGEST) -> tuple[bytes, list[int]]:
    """The next word and its descriptors, close-on-exec; empty at the end of file.

    Args:
        longest: bytes that a word may have.

    Raises:
        ConnectionResetError: the other side has ended without reading what was sent to it; another call goes on with
            what it sent before.
        OSError: not all of its descriptors may be had here; none is.
    """
    data, descriptors, is_whole = receive_part(channel, longest)
    if not is_whole:
        for one in descriptors:
            os.close(one)
        raise no_room()
    return data, descriptors


def no_room() -> OSError:
    """What there is to say of descriptors that may not be had here."""
    return OSError(EMFILE, os.strerror(EMFILE))


def receive_part(channel: socket.socket, longest: int = _LONGEST) -> tuple[bytes, list[int], bool]:
    """As :func:`receive`, with those descriptors that may be had here, the first ones; and whether that is all.

    Raises:
        ConnectionResetError: as for :func:`receive`.
    """
    data, ancillary, flags, _ = channel.recvmsg(longest, socket.CMSG_SPACE(4 * (MOST + 1)), socket.MSG_CMSG_CLOEXEC)
    descriptors = [
        one for _, kind, payload in ancillary if kind == socket.SCM_RIGHTS for one in array.array("i", payload)
    ]
    return data, descriptors, not flags & socket.MSG_CTRUNC


def read(script: int) -> bytes:
    """What the file of :func:`send_script` holds; it is closed."""
    try:
        return os.pread(script, os.fstat(script).st_size, 0)
    finally:
        os.close(script)
