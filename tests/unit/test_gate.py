"""Gates: where a start that somebody walks through waits."""

from __future__ import annotations

import select
import socket
import threading

import pytest

from containerkit.errors import RuntimeFailure
from containerkit.runtime.gate import Gate, given_up


@pytest.mark.parametrize("reads", [True, False])
def test_who_goes_has_given_up_whether_the_arrival_was_read_or_not(reads: bool) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def go() -> None:
        poll = select.poll()
        poll.register(theirs, select.POLLIN)
        poll.poll()
        if reads:
            theirs.recv(4096)
        theirs.close()  # the kernel tells of what is unread by a reset

    walker = threading.Thread(target=go)
    walker.start()
    with ours, pytest.raises(RuntimeFailure, match=given_up().message):
        list(Gate(ours.fileno()).through(["one"]))
    walker.join()
