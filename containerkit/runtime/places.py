"""Operations that make files in the root: devices, the terminal, the working directory.

As those of :mod:`~containerkit.runtime.mounting` they run before pivot_root and resolve inside the root file system.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import termios

from containerkit.linux import mounts as m
from containerkit.runtime import messages
from containerkit.runtime.operation import Context, Operation, fd_path
from containerkit.values import frozen

TIOCGPTPEER, TIOCSPTLCK = 0x5441, 0x40045431


@frozen
class CreateDevice(Operation):
    """A device node, or a bind of the host's where mknod(2) is not allowed."""

    CALLS = ("openat2", "mknodat")

    path: str
    type: str
    major: int
    minor: int
    mode: int
    uid: int = 0
    gid: int = 0
    bind: bool = False

    def describe(self) -> str:
        return f"{'bind' if self.bind else 'mknod'} {self.path} ({self.type} {self.major}:{self.minor})"

    def calls(self) -> tuple[str, ...]:
        return ("openat2", "mount") if self.bind else self.CALLS

    def execute(self, context: Context) -> None:
        if self.bind:
            target = context.target(self.path, directory=False)
            m.mount(self.path, fd_path(target), "", m.MS_BIND)
            os.close(target)
            return
        kind = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}[self.type]
        directory, name = os.path.split(self.path)
        parent = context.target(directory)
        try:
            os.mknod(name, kind | self.mode, os.makedev(self.major, self.minor), dir_fd=parent)
            os.chmod(f"{fd_path(parent)}/{name}", self.mode)
            if self.uid or self.gid:
                os.chown(name, self.uid, self.gid, dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            pass
        finally:
            os.close(parent)


@frozen
class LinkDevices(Operation):
    """``/dev/fd``, ``/dev/stdin``, … and ``/dev/ptmx``, which the specification asks for."""

    CALLS = ("openat2", "symlinkat")

    links: tuple[tuple[str, str], ...] = (
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
        ("pts/ptmx", "ptmx"),
    )

    def describe(self) -> str:
        return "symlink /dev/" + ", ".join(name for _, name in self.links)

    def execute(self, context: Context) -> None:
        parent = context.target("/dev")
        for target, name in self.links:
            try:
                os.symlink(target, name, dir_fd=parent)
            except FileExistsError:
                pass
        os.close(parent)


@frozen
class MakeWorkingDirectory(Operation):
    """The working directory, where the image has none: what people expect of WORKDIR."""

    CALLS = ("openat2", "mkdirat")

    path: str

    def describe(self) -> str:
        return f"mkdir {self.path} if absent"

    def execute(self, context: Context) -> None:
        os.close(context.target(self.path))


@frozen
class OpenTerminal(Operation):
    """A terminal of the container's own devpts; its master goes to the parent.

    ``columns`` and ``rows`` in characters, 0 for unset; ``console``: it is the container's, and /dev/console too.
    """

    CALLS = ("openat2", "ioctl", "mount")

    columns: int
    rows: int
    console: bool

    def describe(self) -> str:
        return "open a terminal" + (": /dev/console" if self.console else "")

    def execute(self, context: Context) -> None:
        master = m.openat2(context.root, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
        # TIOCGPTPEER opens the other end without a path that could be something else by now.
        context.terminal = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        if self.rows or self.columns:
            termios.tcsetwinsize(master, (self.rows, self.columns))
        if self.console:
            console = context.target("/dev/console", directory=False)
            m.mount(fd_path(context.terminal), fd_path(console), "", m.MS_BIND)
            os.close(console)
        messages.send_descriptor(context.channel, "console", master)
        os.close(master)
