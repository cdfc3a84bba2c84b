"""What happens to a container: create, start, run, kill, delete, pause, resume, update."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence

from containerkit.errors import ContainerkitError, InvalidArgument, InvalidState, NotFound
from containerkit.linux import process
from containerkit.linux.cgroups import Cgroup
from containerkit.linux.confinement import is_rootless
from containerkit.linux.files import short_path
from containerkit.oci.runtime_spec import SPEC_VERSION, Hook, Resources
from containerkit.runtime import bundle, hooks
from containerkit.runtime.command import agents, terminals, waiting
from containerkit.runtime.command.records import Record, Records, with_pid, write_atomically
from containerkit.runtime.create import Child
from containerkit.runtime.create import create as make
from containerkit.values import frozen


@frozen
class Making:
    """How a container is to be made.

    Args:
        bundle: its directory.
        config: the name of the configuration in it, or another path.
        console_socket, pid_file: paths; empty for none.
        preserve: descriptors above 2 that the program gets.
        pivot: whether pivot_root(2) can be used.
    """

    bundle: str
    config: str = "config.json"
    console_socket: str = ""
    pid_file: str = ""
    preserve: int = 0
    pivot: bool = True


def create(records: Records, id: str, making: Making) -> None:
    """A container that waits for ``start``; it does not end with this process.

    Raises:
        ContainerkitError: it could not be made; nothing is left of it.
    """
    with _made(records, id, making, detaches=True) as (record, child):
        _write_pid(making, record)
        child.detach()
    os.close(child.pidfd)


@contextlib.contextmanager
def _made(records: Records, id: str, making: Making, *, detaches: bool) -> Iterator[tuple[Record, Child]]:
    """A container that is ready to start; gone again when what is done with it fails."""
    records.directory(id)  # whether that can be an id, before anything else
    path = os.path.abspath(making.bundle)
    spec = bundle.load(path, config=making.config, cgroup="" if is_rootless() else f"/containerkit-{id}")
    terminals.check(spec.process, making.console_socket, detaches)
    _check_descriptors(making.preserve)
    record = records.add(id, path, os.path.join(path, spec.root.path), spec.linux.cgroups_path)
    child: Child | None = None
    try:
        shutil.copyfile(os.path.join(path, making.config), os.path.join(records.directory(id), "config.json"))
        program = bundle.read_filter(path, spec)
        if program:
            bundle.write_filter(records.directory(id), program)
        with contextlib.closing(_listen(records, record)) as listener:
            state = {
                "ociVersion": SPEC_VERSION, "id": id, "bundle": path, "annotations": dict(spec.annotations),
            }  # fmt: skip
            child = make(
                spec, record.rootfs, streams=(0, 1, 2), seccomp_filter=program, state=state,
                listener=listener.fileno(), preserve=making.preserve, pivot=making.pivot,
            )  # fmt: skip
            child.await_ready()
        terminals.hand_over(child, making.console_socket)
        record = with_pid(record, child.pid, dict(spec.annotations))
        child.take_listener = agents.introduce(spec.linux.seccomp, records.state(record), child.pid)
        records.write(record)
        yield record, child
    except BaseException:
        if child is not None:
            child.discard()
        records.remove(record)
        raise


def _check_descriptors(count: int) -> None:
    for descriptor in range(3, 3 + count):
        try:
            os.fstat(descriptor)
        except OSError:
            raise InvalidArgument(f"preserve-fds {count}: descriptor {descriptor} is not open") from None


def _listen(records: Records, record: Record) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    with short_path(records.socket(record)) as address:
        listener.bind(address)
    listener.listen(8)
    return listener


def _write_pid(making: Making, record: Record) -> None:
    if making.pid_file:
        write_atomically(making.pid_file, str(record.pid))


def start(records: Records, id: str) -> list[str]:
    """Let a created container's program run; what went wrong without harm, in words.

    Raises:
        InvalidState: it is not in status created.
        RuntimeFailure: its program could not be executed.
    """
    record = records.read(id)
    records.require(record, "start", "created")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        with short_path(records.socket(record)) as address:
            connection.connect(address)
    except ConnectionRefusedError:
        # The word was said by somebody who was killed before it was written down.
        os.unlink(records.socket(record))
        raise InvalidState(f"container {id}: cannot start: it is {records.status(record)}") from None
    spec = records.spec(record)
    child = Child(record.pid, -1, connection, None)
    child.take_listener = agents.introduce(spec.linux.seccomp, records.state(record), record.pid)
    try:
        child.start()
    finally:
        os.unlink(records.socket(record))
    return _tell_hooks("poststart", spec.hooks.poststart, records.state(record))


def _tell_hooks(kind: str, wanted: Sequence[Hook], state: Mapping[str, object]) -> list[str]:
    """Run hooks whose failure is only told."""
    failures = []
    for hook in wanted:
        try:
            hooks.run(kind, (hook,), state)
        except ContainerkitError as error:
            failures.append(str(error))
    return failures


def run(records: Records, id: str, making: Making, *, detach: bool, keep: bool) -> tuple[int, list[str]]:
    """Create and start in one; in the foreground also wait and delete: its exit code, and what went wrong without harm.

    Args:
        detach: return once it runs.
        keep: do not delete it.
    """
    with contextlib.ExitStack() as foreground:
        with _made(records, id, making, detaches=detach) as (record, child):
            if not detach:
                foreground.enter_context(waiting.passing_on(child.pidfd))
            child.start()
            os.unlink(records.socket(record))
            _write_pid(making, record)
        told = _tell_hooks("poststart", records.spec(record).hooks.poststart, records.state(record))
        if detach:
            os.close(child.pidfd)
            return 0, told
        code = waiting.wait(child)
    if not keep:
        told += delete(records, id, force=True)
    return code, told


def kill(records: Records, id: str, number: int, *, everyone: bool = False) -> None:
    """Send a signal to its init; with ``everyone``, to all its processes.

    Raises:
        InvalidState: it does not run.
    """
    record = records.read(id)
    if not everyone or not record.cgroup:
        records.require(record, "kill", "created", "running", "paused")
    if everyone and record.cgroup:
        for pid in Cgroup(record.cgroup).pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return
    _send(record, number)
    # Without a pid namespace of its own its other processes would go on.
    if number == signal.SIGKILL and record.cgroup and records.spec(record).linux.namespace("pid") is None:
        Cgroup(record.cgroup).kill()


def _send(record: Record, number: int) -> None:
    pidfd = process.pidfd(record.pid, record.started)
    if pidfd is None:
        raise InvalidState(f"container {record.id}: cannot kill: it is stopped")
    try:
        signal.pidfd_send_signal(pidfd, number)
    finally:
        os.close(pidfd)


def delete(records: Records, id: str, *, force: bool = False) -> list[str]:
    """Remove what is left of it; what went wrong without harm, in words.

    Args:
        force: end it first when it runs; one that is not there is no error.

    Raises:
        InvalidState: it runs, and not ``force``.
    """
    try:
        record = records.read(id)
    except NotFound:
        if force:
            return []
        raise
    if not force:
        records.require(record, "delete", "stopped", "created")
    _end(record)
    try:
        spec = records.spec(record)
    except ContainerkitError:
        spec = None  # killed before its configuration was kept
    records.remove(record)
    if spec is None:
        return []
    return _tell_hooks("poststop", spec.hooks.poststop, {**records.state(record), "status": "stopped", "pid": 0})


def _end(record: Record) -> None:
    pidfd = process.pidfd(record.pid, record.started) if record.pid else None
    if pidfd is not None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    if record.cgroup:
        cgroup = Cgroup(record.cgroup)
        cgroup.kill()
        cgroup.delete()
    if pidfd is not None:
        process.readable(pidfd, 10)
        os.close(pidfd)


def pause(records: Records, id: str) -> None:
    """Stop its processes where they are."""
    record = records.read(id)
    records.require(record, "pause", "running", "created")
    _cgroup(record).freeze()


def resume(records: Records, id: str) -> None:
    """Let them go on."""
    record = records.read(id)
    records.require(record, "resume", "paused")
    _cgroup(record).thaw()


def update(records: Records, id: str, resources: Resources) -> None:
    """Other limits, from now on."""
    record = records.read(id)
    records.require(record, "update", "running", "created", "paused")
    _cgroup(record).apply(resources)


def _cgroup(record: Record) -> Cgroup:
    if not record.cgroup:
        raise InvalidState(f"container {record.id}: has no cgroup")
    return Cgroup(record.cgroup)
