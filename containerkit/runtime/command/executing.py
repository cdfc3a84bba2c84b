"""exec: one more process in a running container."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace

from containerkit.errors import InvalidArgument, InvalidState, RuntimeFailure, from_os_error
from containerkit.linux import process as processes
from containerkit.linux.cgroups import Cgroup
from containerkit.oci import codec
from containerkit.oci.runtime_spec import Capabilities, Process, User
from containerkit.runtime import bundle
from containerkit.runtime.command import agents, terminals, waiting
from containerkit.runtime.command.records import Records, write_atomically
from containerkit.runtime.create import Child
from containerkit.runtime.enter import enter
from containerkit.values import frozen


@frozen
class Execution:
    """What to run, and how.

    Args:
        process: a file with the specification's process; empty to take the container's, with the changes below.
        user: ``UID[:GID]``; empty for the container's.
        preserve: descriptors above 2 that it gets.
    """

    args: tuple[str, ...] = ()
    process: str = ""
    tty: bool = False
    user: str = ""
    cwd: str = ""
    env: tuple[str, ...] = ()
    caps: tuple[str, ...] = ()
    groups: tuple[int, ...] = ()
    no_new_privileges: bool = False
    detach: bool = False
    console_socket: str = ""
    pid_file: str = ""
    preserve: int = 0
    ignore_paused: bool = False


def execute(records: Records, id: str, wanted: Execution) -> int:
    """Run it; its exit code, 0 at once when detached.

    Raises:
        InvalidState: the container does not run.
        RuntimeFailure: the process could not be started.
    """
    record = records.read(id)
    allowed = ("running", "created", "paused") if wanted.ignore_paused else ("running", "created")
    records.require(record, "exec", *allowed)
    spec = records.spec(record)
    chosen = _process(spec.process, wanted)
    bundle.validate(replace(spec, process=chosen))
    terminals.check(chosen, wanted.console_socket, wanted.detach)
    target = processes.pidfd(record.pid, record.started)
    if target is None:
        raise InvalidState(f"container {id}: cannot exec: it is stopped")
    child = enter(
        chosen, target, namespaces=tuple(entry.type for entry in spec.linux.namespaces),
        group=Cgroup(record.cgroup) if record.cgroup else None, streams=(0, 1, 2),
        seccomp_filter=bundle.read_filter(records.directory(id), spec),
        owner=spec.linux.host_ids(chosen.user), preserve=wanted.preserve,
        outlives=wanted.detach,
    )  # fmt: skip
    os.close(target)
    child.take_listener = agents.introduce(spec.linux.seccomp, records.state(record), child.pid)
    foreground = contextlib.nullcontext() if wanted.detach else waiting.passing_on(child.pidfd)
    with foreground:
        _await(child, wanted)
        return 0 if wanted.detach else waiting.wait(child)


def _await(child: Child, wanted: Execution) -> None:
    try:
        child.await_program()
        terminals.hand_over(child, wanted.console_socket)
        if wanted.pid_file:
            write_atomically(wanted.pid_file, str(child.pid))
    except BaseException:
        child.discard()
        raise


def _process(own: Process, wanted: Execution) -> Process:
    if wanted.process:
        try:
            with open(wanted.process, "rb") as file:
                return codec.loads(Process, file.read(), wanted.process)
        except OSError as error:
            raise from_os_error(error, f"process {wanted.process}") from error
    changed = replace(
        own, args=wanted.args, terminal=wanted.tty, cwd=wanted.cwd or own.cwd, env=(*own.env, *wanted.env),
        no_new_privileges=own.no_new_privileges or wanted.no_new_privileges,
    )  # fmt: skip
    if wanted.user or wanted.groups:
        changed = replace(changed, user=_user(own.user, wanted))
    if wanted.caps:
        changed = replace(changed, capabilities=_with(own.capabilities or Capabilities(), wanted.caps))
    return changed


def _user(own: User, wanted: Execution) -> User:
    uid, colon, gid = wanted.user.partition(":")
    try:
        found = User(
            int(uid) if uid else own.uid, int(gid) if colon else own.gid, own.umask, own.additional_gids + wanted.groups
        )
    except ValueError:
        raise InvalidArgument(f"user {wanted.user!r}: expected UID or UID:GID, in numbers") from None
    if not (0 <= found.uid < 2**32 - 1 and 0 <= found.gid < 2**32 - 1):
        raise RuntimeFailure(f"user {wanted.user!r}: out of range")
    return found


def _with(own: Capabilities, names: tuple[str, ...]) -> Capabilities:
    more = tuple(name if name.startswith("CAP_") else f"CAP_{name}" for name in names)
    return replace(
        own, bounding=own.bounding + more, effective=own.effective + more, permitted=own.permitted + more
    )  # fmt: skip
