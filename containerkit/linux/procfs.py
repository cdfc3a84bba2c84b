"""What the kernel tells of a process in ``/proc/PID``: its namespaces, mounts, cgroups, rights, users and links.

Read from outside: nobody enters anything. To look at another's process takes the rights of ptrace(2).

Sources: proc_pid_ns(5), proc_pid_mountinfo(5), proc_pid_status(5), proc_pid_cgroup(5), user_namespaces(7).
"""

from __future__ import annotations

import errno
import os
import re

from containerkit.linux.files import kernel_lines
from containerkit.linux.namespaces import KINDS
from containerkit.values import frozen

SECCOMP_MODES = ("none", "strict", "filter")


@frozen
class MountLine:
    """A line of mountinfo.

    Args:
        root: what of its file system is mounted.
        target: where, below the root of the process that is looked at.
        type: of the file system.
        source: as it was mounted.
        propagation: ``shared:N``: mounts travel both ways; ``master:N``: they come from elsewhere; empty for neither.
        options: of this mount, and after them the file system's own.
    """

    root: str
    target: str
    type: str
    source: str
    propagation: str
    options: tuple[str, ...]


def namespaces(pid: int | str) -> dict[str, int]:
    """The specification's name of each kind → the inode of the namespace (the same inode: the same namespace)."""
    found = {}
    for kind, (_, name) in KINDS.items():
        try:
            found[kind] = os.stat(f"/proc/{pid}/ns/{name}").st_ino
        except FileNotFoundError:
            if not os.path.exists(f"/proc/{pid}"):
                raise
            # a kernel without that kind
    return found


def mounts(pid: int | str) -> list[MountLine]:
    """What is mounted in its mount namespace, as far as its root reaches; a mount after those that it covers."""
    return [_mount(line) for line in _lines(pid, "mountinfo")]


def _mount(line: str) -> MountLine:
    first, _, second = line.partition(" - ")
    _, _, _, root, target, options, *travels = first.split(" ")
    kind, source, own = [*second.split(" "), "", ""][:3]
    words = tuple(word for word in dict.fromkeys((*options.split(","), *own.split(","))) if word)
    return MountLine(_unescape(root), _unescape(target), kind, _unescape(source), " ".join(travels), words)


def _unescape(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def status(pid: int | str) -> dict[str, str]:
    """The fields of its status."""
    return {name: value.strip() for name, _, value in (line.partition(":") for line in _lines(pid, "status"))}


def cgroups(pid: int | str) -> list[tuple[tuple[str, ...], str]]:
    """Controllers and path of each hierarchy that it is in; v2 has none in its line."""
    rows = [line.split(":", 2) for line in _lines(pid, "cgroup")]
    return [(tuple(names.split(",")) if names else (), path) for _, names, path in rows]


def id_map(pid: int | str, kind: str) -> tuple[tuple[int, int, int], ...]:
    """Ids inside, ids here, and how many, of each range; ``kind`` is ``uid`` or ``gid``."""
    rows = [[int(word) for word in line.split()] for line in _lines(pid, f"{kind}_map")]
    return tuple((inside, outside, size) for inside, outside, size in rows)


def links(pid: int | str) -> list[str]:
    """The names of the links in its network namespace."""
    return [line.partition(":")[0].lstrip(" ") for line in _lines(pid, "net/dev")[2:]]


def command(pid: int | str) -> str:
    """What it executes, with its arguments."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")


def _lines(pid: int | str, name: str) -> list[str]:
    try:
        return kernel_lines(f"/proc/{pid}/{name}")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # What ends has no mounts any more.
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH), f"/proc/{pid}/{name}") from None
