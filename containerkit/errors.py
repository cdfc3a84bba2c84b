"""What can go wrong, as one tree.

::

    ContainerkitError
    ├── NotFound             no such image, container, volume, network or file
    ├── AlreadyExists        the name is in use
    ├── InvalidArgument      the caller's value cannot be right (also a ValueError)
    ├── InvalidState         the object cannot do this now (start of a running container)
    ├── PermissionDenied     the kernel or the file system says no, and how to get a yes
    ├── Unsupported          this machine cannot do it, and what it lacks
    ├── Timeout              time was up (also a TimeoutError); carries the output so far
    ├── ProcessFailed        check=True and the exit code is not 0; carries the result
    │   └── OutOfMemory      a function needed more than its memory limit (also a MemoryError)
    ├── MapFailed            a function failed for some inputs of a map; carries the results of the others
    ├── RuntimeFailure       a container or exec could not be started; carries the exit code
    ├── BuildError           a Dockerfile is wrong, or a step of it failed
    ├── RegistryError        a registry refused, or answered nonsense
    └── StorageError         the disk is full, read-only or damaged

Messages are lowercase, without a period, and name the object first:
``container web: image busybox:1 not found locally (pull policy "never")``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from containerkit.builder.report import BuildReport
    from containerkit.dockerfile.problems import Problem
    from containerkit.image import Image
    from containerkit.results import Result


class ContainerkitError(Exception):
    """The root of the tree.

    Args:
        message: what failed, on which object, why, and what to do.
        errno: the kernel's error number where there is one.
        log: the last lines of the container's log where there are some.
    """

    def __init__(self, message: str, *, errno: int | None = None, log: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.errno = errno
        self.log = log

    def __str__(self) -> str:
        return f"{self.message}\nlast log lines:\n{self.log.rstrip()}" if self.log else self.message

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the caller's lines and the message; with ``%xmode Verbose`` those in here, too."""
        from IPython import get_ipython

        formatter = get_ipython().InteractiveTB
        alone, lines = self, self.__traceback__
        if formatter.mode != "Verbose":
            # Without causes: the message says why.
            alone = type(self).__new__(type(self))
            alone.__dict__.update(self.__dict__)
            alone.__suppress_context__ = True
            lines = _lines_of_callers(self.__traceback__)
        rendered: list[str] = formatter.structured_traceback(type(self), alone, lines)
        return rendered


class NotFound(ContainerkitError, LookupError):
    """No object of that name or id."""


class AlreadyExists(ContainerkitError):
    """The name is in use."""


class InvalidArgument(ContainerkitError, ValueError):
    """A value that cannot be right, found before anything was touched."""


class InvalidState(ContainerkitError):
    """The object cannot do this in the state it is in."""


class PermissionDenied(ContainerkitError, PermissionError):
    """The kernel or the file system refused."""


class Unsupported(ContainerkitError):
    """This machine lacks what the call needs."""


class Timeout(ContainerkitError, TimeoutError):
    """Time was up; what had been started was ended. ``result`` holds the output so far."""

    def __init__(self, message: str, *, result: Result | None = None, log: str = "") -> None:
        super().__init__(message, log=log)
        self.result = result


class ProcessFailed(ContainerkitError):
    """The process ended with another exit code than 0. ``result`` holds its output."""

    def __init__(self, message: str, *, result: Result, log: str = "") -> None:
        super().__init__(message, log=log)
        self.result = result


class OutOfMemory(ProcessFailed, MemoryError):
    """The kernel ended it because it needed more than its memory limit."""


class MapFailed(ContainerkitError):
    """A function failed for some of its inputs.

    ``results`` has, in the order of the inputs, what it gave for each, and the exception where it failed.
    """

    def __init__(self, message: str, *, results: Sequence[Any]) -> None:
        super().__init__(message)
        self.results = list(results)


class RuntimeFailure(ContainerkitError):
    """A process could not be started.

    ``exit_code`` is what Docker gives: 127 program absent, 126 not executable,
    125 anything else (user, mount, device, limit).
    """

    def __init__(self, message: str, *, exit_code: int = 125, errno: int | None = None, log: str = "") -> None:
        super().__init__(message, errno=errno, log=log)
        self.exit_code = exit_code


class BuildError(ContainerkitError):
    """A step of a build failed, or its Dockerfile cannot be built: then ``problems`` are all that is wrong with it.

    Of a step: ``exit_code`` is its program's, ``image`` what there was before it (``error.image.run("sh", tty=True)``
    looks around there), ``report`` how the build went until then.
    """

    def __init__(
        self, message: str, *, problems: Sequence[Problem] = (), log: str = "", exit_code: int | None = None,
        image: Image | None = None, report: BuildReport | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message, log=log)
        self.problems = tuple(problems)
        self.exit_code, self.image, self.report = exit_code, image, report


class RegistryError(ContainerkitError):
    """A registry refused or could not be understood."""


class StorageError(ContainerkitError):
    """The store's disk is full, read-only or damaged."""


def _lines_of_callers(lines: TracebackType | None) -> TracebackType | None:
    """A traceback up to where it enters this package; all of one that was not raised in here."""
    here, before = os.path.dirname(__file__) + os.sep, []
    one = lines
    while one is not None and not one.tb_frame.f_code.co_filename.startswith(here):
        before.append(one)
        one = one.tb_next
    found = None
    for one in reversed(before):
        found = TracebackType(found, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return found


def start_exit_code(error: ContainerkitError) -> int:
    """What a command line would exit with, had this kept its program from starting."""
    return error.exit_code if isinstance(error, RuntimeFailure) else 125


def reason(error: OSError) -> str:
    """Why, in the kernel's words, as part of a message."""
    return (error.strerror or str(error)).lower()


def near(word: str, known: Iterable[str]) -> str:
    """Which of those that there are was most likely meant; ``""`` when none is near."""
    import difflib

    return next(iter(difflib.get_close_matches(word[:100], list(known), 1)), "")


def suggestion(word: str, known: Iterable[str], *, before: str = "") -> str:
    """The end of a message: `` (did you mean …?)``, or nothing where nothing known is near."""
    meant = near(word, known)
    return f" (did you mean {before}{meant}?)" if meant else ""


@contextmanager
def about(subject: str) -> Iterator[None]:
    """What the kernel says in the block, as an error about ``subject``; ours stay as they are."""
    try:
        yield
    except OSError as error:
        if isinstance(error, ContainerkitError):
            raise
        raise from_os_error(error, subject) from error


def from_os_error(error: OSError, subject: str) -> ContainerkitError:
    """The member of the tree that an ``OSError`` on ``subject`` (named first in the message) stands for."""
    from errno import EACCES, EDQUOT, EIO, ENOENT, ENOSPC, EPERM, EROFS

    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    # Of a call on a descriptor, that is all the error knows.
    where = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, (str, bytes)) and error.filename else ""
    message = f"{subject}: {reason}{where}"
    kinds: dict[int, type[ContainerkitError]] = {
        ENOENT: NotFound, EACCES: PermissionDenied, EPERM: PermissionDenied,
        EROFS: StorageError, ENOSPC: StorageError, EDQUOT: StorageError, EIO: StorageError,
    }  # fmt: skip
    kind = kinds.get(error.errno or 0, ContainerkitError)
    hints = {ENOSPC: ": free some space, or choose another CONTAINERKIT_ROOT",
             EROFS: ": choose a CONTAINERKIT_ROOT that can be written"}  # fmt: skip
    return kind(message + hints.get(error.errno or 0, ""), errno=error.errno)
