"""A process in a container, with the interface of ``subprocess.Popen``."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from typing import IO, TYPE_CHECKING

from containerkit.errors import InvalidArgument, Timeout
from containerkit.options import Duration, duration, signal_number
from containerkit.results import Result
from containerkit.supervise import sessions
from containerkit.supervise.output import Output

if TYPE_CHECKING:
    from containerkit.execution import Execution


class Process:
    """A started process.

    ``stdin``, ``stdout`` and ``stderr`` are binary, unbuffered files; with a terminal ``stderr`` is None. Usable as a
    context manager; :meth:`close` ends the process, with everything it started.
    """

    def __init__(
        self,
        session: sessions.Session,
        stdin: IO[bytes],
        stdout: IO[bytes],
        stderr: IO[bytes] | None,
        args: tuple[str, ...],
    ) -> None:
        self._session = session
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.args = args

    @classmethod
    def _start(cls, execution: Execution) -> Process:
        if execution.process.terminal:
            return cls._start_terminal(execution)
        with contextlib.ExitStack() as undo:
            pipes = []
            for _ in range(3):
                pair = os.pipe()
                pipes.append(pair)
                for descriptor in pair:
                    undo.callback(os.close, descriptor)
            (in_theirs, in_ours), (out_ours, out_theirs), (err_ours, err_theirs) = pipes
            session = execution.open((in_theirs, out_theirs, err_theirs))
            ours = (in_ours, out_ours, err_ours)
            stdin, stdout, stderr = (
                os.fdopen(os.dup(d), mode, buffering=0) for d, mode in zip(ours, ("wb", "rb", "rb"), strict=True)
            )
        return cls(session, stdin, stdout, stderr, execution.process.args)

    @classmethod
    def _start_terminal(cls, execution: Execution) -> Process:
        null = sessions.stdin_of(None)
        try:
            session = execution.open((null, null, null))
        finally:
            os.close(null)
        assert session.terminal is not None
        stdin = os.fdopen(os.dup(session.terminal), "wb", buffering=0)
        stdout = _TerminalReader(os.dup(session.terminal))
        return cls(session, stdin, stdout, None, execution.process.args)

    @property
    def pid(self) -> int:
        """Its pid on the host."""
        return self._session.pid

    @property
    def returncode(self) -> int | None:
        """The exit code (128+n for signal n), None while it runs."""
        return None if self._session.exited is None else self._session.exited.exit_code

    def poll(self) -> int | None:
        """The exit code when it has ended, else None; does not wait."""
        self._session.wait(0)
        return self.returncode

    def wait(self, timeout: Duration | None = None) -> int:
        """Wait for its end; the exit code.

        Raises:
            Timeout: not ended after ``timeout`` seconds; it goes on.
        """
        seconds = None if timeout is None else duration(timeout, "timeout")
        exited = self._session.wait(seconds)
        if exited is None:
            raise Timeout(f"{self._session.subject}: {' '.join(self.args)}: still running after {seconds} s")
        return exited.exit_code

    def send_signal(self, signal: int | str) -> None:
        """Send a signal to the process itself: its number, or a name as ``"TERM"``.

        Raises:
            InvalidArgument: there is no such signal.
        """
        self._session.signal(signal_number(signal))

    def terminate(self) -> None:
        """SIGTERM."""
        self._session.signal(15)

    def kill(self) -> None:
        """End it, with everything it started."""
        self._session.signal(9, tree=True)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size in characters; what is written afterwards is read at that size.

        Raises:
            InvalidArgument: a size that no terminal has.
            InvalidState: the process has no terminal.
        """
        if not (0 < rows < 65536 and 0 < columns < 65536):
            raise InvalidArgument(f"resize: {rows} rows, {columns} columns: must be from 1 to 65535")
        self._session.resize(rows, columns)

    def communicate(self, input: bytes | None = None, timeout: Duration | None = None) -> tuple[bytes, bytes]:
        """Write ``input``, read both streams to their end, wait: (stdout, stderr).

        Raises:
            Timeout: not ended in time; it has been killed.
        """
        import selectors
        import time

        seconds = None if timeout is None else duration(timeout, "timeout")
        deadline = None if seconds is None else time.monotonic() + seconds
        output = Output()
        rest = memoryview(input or b"")
        with selectors.DefaultSelector() as selector:
            if rest:
                selector.register(self.stdin, selectors.EVENT_WRITE)
            else:
                self.stdin.close()
            for file in filter(None, (self.stdout, self.stderr)):
                selector.register(file, selectors.EVENT_READ)
            while selector.get_map():
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                ready = selector.select(left)
                if not ready and left is not None:
                    self.kill()
                    raise Timeout(
                        f"{self._session.subject}: {' '.join(self.args)}: still running after {seconds} s; ended",
                        result=Result(-1, seconds or 0.0, False, self.args, output),
                    )
                for key, _ in ready:
                    if key.fileobj is self.stdin:
                        rest = self._feed(rest)
                        if not rest:
                            selector.unregister(self.stdin)
                            self.stdin.close()
                    elif data := key.fileobj.read(65536):  # type: ignore[union-attr]  # one of our files
                        output.add(1 if key.fileobj is self.stdout else 2, data)
                    else:
                        selector.unregister(key.fileobj)
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        result = Result(self.returncode or 0, chunks=output)
        return result.stdout_bytes, result.stderr_bytes

    def _feed(self, rest: memoryview) -> memoryview:
        try:
            return rest[os.write(self.stdin.fileno(), rest[:4096]) :]
        except BrokenPipeError:
            return rest[:0]  # it does not want to read any more

    def close(self) -> None:
        """Close the streams and end the process, with everything it started."""
        for file in (self.stdin, self.stdout, self.stderr):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
        if self.poll() is None:
            self.kill()
            self._session.wait(10)
        self._session.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "running" if self.poll() is None else f"exited ({self.returncode})"
        return f"Process({' '.join(self.args)!r}, {state})"


class _TerminalReader(io.FileIO):
    """A terminal's master: EIO is how Linux says that the other end is closed, and an end of file is what it means."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "rb")

    def readinto(self, buffer: object) -> int | None:
        try:
            return super().readinto(buffer)  # type: ignore[arg-type]  # the same
        except OSError as error:
            if error.errno == errno.EIO:
                return 0
            raise

    def read(self, size: int | None = -1) -> bytes | None:  # type: ignore[override]  # ours may be None as FileIO's is
        try:
            return super().read(-1 if size is None else size)
        except OSError as error:
            if error.errno == errno.EIO:
                return b""
            raise
