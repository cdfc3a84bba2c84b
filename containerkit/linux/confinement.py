"""User namespaces for ordinary users: made once, entered by processes with one thread.

Sources: user_namespaces(7), newuidmap(1), subuid(5).
"""

from __future__ import annotations

import os
import pwd
import re
import signal
from functools import cache

from containerkit.linux import mounts, process
from containerkit.linux import namespaces as ns

Map = list[tuple[int, int, int]]
_EVERYBODY_COUNT = 2**32 - 1
_EVERYBODY = f"0          0 {_EVERYBODY_COUNT}"
_RANGE = re.compile(r"([^:]*):([0-9]{1,10}):([0-9]{1,10})")


@cache
def is_confined() -> bool:
    """Whether this process is in a user namespace of its own, and so no root of the machine whatever its user is."""
    with open("/proc/self/uid_map") as file:
        return file.read().split() != _EVERYBODY.split()


def is_rootless() -> bool:
    """Whether this process has fewer rights than root of the machine."""
    return os.geteuid() != 0 or is_confined()


def may_set_groups() -> bool:
    """Whether setgroups(2) is allowed: not in a namespace that an ordinary user has mapped without help."""
    with open("/proc/self/setgroups") as file:
        return file.read().strip() == "allow"


def id_maps() -> tuple[Map, Map]:
    """How this user's namespace shall be mapped: itself as root, and its subordinate ids after that.

    Without ranges in ``/etc/subuid`` and ``/etc/subgid``, or without newuidmap(1), itself alone.
    """
    uid, gid = os.geteuid(), os.getegid()
    names = _own_names(uid)
    uids, gids = ranges("/etc/subuid", names), ranges("/etc/subgid", names)
    if not uids or not gids or not _helper("newuidmap") or not _helper("newgidmap"):
        return [(0, uid, 1)], [(0, gid, 1)]
    return _after([(0, uid, 1)], uids), _after([(0, gid, 1)], gids)


def _after(first: Map, ranges: list[tuple[int, int]]) -> Map:
    found, next_id = list(first), 1
    for start, count in ranges:
        found.append((next_id, start, count))
        next_id += count
    return found


def _own_names(uid: int) -> tuple[str, ...]:
    try:
        return pwd.getpwuid(uid).pw_name, str(uid)
    except KeyError:
        return (str(uid),)


def ranges(path: str, owners: tuple[str, ...]) -> list[tuple[int, int]]:
    """First id and count of each range that one of ``owners`` has in a file as subuid(5) describes it."""
    try:
        with open(path, errors="surrogateescape") as file:
            found = [_RANGE.fullmatch(line.strip()) for line in file]
    except OSError:
        return []
    ranges = [(int(row[2]), int(row[3])) for row in found if row is not None and row[1] in owners]
    return [(first, count) for first, count in ranges if count and first + count <= _EVERYBODY_COUNT]


def _helper(name: str) -> str:
    for directory in ("/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"):
        if os.access(f"{directory}/{name}", os.X_OK):
            return f"{directory}/{name}"
    return ""


def create(uids: Map, gids: Map) -> int:
    """A new user namespace with these maps; it lives as long as the descriptor, or what was made with it.

    To be called in a process with one thread: it clones.

    Raises:
        OSError: user namespaces are not allowed here, or the maps are not.
    """
    me = os.getpid()
    try:
        pid, pidfd = ns.clone3(ns.CLONE_NEWUSER)
    except OSError as error:
        raise OSError(error.errno, error.strerror, "user namespace") from error
    if pid == 0:
        process.end_with(me)
        while True:
            signal.pause()
    try:
        write_maps(pid, uids, gids)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(pidfd)


def write_maps(pid: int, uids: Map, gids: Map) -> None:
    """Give the user namespace of ``pid`` its maps: root as it likes, an ordinary user itself alone, or by newuidmap(1).

    Raises:
        OSError: these are not this user's ids to give.
    """
    if os.geteuid() == 0:
        ns.write_id_maps(pid, uids, gids)
        return
    if len(uids) == 1 and len(gids) == 1 and uids[0][2] == gids[0][2] == 1:
        with open(f"/proc/{pid}/setgroups", "w") as file:
            file.write("deny")
        ns.write_id_maps(pid, uids, gids)
        return
    for name, rows in (("newuidmap", uids), ("newgidmap", gids)):
        words = [name, str(pid), *(str(number) for row in rows for number in row)]
        if not (program := _helper(name)):
            raise OSError(2, f"{name} is not installed (Debian package uidmap)", name)
        child = os.posix_spawn(program, words, {"PATH": "/usr/bin:/bin"})
        _, status = os.waitpid(child, 0)
        if status:
            raise OSError(1, f"{' '.join(words)}: failed; see subuid(5)", name)


def become_root() -> bool:
    """Be root of this process's user namespace, or the first one there where it has none: the kernel asks for
    capabilities, but who makes a file has to have a number.

    Returns:
        Whether it may set groups.
    """
    sets_groups = may_set_groups()
    uid, gid = _lowest("uid"), _lowest("gid")
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    return sets_groups


def _lowest(kind: str) -> int:
    with open(f"/proc/self/{kind}_map") as file:
        return min(int(row.split()[0]) for row in file)


@process.still_ends_with_parent()
def enter(user_namespace: int) -> None:
    """Become root of that namespace, with mounts of its own. The process has one thread.

    Raises:
        OSError: it is not ours to enter.
    """
    ns.setns(user_namespace, ns.CLONE_NEWUSER)
    if may_set_groups():
        os.setgroups([])
    become_root()
    # A change of user hides /proc/self from its own process.
    process.prctl(process.PR_SET_DUMPABLE, 1)
    ns.unshare(ns.CLONE_NEWNS)
    mounts.mount("none", "/", "", mounts.MS_SLAVE | mounts.MS_REC)
    is_confined.cache_clear()
