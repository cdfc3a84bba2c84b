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
    ├── RuntimeFailure       a container or exec could not be started; carries the exit code
    ├── BuildError           a Dockerfile step failed
    ├── RegistryError        a registry refused, or answered nonsense
    └── StorageError         the disk is full, read-only or damaged

Messages are lowercase, without a period, and name the object first:
``container web: image busybox:1 not found locally (pull policy "never")``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


class RuntimeFailure(ContainerkitError):
    """A process could not be started.

    ``exit_code`` is what Docker gives: 127 program absent, 126 not executable,
    125 anything else (user, mount, device, limit).
    """

    def __init__(self, message: str, *, exit_code: int = 125, errno: int | None = None, log: str = "") -> None:
        super().__init__(message, errno=errno, log=log)
        self.exit_code = exit_code


class BuildError(ContainerkitError):
    """A step of a build failed."""


class RegistryError(ContainerkitError):
    """A registry refused or could not be understood."""


class StorageError(ContainerkitError):
    """The store's disk is full, read-only or damaged."""


def start_exit_code(error: ContainerkitError) -> int:
    """What a command line would exit with, had this kept its program from starting."""
    return error.exit_code if isinstance(error, RuntimeFailure) else 125


def reason(error: OSError) -> str:
    """Why, in the kernel's words, as part of a message."""
    return (error.strerror or str(error)).lower()


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
