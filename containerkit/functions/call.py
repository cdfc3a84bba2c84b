"""One call: its exchange, its container, and what became of it."""

from __future__ import annotations

import codecs
import contextlib
import os
import secrets
import shutil
import socket
import stat
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from containerkit.configuration import Configuration
from containerkit.errors import (
    ContainerkitError,
    OutOfMemory,
    ProcessFailed,
    RuntimeFailure,
    Timeout,
    Unsupported,
    from_os_error,
)
from containerkit.functions import inside, sending
from containerkit.linux import process
from containerkit.options import LogOptions, Mount, Settings
from containerkit.results import Chunk, Result
from containerkit.store.images import ImageRecord
from containerkit.store.store import Store
from containerkit.store.workspace import Workspace
from containerkit.supervise import ending, launch, messages, processes
from containerkit.supervise.output.collected import Output
from containerkit.supervise.output.logfiles import Reader
from containerkit.values import frozen

#: Where the exchange is in the container.
_EXCHANGE = "/run/containerkit"


class InContainer(Exception):
    """The traceback of an exception that was raised in a container, as its cause."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class Outcome(NamedTuple):
    """What became of a call: a value, or an error."""

    value: Any = None
    error: Exception | None = None


@frozen
class Place:
    """Where calls are made.

    Args:
        reference: what the user calls the image.
        settings: of the containers; their mounts are those of the view and the user's.
        python: the interpreter there.
        path: where it finds modules; empty for its own places and what is sent.
        links: as for ``launch.run``.
    """

    store: Store
    configuration: Configuration
    image: ImageRecord
    reference: str
    settings: Settings
    python: str = "python3"
    path: tuple[str, ...] = ()
    links: Mapping[str, str] | None = None

    @property
    def has_modules(self) -> bool:
        """Whether the caller's modules are there, too."""
        return bool(self.path)


class Call:
    """A function at work in a container; see :meth:`start`. :meth:`close` ends it, and leaves nothing."""

    def __init__(self, place: Place, function: Callable[..., Any], timeout: float | None) -> None:
        self._place, self._function, self._timeout = place, function, timeout
        self._name = getattr(function, "__name__", repr(function))
        self._began = time.monotonic()
        self._stack = contextlib.ExitStack()
        self._exchange = ""
        self._command: tuple[str, ...] = ()
        self._log = -1
        self._is_late = self._is_orphan = False
        self._ended: messages.Exited | messages.Failed | None = None
        self._decoders = {number: codecs.getincrementaldecoder("utf-8")("replace") for number in (1, 2)}

    def start(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
        """Send the call off; returns at once.

        Raises:
            InvalidArgument: function or arguments cannot be sent.
            RuntimeFailure: there is something that the container cannot be made with.
            StorageError: the disk is full; another ContainerkitError for what else the kernel refuses.
        """
        try:
            self._write(args, kwargs)
            self._launch()
        except BaseException as error:
            self.close()
            if isinstance(error, ContainerkitError):
                self._rename(error)
            elif isinstance(error, OSError):
                raise from_os_error(error, f"function {self._name}") from error
            raise
        return self

    def _write(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        space = self._stack.enter_context(Workspace(self._place.store.paths.tmp))
        self._exchange = f"{space.path}/exchange"
        os.mkdir(self._exchange)
        os.chmod(self._exchange, 0o777)  # whoever the container's user is; the way here is closed to others
        shutil.copyfile(inside.__file__, f"{self._exchange}/inside.py")
        with open(f"{self._exchange}/{inside.ABOUT}", "w", encoding="utf-8") as file:
            file.write("\n".join((sending.version(), *self._place.path)))
        path = f"{self._exchange}/{inside.CALL}"
        sending.write_call(path, self._name, self._function, args, kwargs, whole=not self._place.has_modules)

    def _launch(self) -> None:
        place = self._place
        self._container = f"function-{_plain(self._name)}-{secrets.token_hex(6)}"
        settings = replace(
            place.settings, name=self._container, remove=True, entrypoint=(place.python,),
            command=(f"{_EXCHANGE}/inside.py",), mounts=(*place.settings.mounts, *self._mounts()),
            log_options=LogOptions(max_size=-1, max_file=1),  # what is shown is read from it
        )  # fmt: skip
        null = self._stack.enter_context(processes.stdin_of(None))
        with launch.whole(place.store) as id:
            running = launch.run(
                place.store, place.configuration, place.image, place.reference, settings, null, id=id, with_log=True,
                tied=True, links=place.links,
            )  # fmt: skip
        self._channel = running.channel
        self._stack.callback(self._await_monitor)
        self._id, self._command, self._log = running.record.id, running.record.command, running.log
        self._reader = Reader(running.log)

    def _mounts(self) -> list[Mount]:
        found = [Mount(_EXCHANGE, self._exchange, "bind")]
        if not self._place.has_modules:
            target = f"{inside.LIBRARY}/cloudpickle"
            os.makedirs(f"{self._exchange}/{target}")
            found.append(Mount(f"{_EXCHANGE}/{target}", sending.library(), "bind", read_only=True))
        return found

    # -- while it runs -----------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """A descriptor: readable when it may be over."""
        return self._channel.fileno()

    @property
    def left(self) -> float | None:
        """Seconds that it still has."""
        return None if self._timeout is None else max(self._began + self._timeout - time.monotonic(), 0.0)

    def step(self) -> bool:
        """Take what has come, and show its output. Whether it is over."""
        while self._ended is None and process.readable(self._channel.fileno(), 0):
            self._take(messages.receive_reply(self._channel)[0])
        for chunk in self._reader:
            self._show(chunk)
        return self._ended is not None or self.left == 0

    def _take(self, reply: messages.Reply | None) -> None:
        if isinstance(reply, (messages.Exited, messages.Failed)):
            self._ended = reply
        elif reply is None:  # its monitor was killed
            self._ended, self._is_orphan = messages.Exited(137, time.monotonic() - self._began), True

    def _show(self, chunk: Chunk) -> None:
        stream = sys.stdout if chunk.stream == 1 else sys.stderr
        stream.write(self._decoders[chunk.stream].decode(chunk.data))
        stream.flush()

    # -- the end -----------------------------------------------------------------------------------------------------

    def outcome(self) -> Outcome:
        """What became of it. Its container is gone then, as is everything that it was made with."""
        try:
            self._is_late = self._ended is None
            self.hang_up()
            if self._is_late:
                process.readable(self._channel.fileno(), None)  # until nothing writes into its exchange any more
            if self._is_orphan:
                ending.current(self._place.store, self._id)  # ends and removes what its monitor would have
            return self._outcome()
        except ContainerkitError as error:
            return Outcome(error=error)
        finally:
            self.close()

    def close(self) -> None:
        """End it, if it is not over; remove what there is. Idempotent."""
        try:
            self._stack.close()
        finally:
            if self._log >= 0:
                os.close(self._log)
                self._log = -1

    def hang_up(self) -> None:
        """Its monitor ends and removes the container, beside us."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)

    def _await_monitor(self) -> None:
        self.hang_up()
        with self._channel, contextlib.suppress(OSError):
            while self._channel.recv(1 << 16):
                pass

    def _outcome(self) -> Outcome:
        if isinstance(self._ended, messages.Failed):
            raise self._not_started(self._ended)
        if self._is_late:
            text = f"function {self._name}: still running after {self._timeout:g} s; ended"
            raise Timeout(text, result=self._result())
        if (version := self._text(inside.PROBLEM)) is not None:
            raise Unsupported(
                f"function {self._name}: image {self._place.reference} has Python {version}, and this is Python "
                f"{sending.version()}: their code differs (take an image with Python {sending.version()})"
            )
        found = self._open(inside.RESULT)
        if found is None:
            raise self._without_result()
        try:
            received = inside.read(found)
        except Exception as error:
            text = f"function {self._name}: what it gave cannot be read here: {error}"
            raise ProcessFailed(text, result=self._result()) from error
        finally:
            os.close(found)
        return self._received(*received)

    def _received(self, is_value: bool, found: Any, trace: Any = None) -> Outcome:
        if is_value:
            return Outcome(found)
        text = trace if isinstance(trace, str) else "".join(trace.format())
        if not isinstance(found, Exception):
            found = ProcessFailed(f"function {self._name}: {text.splitlines()[-1]}", result=self._result(), log=text)
        found.__cause__ = InContainer(text)
        return Outcome(error=found)

    def _without_result(self) -> ProcessFailed:
        result = self._result()
        if result.oom_killed:
            limit = self._place.settings.memory
            had = f"the limit is {limit / 2**20:g} MiB (memory=… sets it)" if limit else "the machine has no more"
            return OutOfMemory(f"function {self._name}: out of memory: {had}", result=result, log=result.tail())
        text = f"function {self._name}: ended without a result (exit code {result.exit_code})"
        return ProcessFailed(text, result=result, log=result.tail())

    def _not_started(self, failed: messages.Failed) -> ContainerkitError:
        error = failed.error(f"function {self._name}")
        if failed.exit_code == 127:
            return RuntimeFailure(
                f"function {self._name}: image {self._place.reference} has no {self._place.python}", exit_code=127
            )
        return error

    def _result(self) -> Result:
        last = self._ended if isinstance(self._ended, messages.Exited) else None
        output = Output.of_log(self._log)
        self._log = -1  # it is the output's
        if last is None:
            return Result(-1, time.monotonic() - self._began, False, self._command, output)
        return Result(last.exit_code, last.duration, last.oom_killed, self._command, output)

    def _open(self, name: str) -> int | None:
        """A file that the container may have made: it can be anything."""
        try:
            found = os.open(f"{self._exchange}/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        if stat.S_ISREG(os.fstat(found).st_mode):
            return found
        os.close(found)
        return None

    def _text(self, name: str) -> str | None:
        found = self._open(name)
        if found is None:
            return None
        with os.fdopen(found, encoding="utf-8", errors="replace") as file:
            return file.read(80)

    def _rename(self, error: ContainerkitError) -> None:
        """Nobody knows the container, and it is gone."""
        if "_container" in self.__dict__:
            error.message = error.message.replace(f"container {self._container}", f"function {self._name}", 1)


def _plain(name: str) -> str:
    """What a container can be called."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name).strip("-")[:40] or "lambda"
