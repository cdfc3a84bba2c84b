"""One more process in a running container: what it shall be, and running one to its end."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack

from containerkit.errors import InvalidArgument, Timeout
from containerkit.oci.runtime_spec import Process, Spec
from containerkit.options import Command, environment
from containerkit.options import command as split_command
from containerkit.results import Result
from containerkit.store.containers import ContainerRecord
from containerkit.store.store import Store
from containerkit.supervise import processes, reserving
from containerkit.supervise.configure.process import describe_command, exec_process
from containerkit.values import frozen


@frozen
class Execution:
    """A process that is to run in a container: the container's own user, variables and directory, with changes."""

    store: Store
    record: ContainerRecord
    spec: Spec
    process: Process

    @classmethod
    def prepare(
        cls,
        store: Store,
        record: ContainerRecord,
        spec: Spec,
        command: Command,
        *,
        env: Mapping[str, str] | None,
        user: str | int | None,
        workdir: str | None,
        tty: bool,
    ) -> Execution:
        """From the arguments of ``exec`` and ``popen``.

        Raises:
            InvalidArgument: no command, or a working directory that is not absolute.
            RuntimeFailure: a user that there is not.
        """
        arguments = split_command(command)
        if not arguments:
            raise InvalidArgument("command: empty")
        if workdir is not None and not workdir.startswith("/"):
            raise InvalidArgument(f"workdir {workdir!r}: must be an absolute path")
        root = f"/proc/{record.pid}/root"
        who = None if user is None else reserving.identity_in([root], str(user), record.name)
        process = exec_process(spec, arguments, who, environment(env or {}), workdir or "", tty)
        return cls(store, record, spec, process)

    def open(self, streams: tuple[int, int, int]) -> processes.Session:
        """Start it with these descriptors for its input, output and error; they stay the caller's."""
        return processes.open_session(self.store, self.record, self.spec, self.process, streams)

    def run(self, input: bytes | str | None, timeout: float | None) -> Result:
        """Run it to its end.

        Args:
            input: what it reads.
            timeout: seconds; then it is killed, with everything it started.

        Raises:
            Timeout: time was up; ``result`` has the output so far.
        """
        began = time.monotonic()
        with ExitStack() as stack:
            session, outputs = self._open_with_pipes(input)
            stack.callback(session.close)
            exited, output = processes.collect(session, outputs, timeout)
        arguments = self.process.args
        code, oom_killed = (-1, False) if exited is None else (exited.exit_code, exited.oom_killed)
        result = Result(code, time.monotonic() - began, oom_killed, arguments, output)
        if exited is None:
            what = describe_command(arguments)
            raise Timeout(
                f"container {self.record.name}: {what}: still running after {timeout} s; ended", result=result
            )
        return result

    def _open_with_pipes(self, input: bytes | str | None) -> tuple[processes.Session, dict[int, int]]:
        """The session, and descriptor → stream number of what it writes."""
        with ExitStack() as theirs, ExitStack() as undo:
            stdin = theirs.enter_context(processes.stdin_of(input))
            (out, out_end), (err, err_end) = os.pipe(), os.pipe()
            for descriptor in (out_end, err_end):
                theirs.callback(os.close, descriptor)
            for descriptor in (out, err):
                undo.callback(os.close, descriptor)
            session = self.open((stdin, out_end, err_end))
            undo.pop_all()
        return session, {out: 1, err: 2}
