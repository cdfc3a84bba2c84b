"""Namespaces and users: of its own, or those of another container, which are filled in at each start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from containerkit.errors import InvalidArgument, Unsupported
from containerkit.oci import runtime_spec as rs
from containerkit.options import Settings
from containerkit.supervise import etc, userns
from containerkit.supervise.configure.machine import Machine
from containerkit.supervise.configure.mounts import binds


def choices(settings: Settings) -> dict[str, str]:
    """Namespace → private, shareable, host or ``container:NAME``."""
    network = "private" if settings.network in ("none", "bridge") else settings.network
    return {
        "uts": settings.uts, "ipc": settings.ipc, "pid": settings.pid, "cgroup": settings.cgroupns, "network": network,
        "user": settings.userns if settings.userns.startswith("container:") else "host",
    }  # fmt: skip


def namespaces(settings: Settings, *, has_users: bool) -> Iterator[rs.Namespace]:
    """Private ones, and those of another container, whose path is filled in at each start (:func:`join`)."""
    yield rs.Namespace("mount")
    if has_users:
        yield rs.Namespace("user")
    for kind, choice in choices(settings).items():
        if choice in ("private", "shareable"):
            yield rs.Namespace(kind)
        elif choice != "host":
            yield rs.Namespace(kind, "/proc/0/ns/" + kind)


def maps(settings: Settings, machine: Machine) -> tuple[tuple[rs.IDMapping, ...], tuple[rs.IDMapping, ...]]:
    """Users and groups of a user namespace of its own; none without one."""
    if (kept := machine.kept(settings)) is not None:
        maps = kept.maps(machine.users, machine.groups) if machine.is_rootless else ((), ())
        _check_joined(settings, bool(maps[0]))
        return maps
    if settings.userns != "remap":
        return (), ()  # those of another container are filled in at each start
    for kind, choice in choices(settings).items():
        if choice not in ("private", "shareable") and kind != "user":
            raise InvalidArgument(
                f'{kind} {choice!r}: with userns "remap" it has to be private: others\' are not its own'
            )
    if machine.is_rootless:
        raise Unsupported('userns "remap": an ordinary user\'s containers are in a user namespace already')
    if settings.privileged:
        raise InvalidArgument('privileged: with userns "remap" there is no right to give')
    return userns.maps()


def _check_joined(settings: Settings, has_users: bool) -> None:
    for kind, choice in choices(settings).items():
        if has_users and choice.startswith("container:"):
            raise InvalidArgument(
                f'{kind} {choice!r}: with userns "{settings.userns}" it cannot be another container\'s: '
                "that belongs to other users"
            )


def join(spec: rs.Spec, paths: Mapping[str, str], users: rs.Linux | None, settings: Settings | None = None) -> rs.Spec:
    """With these namespaces joined.

    Args:
        paths: namespace → path.
        users: the container whose users it shares, where it does.
        settings: the container's; its volumes are mounted with the owners of those users.
    """
    namespaces = tuple(rs.Namespace(entry.type, paths.get(entry.type, entry.path)) for entry in spec.linux.namespaces)
    if users is not None and not users.uid_mappings:
        # Its users are the machine's: there is nothing to join.
        namespaces = tuple(entry for entry in namespaces if entry.type != "user")
    linux = replace(spec.linux, namespaces=namespaces)
    if users is None:
        return replace(spec, linux=linux)
    linux = replace(linux, uid_mappings=users.uid_mappings, gid_mappings=users.gid_mappings)
    files = {one.destination: one.source for one in spec.mounts if one.destination in etc.FILES.values()}
    wanted = (
        {one.target for one in settings.mounts if one.type != "tmpfs"} if settings and users.uid_mappings else set()
    )
    kept = [one for one in spec.mounts if one.destination not in files]
    others = [_mapped(one) if one.destination in wanted else one for one in kept]
    return replace(spec, linux=linux, mounts=(*others, *binds(files, mapped=bool(users.uid_mappings))))


def _mapped(mount: rs.Mount) -> rs.Mount:
    return mount if "idmap" in mount.options else replace(mount, options=(*mount.options, "idmap"))


def share_names(spec: rs.Spec, hostname: str, files: Mapping[str, str]) -> rs.Spec:
    """With the host name and the files of another container, whose network it joins."""
    if not files:
        return spec
    mounts = tuple(replace(one, source=files.get(one.destination, one.source)) for one in spec.mounts)
    return replace(spec, hostname=hostname if spec.hostname else "", mounts=mounts)
