"""Operations on namespaces and cgroups: outside (cgroup, limits, clone3, id maps) and inside (join, names, sysctls)."""

from __future__ import annotations

import os
import socket

from containerkit.linux import confinement, loopback, process
from containerkit.linux import namespaces as ns
from containerkit.linux.cgroups import Cgroup
from containerkit.linux.takeover import take_over
from containerkit.oci.runtime_spec import IDMapping, Resources, TimeOffset, mapped
from containerkit.runtime import messages
from containerkit.runtime.operation import Context, Operation
from containerkit.values import frozen


@frozen
class CreateCgroup(Operation):
    """The container's cgroup, in every hierarchy, with its limits."""

    CALLS = ("mkdir", "openat", "write")

    path: str
    resources: Resources

    def describe(self) -> str:
        return f"mkdir cgroup {self.path}, write its limits"

    def execute(self, context: Context) -> None:
        cgroup = Cgroup(self.path)
        context.cgroup = cgroup
        cgroup.create()
        cgroup.apply(self.resources)


@frozen
class OffsetClocks(Operation):
    """A time namespace for the children of this process, with its clocks moved (time_namespaces(7))."""

    CALLS = ("unshare", "openat", "write")

    offsets: tuple[tuple[str, TimeOffset], ...]

    def describe(self) -> str:
        return "unshare time namespace: " + ", ".join(f"{clock} {offset.secs:+d} s" for clock, offset in self.offsets)

    def binds(self) -> bool:
        return True

    def execute(self, context: Context) -> None:
        # Not a flag of clone3: offsets can only be written before the first process is in.
        ns.unshare(ns.CLONE_NEWTIME)
        lines = "".join(f"{clock} {offset.secs} {offset.nanosecs}\n" for clock, offset in self.offsets)
        if lines:
            with open("/proc/self/timens_offsets", "w") as file:
                file.write(lines)


@frozen
class JoinNamespace(Operation):
    """A namespace that exists already, by its path."""

    CALLS = ("setns",)

    kind: str
    path: str

    def describe(self) -> str:
        return f"setns {self.kind} namespace {self.path}"

    def binds(self) -> bool:
        return True

    def execute(self, context: Context) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            ns.setns(descriptor, ns.KINDS[self.kind][0])
        finally:
            os.close(descriptor)


@frozen
class HoldMaps:
    """A user namespace that exists for its maps only: what an idmapped mount is made with."""

    uid_mappings: tuple[IDMapping, ...]
    gid_mappings: tuple[IDMapping, ...]

    def root(self) -> tuple[int, int]:
        """The host's user and group that are its root."""
        return mapped(self.uid_mappings, 0) or 0, mapped(self.gid_mappings, 0) or 0

    def open(self) -> int:
        """A descriptor of it; it lives as long as that, or a mount with its maps."""
        return confinement.create(_rows(self.uid_mappings), _rows(self.gid_mappings))


def _rows(mappings: tuple[IDMapping, ...]) -> list[tuple[int, int, int]]:
    return [(m.container_id, m.host_id, m.size) for m in mappings]


@frozen
class Clone(Operation):
    """The container's init, in new namespaces. Executed by the understudy; who comes back from this is the init.

    ``user`` is the path of a user namespace that exists already, which then owns the new ones. ``shares_memory``: as
    for :func:`~containerkit.linux.takeover.take_over`.
    """

    CALLS = ("clone3",)

    kinds: tuple[str, ...] = ()
    user: str = ""
    shares_memory: bool = True

    def describe(self) -> str:
        owner = f", of the user namespace {self.user}" if self.user else ""
        return "clone3: a process in new " + ", ".join(self.kinds) + f" namespaces{owner}"

    def binds(self) -> bool:
        return bool(self.user) or not self.shares_memory

    def execute(self, context: Context) -> None:
        flags = 0
        for kind in self.kinds:
            flags |= ns.KINDS[kind][0]
        # Born in the v2 cgroup, where there is one.
        born_in = None if context.cgroup is None else context.cgroup.open_for_clone()
        if self.user:
            # Who clones has to be in there; the parent stays out.
            with process.still_ends_with_parent():
                JoinNamespace("user", self.user).execute(context)
        take_over(flags, born_in, shares_memory=self.shares_memory)
        if born_in is not None:
            os.close(born_in)


@frozen
class BecomeRoot(Operation):
    """Root of a user namespace that has been joined."""

    CALLS = ("setresgid", "setresuid")

    def describe(self) -> str:
        return "setuid 0 of the user namespace"

    def execute(self, context: Context) -> None:
        context.sets_groups = confinement.become_root()


@frozen
class AwaitIdMaps(Operation):
    """Wait until the parent has given this user namespace its maps, then become its root."""

    CALLS = ("read", "setresgid", "setresuid")

    uid_mappings: tuple[IDMapping, ...]
    gid_mappings: tuple[IDMapping, ...]

    def describe(self) -> str:
        return "user namespace: " + ", ".join(f"{m.container_id} is {m.host_id} (+{m.size})" for m in self.uid_mappings)

    def execute(self, context: Context) -> None:
        if os.read(context.channel, 64) != messages.MAPPED:
            os._exit(1)
        # An ordinary user could not have given the maps to a process that hides from it.
        process.prctl(process.PR_SET_DUMPABLE, 0)
        context.sets_groups = confinement.become_root()

    def write_maps(self, pid: int) -> None:
        """The parent's half."""
        confinement.write_maps(pid, _rows(self.uid_mappings), _rows(self.gid_mappings))


@frozen
class JoinCgroup(Operation):
    """Move this process into the container's cgroup."""

    CALLS = ("openat", "write")

    path: str

    def describe(self) -> str:
        return f"cgroup: join {self.path}"

    def execute(self, context: Context) -> None:
        if context.cgroup is not None:
            context.cgroup.attach_self()


@frozen
class UnshareCgroup(Operation):
    """From here on the container's cgroup looks like the root of the tree."""

    CALLS = ("unshare",)

    def describe(self) -> str:
        return "unshare cgroup namespace"

    def execute(self, context: Context) -> None:
        ns.unshare(ns.CLONE_NEWCGROUP)


@frozen
class RaiseLoopback(Operation):
    """127.0.0.1 and ::1."""

    CALLS = ("socket", "ioctl")

    def describe(self) -> str:
        return "network: lo up"

    def execute(self, context: Context) -> None:
        loopback.bring_up()


@frozen
class ShowNetwork(Operation):
    """The parent gets the network namespace: an ordinary user's has no right to look into this process."""

    CALLS = ("openat", "sendmsg")

    def describe(self) -> str:
        return "network: hand the namespace to the parent"

    def execute(self, context: Context) -> None:
        descriptor = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        messages.send_descriptor(context.channel, "network", descriptor)
        os.close(descriptor)


@frozen
class SetHostname(Operation):
    CALLS = ("sethostname",)

    hostname: str

    def describe(self) -> str:
        return f"sethostname {self.hostname}"

    def execute(self, context: Context) -> None:
        socket.sethostname(self.hostname)


@frozen
class SetDomainname(Operation):
    CALLS = ("setdomainname",)

    domainname: str

    def describe(self) -> str:
        return f"setdomainname {self.domainname}"

    def execute(self, context: Context) -> None:
        process.set_domainname(self.domainname)


@frozen
class WriteSysctl(Operation):
    """A kernel parameter of one of the container's own namespaces."""

    CALLS = ("openat", "write")

    name: str
    value: str

    def describe(self) -> str:
        return f"sysctl {self.name} = {self.value}"

    def execute(self, context: Context) -> None:
        path = "sys/" + self.name.replace(".", "/")
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=context.proc)
        try:
            os.write(descriptor, self.value.encode())
        finally:
            os.close(descriptor)
