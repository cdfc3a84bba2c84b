"""The world around the init of a container that is being started: looked at between two operations.

A start has no process at first, and none that may be looked at later on where an ordinary user starts it: what cannot
be seen is said to be hidden.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
from collections.abc import Callable, Mapping
from typing import Any

from containerkit.linux import netlink, procfs
from containerkit.linux.cgroups import Cgroup
from containerkit.oci.runtime_spec import Spec
from containerkit.stepping.values import Sight, World
from containerkit.store.store import Store
from containerkit.supervise.networks import segments
from containerkit.xray.reading import namespaces

_HIDDEN = "hidden from this user"
_LOCAL = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")


class Viewer:
    """Who looks.

    Args:
        rootfs: where the container's root is put together on this machine.
    """

    def __init__(self, store: Store, id: str, spec: Spec, rootfs: str) -> None:
        self._store = store
        self._id = id
        self._cgroup = spec.linux.cgroups_path
        self._rootfs = rootfs

    def look(self, pid: int | None, view: Mapping[str, Any]) -> World:
        """The world now.

        Args:
            pid: of the container's process; None: there is none yet, or none any more.
            view: what that process has said of itself last.
        """
        outside: dict[str, Callable[[], Sight]] = {
            "container": self._state,
            "cgroup": self._made,
            "cables": self._cables,
        }
        if pid is None:
            return World(_seen(outside), {})
        process = f"/proc/{pid}"
        outside |= {
            "namespaces of its own": lambda: self._namespaces(pid, own=True),
            "namespaces of the host": lambda: self._namespaces(pid, own=False),
            "in its cgroup for": lambda: self._cgroups(pid),
            "user": lambda: _user(int(procfs.status(pid)["Uid"].split()[1])),
            "session": lambda: "its own" if os.getsid(pid) == pid else "another's",
            "open descriptors": lambda: str(len(os.listdir(f"{process}/fd"))),
            "program": lambda: _program(pid),
        }
        base = f"{process}/root" if not self._is_hosts(pid) else f"{process}/root{self._rootfs}"
        inside: dict[str, Callable[[], Sight]] = {
            "host name": lambda: _name(view["hostname"]),
            "pid": lambda: str(view["pid"]),
            "user": lambda: f"{view['uid']}, group {view['gid']}",
            "/": lambda: self._root(pid),
            "directory": lambda: view["directory"] if not self._is_hosts(pid) else "on the host",
            "mounts": lambda: self._mounts(pid),
            "mounts travel": lambda: _travels(procfs.mounts(pid)),
            "devices": lambda: tuple(sorted(os.listdir(f"{base}/dev"))),
            "links": lambda: tuple(procfs.links(pid)),
            "addresses": lambda: _addresses(pid),
            "capabilities": lambda: _capabilities(pid),
            "system calls": lambda: _filter(pid),
        }
        return World(_seen(outside), _seen(inside))

    def _state(self) -> str:
        record = self._store.containers.read(self._id)
        return "gone" if record is None else record.status

    def _made(self) -> str:
        return "made" if self._cgroup and Cgroup(self._cgroup).exists() else "none"

    def _cables(self) -> Sight:
        rows = self._store.networks.of_container(self._id)
        names = {row.network.id: row.network.name for row in rows if row.network is not None}
        plugs = [plug for plug in segments.plugs(rows) if netlink.index_of(plug.cable)]
        return tuple(f"from {names[plug.segment.network]} to {plug.name}" for plug in plugs)

    def _namespaces(self, pid: int, *, own: bool) -> Sight:
        found = namespaces(self._store, self._id, pid)
        of_them = [one for one in found if (one.whose == "host") != own]
        return tuple(one.type if one.whose in ("own", "host") else f"{one.type} ({one})" for one in of_them)

    def _cgroups(self, pid: int) -> Sight:
        """In which hierarchies it is where the container belongs."""
        return tuple(",".join(names) or "v2" for names, path in procfs.cgroups(pid) if path == self._cgroup)

    def _is_hosts(self, pid: int) -> bool:
        """Whether its ``/`` is this machine's."""
        with contextlib.suppress(OSError):
            return os.path.samestat(os.stat(f"/proc/{pid}/root/"), os.stat("/"))
        return True

    def _root(self, pid: int) -> str:
        if self._is_hosts(pid):
            return "the host's"
        return " ".join(sorted(os.listdir(f"/proc/{pid}/root/")))

    def _mounts(self, pid: int) -> Sight:
        targets = [line.target for line in procfs.mounts(pid)]
        if not self._is_hosts(pid):
            return tuple(targets)
        below = [target.removeprefix(self._rootfs) or "/" for target in targets if _is_below(target, self._rootfs)]
        return ("the host's", *below)


def _is_below(path: str, base: str) -> bool:
    return path == base or path.startswith(f"{base}/")


def _seen(looks: Mapping[str, Callable[[], Sight]]) -> dict[str, Sight]:
    found: dict[str, Sight] = {}
    for name, look in looks.items():
        try:
            found[name] = look()
        except PermissionError:
            found[name] = _HIDDEN
        except (FileNotFoundError, NotADirectoryError):
            found[name] = ()
        except ProcessLookupError:
            found[name] = "ended"
    return found


def _travels(mounts: list[procfs.MountLine]) -> str:
    """Where mounts below its root travel."""
    propagation = next((line.propagation for line in reversed(mounts) if line.target == "/"), "")
    if "shared" in propagation:
        return "to and from the host"
    return "from the host only" if "master" in propagation else "nowhere"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _name(hostname: str) -> str:
    return "the host's" if hostname == os.uname().nodename else hostname


def _program(pid: int) -> str:
    command = procfs.command(pid)
    return "our init" if command.startswith("containerkit-") else command


def _addresses(pid: int) -> Sight:
    with open(f"/proc/{pid}/net/fib_trie") as file:
        return tuple(dict.fromkeys(_LOCAL.findall(file.read())))


def _capabilities(pid: int) -> str:
    fields = procfs.status(pid)
    effective, bounding = (int(fields[name], 16).bit_count() for name in ("CapEff", "CapBnd"))
    return f"{effective}, at most {bounding}"


def _filter(pid: int) -> str:
    fields = procfs.status(pid)
    mode = procfs.SECCOMP_MODES[int(fields["Seccomp"])]
    words = "all" if mode == "none" else "through a filter"
    return f"{words}, no new privileges" if fields.get("NoNewPrivs") == "1" else words
