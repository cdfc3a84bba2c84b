"""A program with all that it starts, run so that nothing of it outlives its caller: no process and no mount.

It is in a pid namespace of its own, which ends with its first process, and that ends with whoever runs it; its mounts
are in a mount namespace of its own. For an ordinary user it is root of a user namespace with the subordinate ids.

Sources: unshare(1), setpriv(1), pid_namespaces(7), prctl(2), "PR_SET_PDEATHSIG".
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from containerkit.linux import process

_NAMESPACES = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_USERS = ("--user", "--map-root-user", "--map-auto")


def run(
    words: Sequence[str], environment: Mapping[str, str], told: Callable[[str], None], timeout: float | None = None
) -> int:
    """Run a program to its end; its exit code.

    Args:
        words: the program and its arguments.
        told: called with each line of its output, without the line's end.
        timeout: seconds.

    Raises:
        TimeoutError: time was up. Of the program nothing is left then, nor after an interrupt.
        FileNotFoundError: unshare(1) or setpriv(1) is not installed (Debian package util-linux).
    """
    users = _USERS if os.geteuid() != 0 else ()
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", *users, *_NAMESPACES, "--", *words]
    deadline = None if timeout is None else time.monotonic() + timeout
    # A session of its own: an interrupt at the terminal is for the caller, who ends it.
    with subprocess.Popen(
        command, env=dict(environment), cwd="/", start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        try:
            for line in _lines(child.stdout.fileno(), deadline):
                told(line)
            return child.wait()
        except BaseException:
            child.kill()
            # Everything that is left holds the other end: the end of file is the end of all.
            while child.stdout.read(65536):
                pass
            raise


def _lines(descriptor: int, deadline: float | None) -> Iterator[str]:
    rest = b""
    while True:
        if not process.readable(descriptor, None if deadline is None else deadline - time.monotonic()):
            raise TimeoutError
        data = os.read(descriptor, 65536)
        if not data:
            break
        # What is drawn over itself on a terminal is a line each time.
        *lines, rest = (rest + data.replace(b"\r", b"\n")).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines if line)
    if rest:
        yield rest.decode(errors="replace")
