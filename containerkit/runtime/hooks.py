"""Hooks: programs that the configuration names for moments of a container's life.

Source: runtime-spec config.md, "POSIX-platform Hooks". Each gets the container's state on its standard input.

=====================  ==========================================================================
``createRuntime``      the parent runs them, on the host, while the init waits before pivot_root
``createContainer``    the init runs them, in the container's namespaces, programs of the host's
``startContainer``     the init runs them, in the container, after the word to start
``poststart``          on the host, once the program runs: what fails is only told
``poststop``           on the host, once it is deleted: what fails is only told
=====================  ==========================================================================
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from containerkit.errors import RuntimeFailure, reason
from containerkit.linux import process
from containerkit.oci.runtime_spec import Hook
from containerkit.runtime import messages
from containerkit.runtime.operation import Context, Operation
from containerkit.values import frozen


def run(kind: str, hooks: Sequence[Hook], state: Mapping[str, Any]) -> None:
    """Run ``hooks`` one after the other.

    Args:
        kind: the moment, for the error.
        state: what they read.

    Raises:
        RuntimeFailure: one of them failed, or took longer than its timeout; those after it have not run.
    """
    for hook in hooks:
        try:
            _run_one(hook, json.dumps(dict(state)).encode(), f"{kind} hook {hook.path}")
        except OSError as error:
            raise RuntimeFailure(f"{kind} hook {hook.path}: {reason(error)}", errno=error.errno) from error


def _run_one(hook: Hook, state: bytes, subject: str) -> None:
    heard, said = (os.memfd_create(name, os.MFD_CLOEXEC) for name in ("state", "output"))
    try:
        os.write(heard, state)
        os.lseek(heard, 0, os.SEEK_SET)
        pid = os.posix_spawn(
            hook.path,
            hook.args or (hook.path,),
            dict(item.partition("=")[::2] for item in hook.env),
            file_actions=[(os.POSIX_SPAWN_DUP2, heard, 0), *((os.POSIX_SPAWN_DUP2, said, n) for n in (1, 2))],
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGXFSZ),
        )
        in_time = _wait(pid, hook.timeout)
        _, status = os.waitpid(pid, 0)
        if not in_time:
            raise RuntimeFailure(f"{subject}: not ended after {hook.timeout} s")
        if code := process.exit_code(status):
            output = os.pread(said, 2000, 0).decode(errors="replace").strip()
            raise RuntimeFailure(f"{subject}: exit code {code}" + (f": {output}" if output else ""))
    finally:
        os.close(heard)
        os.close(said)


def _wait(pid: int, timeout: int | None) -> bool:
    """Wait for the end; when ``timeout`` seconds are up, make it end."""
    pidfd = os.pidfd_open(pid)
    try:
        if process.readable(pidfd, timeout):
            return True
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return False
    finally:
        os.close(pidfd)


def _names(hooks: Sequence[Hook]) -> str:
    return ", ".join(hook.path for hook in hooks)


@frozen
class AwaitHooks(Operation):
    """The parent's hooks: the namespaces are there, the mounts are made, the root is not yet ``/``."""

    CALLS = ("write", "read")

    hooks: tuple[Hook, ...]

    def describe(self) -> str:
        return "hooks of the runtime: " + _names(self.hooks)

    def execute(self, context: Context) -> None:
        messages.send(context.channel, "hooks")
        if os.read(context.channel, 64) != messages.HOOKED:
            os._exit(1)

    def run(self, state: Mapping[str, Any]) -> None:
        """The parent's half."""
        run("createRuntime", self.hooks, state)


@frozen
class RunHooks(Operation):
    """Hooks that the init runs itself. ``kind``: createContainer or startContainer."""

    CALLS = ("clone", "execve", "wait4")

    kind: str
    hooks: tuple[Hook, ...]

    def describe(self) -> str:
        return f"hooks of the container, {self.kind}: " + _names(self.hooks)

    def execute(self, context: Context) -> None:
        status = "creating" if self.kind == "createContainer" else "created"
        run(self.kind, self.hooks, {**context.state, "status": status, "pid": os.getpid()})
