"""A process in a container, with the interface of ``subprocess.Popen``."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

from containerkit.errors import InvalidArgument, Timeout
from containerkit.options import Duration, duration, signal_number
from containerkit.results import Result
from containerkit.supervise import processes
from containerkit.supervise.output import attachments
from containerkit.supervise.output.collected import Output

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from containerkit.running.execution import Execution


class Process:
    """A process with its streams: one that ``popen`` started, or a container that ``attach`` was called for.

    ``stdin``, ``stdout`` and ``stderr`` are binary, unbuffered files; None where there is none (with a terminal, errors
    are in ``stdout``). Usable as a context manager. :meth:`close` ends a process that was started, with everything it
    started, and lets a container that was attached to go on.
    """

    def __init__(
        self,
        session: processes.Session | attachments.Attachment,
        stdin: IO[bytes] | None,
        stdout: IO[bytes] | None,
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
        with processes.stdin_of(None) as null:
            session = execution.open((null, null, null))
        assert session.terminal is not None
        stdin = os.fdopen(os.dup(session.terminal), "wb", buffering=0)
        stdout = _TerminalReader(os.dup(session.terminal))
        return cls(session, stdin, stdout, None, execution.process.args)

    @classmethod
    def _attached(
        cls, attached: attachments.Attachment, *, stdin: bool, streams: tuple[bool, bool], detach_keys: bytes
    ) -> Process:
        readers = iter([os.fdopen(descriptor, "rb", buffering=0) for descriptor in attached.outputs])
        stdout, stderr = (next(readers) if wanted else None for wanted in streams)
        process = cls(attached, None, stdout, stderr, attached.record.command)
        theirs = attached.take_input()
        if stdin and theirs is not None:
            keys = detach_keys if attached.terminal is not None else b""
            process.stdin = _AttachedInput(theirs, attached.close_input, keys, process.close)
        elif theirs is not None:
            os.close(theirs)
        return process

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
            Timeout: not ended in time; this has been closed.
        """
        import selectors
        import time

        seconds = None if timeout is None else duration(timeout, "timeout")
        deadline = None if seconds is None else time.monotonic() + seconds
        output = Output()
        rest = memoryview(input or b"")
        with selectors.DefaultSelector() as selector:
            if rest and self.stdin is not None:
                selector.register(self.stdin, selectors.EVENT_WRITE)
            elif self.stdin is not None:
                self.stdin.close()
            for file in filter(None, (self.stdout, self.stderr)):
                selector.register(file, selectors.EVENT_READ)
            while selector.get_map():
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                ready = selector.select(left)
                if not ready and left is not None:
                    self.close()
                    raise Timeout(
                        f"{self._session.subject}: {' '.join(self.args)}: still running after {seconds} s",
                        result=Result(-1, seconds or 0.0, False, self.args, output),
                    )
                for key, _ in ready:
                    if self.stdin is not None and key.fileobj is self.stdin:
                        rest = self._feed(self.stdin, rest)
                        if not rest:
                            selector.unregister(self.stdin)
                            self.stdin.close()
                    elif data := key.fileobj.read(65536):  # type: ignore[union-attr]  # one of our files
                        output.add(1 if key.fileobj is self.stdout else 2, data)
                    else:
                        selector.unregister(key.fileobj)
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        self.close()
        result = Result(self.returncode or 0, chunks=output)
        return result.stdout_bytes, result.stderr_bytes

    @staticmethod
    def _feed(stdin: IO[bytes], rest: memoryview) -> memoryview:
        try:
            return rest[os.write(stdin.fileno(), rest[:4096]) :]
        except BrokenPipeError:
            return rest[:0]  # it does not want to read any more

    def close(self) -> None:
        """End the process, with everything it started, or detach from the container; and close the streams."""
        if self.poll() is None:
            self._session.end()
        for file in (self.stdin, self.stdout, self.stderr):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
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

    def readall(self) -> bytes:
        # FileIO's own would throw away, at the error that is the end, what it has read before.
        return b"".join(iter(lambda: self.read(65536) or b"", b""))

    def read(self, size: int | None = -1) -> bytes | None:  # type: ignore[override]  # ours may be None as FileIO's is
        if size is None or size < 0:
            return self.readall()
        try:
            return super().read(size)
        except OSError as error:
            if error.errno == errno.EIO:
                return b""
            raise


class _AttachedInput(io.FileIO):
    """A container's input: to close it closes that of the container, and a sequence of keys detaches."""

    def __init__(
        self, descriptor: int, close_input: Callable[[], None], keys: bytes, detach: Callable[[], None]
    ) -> None:
        super().__init__(descriptor, "wb")
        self._close_input, self._keys, self._detach = close_input, keys, detach
        self._typed = b""

    def write(self, data: ReadableBuffer, /) -> int:
        given = bytes(data)
        if not self._keys:
            return super().write(given)
        text = self._typed + given
        before, found, _ = text.partition(self._keys)
        # A beginning of the sequence at the end is held back: the rest of it may come.
        held = next((n for n in range(len(self._keys) - 1, 0, -1) if not found and text.endswith(self._keys[:n])), 0)
        self._typed = before[len(before) - held :] if held else b""
        rest = before[: len(before) - held]
        while rest:
            rest = rest[super().write(rest) :]
        if found:
            self._detach()
        return len(given)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._close_input()
