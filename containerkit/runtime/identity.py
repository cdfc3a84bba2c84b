"""Operations on the init itself: what it may, and who it is.

Their order is a matter of rights: what needs privilege comes before it is dropped.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import termios

from containerkit.linux import capabilities, process, scheduling, seccomp
from containerkit.oci.runtime_spec import Capabilities, IOPriority, Rlimit, Scheduler, User
from containerkit.runtime import messages
from containerkit.runtime.operation import Context, Operation
from containerkit.values import frozen


@frozen
class NewSession(Operation):
    """A session of its own, and its controlling terminal where there is one."""

    CALLS = ("setsid",)

    def describe(self) -> str:
        return "setsid"

    def execute(self, context: Context) -> None:
        # A fresh child leads no process group; an entered one may, and then it has its session already.
        if os.getpid() != os.getsid(0):
            os.setsid()
        if context.terminal >= 0:
            for descriptor in (0, 1, 2):
                os.dup2(context.terminal, descriptor)
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@frozen
class NewKeyring(Operation):
    """A session keyring of its own: the caller's holds the host's keys (keyrings(7))."""

    CALLS = ("keyctl",)

    def describe(self) -> str:
        return "keyctl: a new session keyring"

    def execute(self, context: Context) -> None:
        try:
            process.join_new_keyring()
        except OSError as error:
            # A kernel without keyrings has none to hide; in a full quota there is no room for another.
            if error.errno not in (errno.ENOSYS, errno.EDQUOT):
                raise


@frozen
class DieWithParent(Operation):
    """The process does not outlive its parent, by which the helper would tell how it ended (PR_SET_PDEATHSIG)."""

    CALLS = ("prctl",)

    def describe(self) -> str:
        return "prctl pdeathsig SIGKILL"

    def execute(self, context: Context) -> None:
        process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)


@frozen
class SetRlimit(Operation):
    CALLS = ("prlimit64",)

    limit: Rlimit

    def describe(self) -> str:
        return f"setrlimit {self.limit.type} {self.limit.soft}:{self.limit.hard}"

    def execute(self, context: Context) -> None:
        kind = getattr(resource, self.limit.type)
        # The specification's numbers are unsigned; the kernel's RLIM_INFINITY is -1 to Python.
        soft, hard = (value if value < 2**63 else -1 for value in (self.limit.soft, self.limit.hard))
        try:
            resource.setrlimit(kind, (soft, hard))
        except ValueError as error:
            # Without CAP_SYS_RESOURCE a hard limit cannot be raised.
            raise OSError(errno.EPERM, f"cannot set {self.limit.type} to {soft}:{hard}: {error}") from error


@frozen
class SetOomScore(Operation):
    """How readily the kernel ends this container when memory runs out (-1000 never, 1000 first)."""

    CALLS = ("openat", "write")

    adjustment: int

    def describe(self) -> str:
        return f"oom_score_adj {self.adjustment}"

    def execute(self, context: Context) -> None:
        # At a start the host's procfs is still there; in a running container it is not.
        path, directory = (
            ("self/oom_score_adj", context.proc) if context.proc >= 0 else ("/proc/self/oom_score_adj", None)
        )
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
        try:
            os.write(descriptor, str(self.adjustment).encode())
        finally:
            os.close(descriptor)


@frozen
class SetIOPriority(Operation):
    """When its reads and writes have their turn (ioprio_set(2))."""

    CALLS = ("ioprio_set",)

    priority: IOPriority

    def describe(self) -> str:
        return f"ioprio_set {self.priority.class_} {self.priority.priority}"

    def execute(self, context: Context) -> None:
        scheduling.set_io_priority(self.priority.class_, self.priority.priority)


@frozen
class SetScheduler(Operation):
    """When it has its turn on a processor (sched_setattr(2))."""

    CALLS = ("sched_setattr",)

    scheduler: Scheduler

    def describe(self) -> str:
        return f"sched_setattr {self.scheduler.policy}"

    def execute(self, context: Context) -> None:
        scheduling.set_scheduler(self.scheduler)


@frozen
class SetAffinity(Operation):
    """On which processors it may run."""

    CALLS = ("sched_setaffinity",)

    cpus: tuple[int, ...]

    def describe(self) -> str:
        return "sched_setaffinity " + ",".join(map(str, self.cpus))

    def execute(self, context: Context) -> None:
        os.sched_setaffinity(0, self.cpus)


@frozen
class SetPersonality(Operation):
    """The execution domain: what machine the kernel pretends to be (personality(2))."""

    CALLS = ("personality",)

    domain: str

    def describe(self) -> str:
        return f"personality {self.domain}"

    def execute(self, context: Context) -> None:
        process.set_personality(process.PERSONALITIES[self.domain])


@frozen
class CloseDescriptors(Operation):
    """Nothing of the host stays open in the container but its three streams."""

    CALLS = ("close_range",)

    def describe(self) -> str:
        return "close every descriptor above 2 that is not the program's"

    def execute(self, context: Context) -> None:
        # The channel stays, until execve closes it: its end is how the parent learns of success.
        kept = 3 + context.preserve
        first = kept + 1
        if context.gate is not None:
            context.gate.make_way(kept + 2)
        if context.channel != kept:
            os.dup2(context.channel, kept, inheritable=False)
            context.channel = kept
        os.set_inheritable(kept, False)
        for descriptor in range(3, kept):
            os.set_inheritable(descriptor, True)
        if context.gate is not None:
            context.gate.settle(kept + 1, kept)
            first = kept + 2
        process.close_from(first)


@frozen
class LoadSeccomp(Operation):
    """The filter of system calls; from here on it holds for the rest of this plan too.

    ``notifies``: there are calls that a process outside decides on; it gets the descriptor that tells of them.
    """

    CALLS = ("prctl",)

    flags: int = 0
    notifies: bool = False

    def describe(self) -> str:
        return "seccomp: load the filter of system calls"

    def calls(self) -> tuple[str, ...]:
        return ("seccomp",) if self.flags or self.notifies else self.CALLS

    def execute(self, context: Context) -> None:
        if not self.notifies:
            seccomp.load_filter(context.seccomp_filter, self.flags)
            return
        listener = seccomp.load_filter_with_listener(context.seccomp_filter, self.flags)
        messages.send_descriptor(context.channel, "seccomp", listener)
        os.close(listener)


@frozen
class NoNewPrivileges(Operation):
    """execve(2) gives no rights any more: set-user-ID bits and file capabilities do nothing."""

    CALLS = ("prctl",)

    def describe(self) -> str:
        return "prctl no_new_privs"

    def execute(self, context: Context) -> None:
        process.prctl(process.PR_SET_NO_NEW_PRIVS, 1)


@frozen
class DropBoundingSet(Operation):
    """Capabilities that nothing in the container can ever have again."""

    CALLS = ("prctl",)

    keep: tuple[str, ...]

    def describe(self) -> str:
        return f"capabilities: bounding set of {len(self.keep)}"

    def execute(self, context: Context) -> None:
        capabilities.drop_bounding(self.keep)


@frozen
class SetUser(Operation):
    CALLS = ("setgroups", "setresgid", "setresuid")

    user: User

    def describe(self) -> str:
        groups = "".join(f",{gid}" for gid in self.user.additional_gids)
        return f"setuid {self.user.uid}, setgid {self.user.gid}{groups}"

    def execute(self, context: Context) -> None:
        if self.user.uid:
            self._own_streams()
        # Capabilities would go with the uid; which of them stay is the next operation's matter.
        process.prctl(process.PR_SET_KEEPCAPS, 1)
        user = self.user
        try:
            if context.sets_groups:
                os.setgroups(user.additional_gids)
            elif {*user.additional_gids} - {user.gid}:
                raise OSError(errno.EPERM, "groups cannot be given in this user namespace: see subgid(5)")
            os.setresgid(user.gid, user.gid, user.gid)
            os.setresuid(user.uid, user.uid, user.uid)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise OSError(errno.EINVAL, "this user namespace has no such user or group: see subuid(5)") from error
            raise
        process.prctl(process.PR_SET_KEEPCAPS, 0)

    def _own_streams(self) -> None:
        # So that the program can open /dev/stdout again: pipes belong to who made them.
        for descriptor in (0, 1, 2):
            found = os.fstat(descriptor)
            if found.st_rdev != os.makedev(1, 3):
                try:
                    os.fchown(descriptor, self.user.uid, -1)
                except OSError as error:
                    # Its owner has no number in this user namespace, or its file system knows no owners: then not.
                    if error.errno not in (errno.EPERM, errno.EINVAL, errno.EROFS):
                        raise


@frozen
class SetCapabilities(Operation):
    CALLS = ("capset",)

    sets: Capabilities

    def describe(self) -> str:
        return f"capset: {len(self.sets.effective)} effective, {len(self.sets.inheritable)} inheritable"

    def execute(self, context: Context) -> None:
        capabilities.apply(self.sets.effective, self.sets.permitted, self.sets.inheritable)
        if self.sets.ambient:
            capabilities.raise_ambient(self.sets.ambient)


@frozen
class ChangeDirectory(Operation):
    """The working directory, which must be inside the root (CVE-2024-21626)."""

    CALLS = ("chdir",)

    path: str

    def describe(self) -> str:
        return f"chdir {self.path}"

    def execute(self, context: Context) -> None:
        os.chdir(self.path)
        # getcwd(2) says "(unreachable)" of a directory outside this root; Python says FileNotFoundError.
        if not os.getcwd().startswith("/"):
            raise OSError(errno.EPERM, "the working directory is outside the container", self.path)
