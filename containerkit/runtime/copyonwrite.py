"""A directory of the host that a container writes to, and that stays as it is: overlayfs over it, kept in memory."""

from __future__ import annotations

import contextlib
import errno
import os

from containerkit.linux import mounts as m
from containerkit.runtime.mount_options import MountOptions
from containerkit.runtime.operation import Context, Operation, fd_path
from containerkit.values import frozen


@frozen
class MountCopyOnWrite(Operation):
    """``source`` under a writable directory, which is in a tmpfs of its own: below the overlay, out of sight.

    What is mounted below the source is not there. That the writable directory is on no disk has a reason: on the
    source's own it may be below the source, and overlayfs refuses that (ELOOP).
    """

    destination: str
    source: str
    options: MountOptions

    def describe(self) -> str:
        return f"mount overlay: {self.source} on {self.destination}, what is written in memory"

    def execute(self, context: Context) -> None:
        try:
            self._mount(context)
        except OSError as error:
            raise OSError(error.errno, self._reason(error), self.destination) from error

    def _reason(self, error: OSError) -> str:
        if error.errno == errno.EINVAL:
            return f"{self.source}: its file system does not take part, or (for ordinary users) has mounts below"
        return os.strerror(error.errno or 0)

    def _mount(self, context: Context) -> None:
        with contextlib.ExitStack() as stack:
            place = context.target(self.destination)
            stack.callback(os.close, place)
            m.mount("tmpfs", fd_path(place), "tmpfs", m.MS_NOSUID | m.MS_NODEV, "mode=755")
            memory = context.target(self.destination)
            stack.callback(os.close, memory)
            source = os.open(self.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, source)
            for name in ("upper", "work"):
                os.mkdir(name, dir_fd=memory)
            _copy_looks(source, memory)
            upper, work = (f"{fd_path(memory)}/{name}" for name in ("upper", "work"))
            given = [option for option in self.options.data.split(",") if option]
            options = ",".join((f"lowerdir={fd_path(source)}", f"upperdir={upper}", f"workdir={work}", *given))
            m.mount("overlay", fd_path(memory), "overlay", self.options.flags, options)


def _copy_looks(source: int, memory: int) -> None:
    """A merged directory is as its uppermost one."""
    found = os.stat(fd_path(source))
    with contextlib.suppress(OSError):  # an owner whom the user namespace does not have
        os.chown("upper", found.st_uid, found.st_gid, dir_fd=memory)
    os.chmod("upper", found.st_mode & 0o7777, dir_fd=memory)
