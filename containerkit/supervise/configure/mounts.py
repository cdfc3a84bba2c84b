"""What is mounted in it: Docker's own mounts, files of the host, memory, volumes; in which order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from containerkit.oci import runtime_spec as rs
from containerkit.options import Settings
from containerkit.runtime import defaults
from containerkit.supervise.configure.machine import Machine


def defaults_for(settings: Settings, machine: Machine) -> tuple[rs.Mount, ...]:
    """Docker's own, as far as they can be had there."""
    mounts = list(defaults.mounts(settings.shm_size, "rw" if settings.privileged else "ro"))
    if settings.ipc == "host":
        shared = [path for path in ("/dev/shm", "/dev/mqueue") if os.path.isdir(path)]
        mounts = [_of_host(mount) if mount.destination in shared else mount for mount in mounts]
        if machine.is_rootless:
            # Only the owner of an ipc namespace mounts its message queues; where the host shows none, there are none.
            mounts = [mount for mount in mounts if mount.type != "mqueue"]
    if machine.groups == 1:
        # The terminals' group is none that this user namespace has.
        mounts = [replace(mount, options=tuple(o for o in mount.options if o != "gid=5")) for mount in mounts]
    if machine.is_rootless:
        # Only the owner of a network namespace mounts sysfs for it, and of a pid namespace procfs.
        joined = {"/sys": settings.network not in ("none", "bridge"), "/proc": settings.pid != "private"}
        mounts = [_of_host(mount) if joined.get(mount.destination) else mount for mount in mounts]
    return tuple(mounts)


def tmpfs(settings: Settings) -> Iterator[rs.Mount]:
    """File systems in memory that the caller wants."""
    for path, options in (settings.tmpfs or {}).items():
        given = tuple(option for option in options.split(",") if option)
        yield rs.Mount(path, "tmpfs", "tmpfs", ("nosuid", "nodev", "noexec", *given))


def together(own: Iterable[rs.Mount], *wanted: Iterable[rs.Mount]) -> tuple[rs.Mount, ...]:
    """Ours in their order, then what is wanted, those above before those below; of two at one place the later."""
    later = {one.destination: one for several in wanted for one in several}
    first = []
    for one in own:
        # What is wanted above hides it: it comes after that.
        if any(one.destination.startswith(f"{above}/") for above in later):
            later.setdefault(one.destination, one)
        elif one.destination not in later:
            first.append(one)
    return (*first, *sorted(later.values(), key=lambda one: one.destination.count("/")))


def binds(files: Mapping[str, str], *, mapped: bool) -> Iterator[rs.Mount]:
    """Files of the host: of root there, and so of the container's root, whoever that is."""
    for destination, source in files.items():
        # With other owners it is mounted from outside, where the way to it is open.
        yield rs.Mount(destination, "bind", source, ("bind", "rprivate", *(("idmap",) if mapped else ())))


def _of_host(mount: rs.Mount) -> rs.Mount:
    return rs.Mount(mount.destination, "bind", mount.destination, ("rbind",))
