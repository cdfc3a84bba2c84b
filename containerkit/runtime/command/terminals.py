"""Terminals: their master goes to whoever listens on a console socket, or is copied to and from our own terminal."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import termios
import tty
from collections.abc import Iterator

from containerkit.errors import from_os_error


def send(path: str, master: int) -> None:
    """Send the master to the console socket at ``path``; it is closed here.

    Raises:
        ContainerkitError: nobody listens there.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(path)
            socket.send_fds(connection, [b"/dev/ptmx"], [master])
    except OSError as error:
        raise from_os_error(error, f"console socket {path}") from error
    finally:
        os.close(master)


@contextlib.contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Our own terminal passes on every key meanwhile, where it is one."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def copy_size(master: int) -> None:
    """Give the container's terminal the size of ours."""
    if sys.stdin.isatty():
        termios.tcsetwinsize(master, termios.tcgetwinsize(0))


def copy(master: int, ended: int) -> None:
    """Copy between the terminal and our standard streams, until the pidfd ``ended`` says so and all has been read."""
    copy_size(master)
    signal.signal(signal.SIGWINCH, lambda *_: copy_size(master))
    poll = select.poll()
    for descriptor in (0, master, ended):
        poll.register(descriptor, select.POLLIN)
    has_ended = False
    while True:
        ready = {descriptor for descriptor, _ in poll.poll(0 if has_ended else None)}
        if 0 in ready:
            typed = os.read(0, 65536)
            if typed:
                os.write(master, typed)
            else:
                poll.unregister(0)
        if master in ready:
            try:
                output = os.read(master, 65536)
            except OSError:
                output = b""  # EIO: the last of its processes has closed it
            if not output:
                return
            os.write(1, output)
        elif has_ended:
            return
        if ended in ready:
            has_ended = True
            poll.unregister(ended)
