"""What leads a network namespace of an ordinary user to the outside: pasta(1) or slirp4netns(1), whichever is there.

Both make a tap device in the namespace and carry what leaves by it as this user's own connections. The host's
addresses are reached so, its 127.0.0.1 is not. Nothing comes in by it: published ports have relays.

The namespace is handed over as standard input, for by ``/proc/PID/fd`` they could not have it: they have given up the
right to look into a process with more rights than theirs. pasta ends at once when it inherits an ignored SIGPIPE.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator

from containerkit.errors import reason
from containerkit.linux import loopback, netlink, process
from containerkit.linux import namespaces as ns

#: The tap device, and the subnet it is in.
LINK, SUBNET = "outside", "10.0.2.0/24"
_ADDRESS, _GATEWAY = "10.0.2.100", "10.0.2.2"  # slirp4netns has them, too
_ADDRESS6, _GATEWAY6 = "fd0b:6b::100", "fd0b:6b::2"
#: Program → its arguments. Ports are never forwarded, nor is the host's loopback reached by way of the gateway.
_PROGRAMS = {
    "pasta": (
        "--foreground", "--quiet", "--config-net", "--netns", "/proc/self/fd/0", "--no-netns-quit",
        "-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw", "--no-dhcp", "--no-dhcpv6", "--no-ra",
        "--ns-ifname", LINK, "-a", _ADDRESS, "-n", "24", "-g", _GATEWAY, "-a", _ADDRESS6, "-g", _GATEWAY6,
    ),
    "slirp4netns": (
        "--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path", "/proc/self/fd/0", LINK,
    ),
}  # fmt: skip
TUN = "/dev/net/tun"
#: What makes that device, as root.
MAKE_TUN = f"modprobe tun; mkdir -p /dev/net; mknod -m 666 {TUN} c 10 200"
#: Seconds that a program has until there is a way out; one that cannot make it ends, which is seen sooner.
_PATIENCE = 10.0
_RTMGRP_ROUTES = 0x40 | 0x400


def programs() -> Iterator[str]:
    """Those that are installed, as paths, the better one first."""
    for name in _PROGRAMS:
        for directory in os.environ.get("PATH", os.defpath).split(":"):
            path = os.path.join(directory or ".", name)
            if os.access(path, os.X_OK):
                yield path
                break


def lacking() -> str:
    """What is missing, with what helps; empty when nothing is."""
    if next(programs(), None) is None:
        return "neither pasta nor slirp4netns is installed (Debian: apt-get install passt)"
    if not os.access(TUN, os.R_OK | os.W_OK):
        return f"{TUN} cannot be opened (as root: {MAKE_TUN})"
    return ""


def _run_in(network: int | None, make: Callable[[], list[int]]) -> list[int]:
    """Descriptors that ``make`` gives in a child, which is in that network namespace, or in a new one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        pid, pidfd = ns.clone3(ns.CLONE_NEWNET if network is None else 0)
        if pid == 0:
            try:
                if network is not None:
                    ns.setns(network, ns.CLONE_NEWNET)
                socket.send_fds(theirs, [b"0"], make())
            except OSError as error:
                theirs.send(str(error.errno).encode())
            finally:
                os._exit(0)
        theirs.close()
        answer, descriptors, _, _ = socket.recv_fds(ours, 16, 4)
        os.waitpid(pid, 0)
        os.close(pidfd)
    if not descriptors:
        raise OSError(int(answer or 5), os.strerror(int(answer or 5)), "network namespace")
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return descriptors


def new_namespace() -> int:
    """A descriptor of a new network namespace with its loopback up; the caller stays where it is.

    Raises:
        OSError: the kernel refuses.
    """

    def make() -> list[int]:
        loopback.bring_up()
        return [os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)]

    return _run_in(None, make)[0]


class Outside:
    """The way out of one network namespace: a program, which ends with this process.

    To be used in a process with one thread, in the host's network namespace, that may do everything in the other.
    """

    def __init__(self, network: int) -> None:
        self._network = network
        self._pid = 0
        #: Of the program, to wait for; -1 when none runs.
        self.pidfd = -1
        #: Why nothing reaches the outside; empty: it does.
        self.problem = ""

    def open(self) -> None:
        """Start the first program that can do it, and wait until there is a way."""
        self.problem = lacking()
        if self.problem:
            return
        problems = []
        for path in programs():
            problem = self._try(path)
            if not problem:
                return
            self.close()
            problems.append(problem)
        self.problem = "; ".join(problems)

    def _try(self, path: str) -> str:
        try:
            with socket.socket(fileno=_run_in(self._network, _watch)[0]) as routes:
                self._start(path)
                return self._await_route(routes, os.path.basename(path))
        except OSError as error:
            return f"{path}: {reason(error)}"

    def _start(self, path: str) -> None:
        parent = os.getpid()
        self._pid, self.pidfd = ns.clone3(0)
        if self._pid:
            return
        try:
            process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.dup2(self._network, 0)
            os.execv(path, [path, *_PROGRAMS[os.path.basename(path)]])
        finally:
            os._exit(127)

    def _await_route(self, routes: socket.socket, name: str) -> str:
        deadline = time.monotonic() + _PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            routes.settimeout(min(left, 0.1))
            try:
                if _is_default(routes.recv(65536)):
                    return ""
            except TimeoutError:
                if process.readable(self.pidfd, 0):
                    return f"{name} ended at once (has this machine a default route?)"
        return f"{name} gives no way out in {_PATIENCE:.0f} seconds"

    def close(self) -> None:
        """End the program. A second time is no error."""
        if self._pid:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            os.close(self.pidfd)
            self._pid, self.pidfd = 0, -1


def _watch() -> list[int]:
    routes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, netlink.NETLINK_ROUTE)
    routes.bind((0, _RTMGRP_ROUTES))
    return [routes.detach()]


def _is_default(message: bytes) -> bool:
    """Whether a new default route is told of: rtnetlink(7), the length of its destination is 0."""
    kind = struct.unpack_from("=H", message, 4)[0]
    return bool(kind == netlink.RTM_NEWROUTE and message[17] == 0)
