"""The kernel's files: written with one write(2) per value, read with one read(2), and the errors that come of it."""

from __future__ import annotations

import errno
import os

from containerkit.errors import ContainerkitError, InvalidArgument, NotFound, PermissionDenied, RuntimeFailure

_SIZE = 65536


class Files:
    """Writes into the files of one directory. The last file stays open: a list of device rules is written without
    opening one file a dozen times. A context manager."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._name = ""
        self._descriptor = -1

    def __enter__(self) -> Files:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def write(self, name: str, value: str) -> None:
        """One value into one file; as :func:`write`."""
        if name != self._name:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._name, self._descriptor = "", -1
            self._descriptor = os.open(f"{self.directory}/{name}", os.O_WRONLY | os.O_CLOEXEC)
            self._name = name
        os.write(self._descriptor, value.encode())


def write(path: str, value: str) -> None:
    """One value into one file.

    Raises:
        OSError: the kernel's errno, with the path.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    except OSError as problem:
        problem.filename = path
        raise
    finally:
        os.close(descriptor)


def read(path: str) -> bytes:
    """The whole of a file of at most 64 KiB.

    Raises:
        OSError: the kernel's errno, with the path.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _SIZE)
    except OSError as problem:
        problem.filename = path
        raise
    finally:
        os.close(descriptor)


def error(problem: OSError, subject: str) -> ContainerkitError:
    """The member of our tree that a refusal of the kernel stands for; ``subject`` comes first in the message."""
    number = problem.errno or 0
    message = f"{subject}: {os.strerror(number).lower()}"
    if number in (errno.EINVAL, errno.ERANGE, errno.EOVERFLOW, errno.ENOSPC):
        return InvalidArgument(message, errno=number)
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PermissionDenied(message, errno=number)
    if number in (errno.ENOENT, errno.ENODEV):
        return NotFound(message, errno=number)
    return RuntimeFailure(message, errno=number)
