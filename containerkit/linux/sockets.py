"""Whose sockets hold a port of this network namespace: proc_net(5), and the descriptors of proc_pid_fd(5)."""

from __future__ import annotations

import contextlib
import os

#: A socket that takes what comes, as /proc/net says it: of TCP one that listens, of UDP one that is bound.
_TAKES = {"tcp": "0A", "udp": "07"}


def holders(protocol: str, port: int) -> list[str]:
    """The programs that hold a port, ``"nginx (pid 4711)"``: those that this user may look at."""
    wanted = {f"socket:[{inode}]" for inode in _inodes(protocol, port)}
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")) if wanted else ():
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if any(_link(f"/proc/{pid}/fd/{descriptor}") in wanted for descriptor in os.listdir(f"/proc/{pid}/fd")):
                with open(f"/proc/{pid}/comm", errors="replace") as file:
                    found.append(f"{file.read().strip()} (pid {pid})")
    return found


def _link(path: str) -> str:
    with contextlib.suppress(OSError):  # it has just been closed
        return os.readlink(path)
    return ""


def _inodes(protocol: str, port: int) -> set[str]:
    found = set()
    for name in (protocol, f"{protocol}6"):
        with contextlib.suppress(OSError), open(f"/proc/net/{name}") as file:
            for line in file.readlines()[1:]:
                columns = line.split()
                # The local ADDRESS:PORT, in hexadecimal, the state, and the inode.
                if columns[3] == _TAKES[protocol] and int(columns[1].rpartition(":")[2], 16) == port:
                    found.add(columns[9])
    return found
