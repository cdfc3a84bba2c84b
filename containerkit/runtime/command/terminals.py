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

from containerkit.errors import InvalidArgument, from_os_error
from containerkit.oci.runtime_spec import Process
from containerkit.runtime.create import Child


def check(process: Process, console_socket: str, detaches: bool) -> None:
    """Whether a terminal's other end would have a place, and a place a terminal.

    Raises:
        InvalidArgument: one is without the other.
    """
    if console_socket and not process.terminal:
        raise InvalidArgument("console socket: given, and the process has no terminal")
    if detaches and process.terminal and not console_socket:
        raise InvalidArgument("terminal: without --console-socket nobody would have its other end")


def hand_over(child: Child, console_socket: str) -> None:
    """Send the terminal's master, where there is one, to the console socket, where there is one; it is closed here.

    Raises:
        ContainerkitError: nobody listens there.
    """
    if child.terminal is None or not console_socket:
        return
    master, child.terminal = child.terminal, None
    try:
        send(console_socket, b"/dev/ptmx", master, f"console socket {console_socket}")
    finally:
        os.close(master)


def send(path: str, data: bytes, descriptor: int, subject: str) -> None:
    """Send a descriptor with some words to whoever listens on the stream socket at ``path``.

    Raises:
        ContainerkitError: nobody does; ``subject`` names the socket.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(path)
            socket.send_fds(connection, [data], [descriptor])
    except OSError as error:
        raise from_os_error(error, subject) from error


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
