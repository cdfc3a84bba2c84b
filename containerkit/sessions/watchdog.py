"""A session's watchdog: a process that waits for the end of another one, and then removes what that has left.

It is an interpreter of its own, out of the way of what ends a notebook's kernel with all its children. Until its time
has come it has imported next to nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

    from containerkit.engine import Engine

#: What its process writes when the session is over and nothing is left to do.
_DONE = b"."
#: … and when it is over and something is.
_LEFT = b"!"


def start(engine: Engine, session: str, lease: int) -> subprocess.Popen[bytes]:
    """Start one for this process and a session of it.

    Args:
        lease: the session's; the watchdog holds it, too.
    """
    import subprocess

    from containerkit.linux import sealed

    order = {"root": str(engine.paths.root), "run": str(engine.paths.run), "session": session, "path": sys.path}
    owner = os.pidfd_open(os.getpid())
    try:
        return subprocess.Popen(
            [*sealed.command("containerkit.sessions.watchdog"), json.dumps(order), str(lease), str(owner)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            pass_fds=(lease, owner), cwd="/",
        )  # fmt: skip
    finally:
        os.close(owner)


def dismiss(watchdog: subprocess.Popen[bytes]) -> None:
    """Tell it that nothing is left to do, and wait for its end. One that was killed is gone already."""
    try:
        watchdog.communicate(_DONE)
    except BrokenPipeError:
        watchdog.wait()


def hand_over(watchdog: subprocess.Popen[bytes]) -> None:
    """Let it end the session, beside us."""
    assert watchdog.stdin is not None
    with contextlib.suppress(BrokenPipeError), watchdog.stdin:
        # To close the pipe is not enough: a forked child has it, too.
        watchdog.stdin.write(_LEFT)


def main() -> None:
    """Wait, in the watchdog."""
    order, _, owner = json.loads(sys.argv[1]), *map(int, sys.argv[2:])
    # A forked child of its process has the pipe, too: that the process has ended shows its pidfd.
    # (Not select(2): the number of that can be larger than it takes.)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(owner, select.POLLIN)
    if 0 not in dict(poll.poll()) or os.read(0, 1) != _DONE:
        _end(order)


def _end(order: dict[str, Any]) -> None:
    sys.path[:] = order["path"]  # where drivers of volumes are found

    from containerkit.engine import Engine
    from containerkit.supervise import abandoned

    engine = Engine(order["root"], order["run"], configuration={})
    abandoned.end(engine.store, order["session"])
    engine.close()
