"""Operations that turn the init into the user's program: it is found, waited for, and executed."""

from __future__ import annotations

import errno
import os
import signal
import socket

from containerkit.linux import process
from containerkit.linux.takeover import execute
from containerkit.runtime import messages
from containerkit.runtime.operation import Context, Operation
from containerkit.values import frozen


class StartFailure(Exception):
    """The user's program cannot be executed; ``exit_code`` is the shell's: 127 absent, 126 not executable."""

    def __init__(self, text: str, exit_code: int, errno: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code
        self.errno = errno


@frozen
class AwaitStart(Operation):
    """Everything is ready: report, and wait for the word to go."""

    CALLS = ("write", "read")

    def describe(self) -> str:
        return "ready: wait for start"

    def execute(self, context: Context) -> None:
        messages.send(context.channel, "ready")
        word = os.read(context.channel, 64)
        if word == messages.DETACHED:
            word = self._listen(context)
        if word != messages.START:
            # The parent is gone; nobody knows of this process.
            os._exit(1)

    def _listen(self, context: Context) -> bytes:
        # Whoever connects is who goes on with the conversation; one that says nothing is followed by the next.
        listener = socket.socket(fileno=context.listener)
        word = b""
        while not word:
            connection, _ = listener.accept()
            os.dup2(connection.fileno(), context.channel, inheritable=False)
            connection.close()
            word = os.read(context.channel, 64)
        listener.close()
        context.listener = -1
        return word


@frozen
class FindProgram(Operation):
    """The program is there: known before the container counts as created."""

    CALLS = ("newfstatat", "access")

    program: str
    env: tuple[str, ...]
    cwd: str

    def describe(self) -> str:
        return f"find {self.program}"

    def execute(self, context: Context) -> None:
        paths = [os.path.join(self.cwd, path) for path in candidates(self.program, variables(self.env))]
        there = [path for path in paths if os.path.lexists(path)]
        if not there:
            raise absent(self.program)
        # Only what nobody could execute: of the rest execve(2) knows best, as the user that it will be.
        if not any(os.access(path, os.X_OK) and not os.path.isdir(path) for path in there):
            raise not_executable(self.program, errno.EACCES)


@frozen
class Reap(Operation):
    """Stay as pid 1 and go on in a child: pass signals on to it, reap whatever is orphaned, and end as it ends.

    To a pid 1 the kernel delivers only signals that it has a handler for, and nobody else reaps a container's orphans.
    """

    CALLS = ("clone", "rt_sigtimedwait", "wait4")

    terminal: bool = False

    def describe(self) -> str:
        return "fork: pid 1 stays to reap and to pass signals on"

    def binds(self) -> bool:
        return True  # pid 1 goes on in the understudy's memory

    def execute(self, context: Context) -> None:
        # Blocked before there is a child, so that none is lost; the child unblocks them all before its execve.
        signals = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        child = os.fork()
        if child == 0:
            self._lead()
            return
        process.set_title("containerkit-init")
        process.close_from(0)
        while True:
            number = signal.sigwaitinfo(signals).si_signo
            if number == signal.SIGCHLD:
                self._reap(child)
            elif number not in (signal.SIGTTIN, signal.SIGTTOU):
                self._pass_on(child, number)

    def _lead(self) -> None:
        # A group of its own in the terminal's foreground: what is typed there is for it, and not for pid 1 too.
        os.setpgid(0, 0)
        if self.terminal:
            os.tcsetpgrp(0, os.getpid())

    @staticmethod
    def _pass_on(child: int, number: int) -> None:
        try:
            os.kill(child, number)
        except ProcessLookupError:
            pass  # it has just ended

    @staticmethod
    def _reap(child: int) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == child:
                os._exit(process.exit_code(status))
            if pid == 0:
                return


@frozen
class Execute(Operation):
    """execve(2). Returns only by raising; in whose memory it was (linux/takeover.py), too."""

    CALLS = ("execve",)

    args: tuple[str, ...]
    env: tuple[str, ...]
    umask: int = 0o022

    def describe(self) -> str:
        return "execve " + " ".join(self.args)

    def execute(self, context: Context) -> None:
        environment = variables(self.env)
        messages.send(context.channel, "executing", costs=context.costs)
        self._reset()
        program = self.args[0]
        worst = 0
        for path in candidates(program, environment):
            try:
                execute(path, self.args, environment)
            except OSError as error:
                # EACCES in one directory of PATH does not hide the program in the next; it is remembered (execvp(3)).
                if not worst or error.errno not in (errno.ENOENT, errno.ENOTDIR):
                    worst = error.errno or 0
        number = worst or errno.ENOENT
        if number in (errno.ENOENT, errno.ENOTDIR):
            if "/" in program and os.path.lexists(program):
                where = "is there, but its interpreter or loader is not in the image"
                raise StartFailure(f"program {program}: {where}", 127, number)
            raise absent(program)
        raise not_executable(program, number)

    def _reset(self) -> None:
        os.umask(self.umask)
        # Python ignores SIGPIPE and SIGXFSZ, and ignored signals survive execve.
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())


def variables(env: tuple[str, ...]) -> dict[str, str]:
    """The environment by name; what has no value is left out."""
    return dict(item.split("=", 1) for item in env if "=" in item)


def candidates(program: str, environment: dict[str, str]) -> list[str]:
    """The paths at which a program may be, in the order of PATH (execvp(3))."""
    if "/" in program:
        return [program]
    search = environment.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return [os.path.join(directory, program) for directory in search.split(":") if directory]


def absent(program: str) -> StartFailure:
    """What is said of a program that is nowhere."""
    where = "no such file in the image" if "/" in program else "not found in PATH"
    return StartFailure(f"program {program}: {where}", 127, errno.ENOENT)


def not_executable(program: str, number: int) -> StartFailure:
    """What is said of a program that is there."""
    return StartFailure(f"program {program}: not executable ({os.strerror(number).lower()})", 126, number)
