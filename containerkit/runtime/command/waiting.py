"""Being in the foreground: what we are sent goes on to the process, and we end as it does."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

from containerkit.linux import process
from containerkit.runtime.command import terminals
from containerkit.runtime.create import Child

_KEPT = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGWINCH, signal.SIGPIPE, signal.SIGURG}


@contextlib.contextmanager
def passing_on(pidfd: int) -> Iterator[None]:
    """Signals to us are signals to it."""

    def pass_on(number: int, _: object) -> None:
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(pidfd, number)

    numbers = [n for n in signal.valid_signals() if n not in _KEPT and n < signal.SIGRTMIN]
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait(child: Child) -> int:
    """Wait for its end; the exit code, 128+n after signal n."""
    if child.terminal is not None:
        with terminals.raw(0):
            terminals.copy(child.terminal, child.pidfd)
        os.close(child.terminal)
        child.terminal = None
    status = child.reap(child.pid)
    os.close(child.pidfd)
    return process.exit_code(status)
