"""The whole configuration, put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from containerkit.errors import InvalidArgument
from containerkit.oci import runtime_spec as rs
from containerkit.oci.image_config import ContainerConfig
from containerkit.oci.users import Identity
from containerkit.options import Settings
from containerkit.runtime import defaults
from containerkit.supervise import devices
from containerkit.supervise.configure.limits import resources
from containerkit.supervise.configure.machine import Machine
from containerkit.supervise.configure.mounts import binds, defaults_for, tmpfs, together
from containerkit.supervise.configure.namespaces import maps, namespaces
from containerkit.supervise.configure.process import process
from containerkit.supervise.configure.security import seccomp


def configure(
    id: str, settings: Settings, image: ContainerConfig, who: Identity, machine: Machine | None = None, *,
    hostname: str = "", files: Mapping[str, str] | None = None, mounts: Iterable[rs.Mount] = (),
) -> rs.Spec:  # fmt: skip
    """The configuration of a container.

    Args:
        id: the container's id.
        hostname: its host name; default: the first 12 digits of the id.
        files: what of the host's is mounted where in the container: path there → path here.
        mounts: volumes and what else the caller wants (volumes/settling.py).
        settings: the caller's options.
        image: the image's config.
        who: the user, resolved against the container's files.
        machine: what the machine gives; everything when not said.
    """
    machine = machine or Machine()
    uids, gids = maps(settings, machine)
    _check_user(settings, who, uids, gids)
    own_network = settings.network in ("none", "bridge")
    # Somebody else's uts namespace has its name.
    hostname = (hostname or settings.hostname or id[:12]) if settings.uts == "private" else ""
    nodes, rules = devices.mapped(settings.devices)
    if settings.privileged:
        nodes += devices.everything()
    return rs.Spec(
        root=rs.Root("rootfs", settings.read_only),
        process=process(settings, image, who, hostname),
        hostname=hostname,
        domainname=settings.domainname,
        mounts=together(
            defaults_for(settings, machine),
            binds(files or {}, mapped=bool(uids) and not machine.is_rootless),
            tmpfs(settings),
            mounts,
        ),
        annotations={defaults.INIT: "true"} if settings.init else {},
        linux=rs.Linux(
            namespaces=tuple(namespaces(settings, has_users=bool(uids))),
            uid_mappings=uids,
            gid_mappings=gids,
            devices=tuple({node.path: node for node in nodes}.values()),
            cgroups_path=_cgroup(id, settings, machine),
            resources=_within(resources(settings, rules), machine),
            sysctl={
                **_network_sysctls(own_network, gids or (rs.IDMapping(0, 0, machine.groups),)),
                **(settings.sysctls or {}),
            },
            seccomp=seccomp(settings),
            masked_paths=() if settings.privileged else defaults.MASKED_PATHS,
            readonly_paths=() if settings.privileged else defaults.READONLY_PATHS,
        ),
    )


def _cgroup(id: str, settings: Settings, machine: Machine) -> str:
    if machine.cgroup is None:
        return ""
    return f"{machine.cgroup}{settings.cgroup_parent.rstrip('/')}/containerkit-{id}"


def _within(limits: rs.Resources, machine: Machine) -> rs.Resources:
    """Those limits that can be had there. An ordinary user makes no devices, and needs no rules about them."""
    if not machine.is_rootless:
        return limits
    return replace(limits, devices=()) if machine.cgroup is not None else rs.Resources()


def _network_sysctls(own_network: bool, groups: tuple[rs.IDMapping, ...]) -> dict[str, str]:
    """As Docker: everybody may listen on low ports, and every group that there is may ping."""
    if not own_network:
        return {}
    first, last = min(m.container_id for m in groups), max(m.container_id + m.size - 1 for m in groups)
    return {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": f"{first} {last}"}


def _check_user(
    settings: Settings, who: Identity, uids: tuple[rs.IDMapping, ...], gids: tuple[rs.IDMapping, ...]
) -> None:
    if settings.userns == "remap" or not uids:
        return
    for kind, id, rows in (("user", who.uid, uids), ("group", who.gid, gids)):
        if rs.mapped(rows, id) is None:
            raise InvalidArgument(
                f'{kind} {id}: with userns "{settings.userns}" there is none of that number: '
                f"{_told(rows)} (more need subordinate ids: see subuid(5))"
            )


def _told(maps: tuple[rs.IDMapping, ...]) -> str:
    ranges: list[tuple[int, int]] = []
    for first, size in sorted((m.container_id, m.size) for m in maps):
        joins = bool(ranges) and ranges[-1][1] + 1 == first
        ranges.append((ranges.pop()[0] if joins else first, first + size - 1))
    return "there are " + ", ".join(f"{first} to {last}" if first < last else f"{first}" for first, last in ranges)
