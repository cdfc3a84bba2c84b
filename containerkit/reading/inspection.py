"""``inspect()``, ``history()`` and ``explain()``: what is written down, shown whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

from containerkit.dockerfile.recovering import recovered
from containerkit.linux.confinement import is_rootless
from containerkit.oci import codec
from containerkit.oci.image_config import ContainerConfig, parse_time
from containerkit.oci.manifest import layer_compression
from containerkit.oci.runtime_spec import Mount, Spec
from containerkit.options import Settings
from containerkit.reading import connections, mountinfo
from containerkit.results import LayerDetails, Plan, Step
from containerkit.store.containers import ALIVE, ContainerRecord
from containerkit.store.images import ImageRecord
from containerkit.store.netrows import Endpoint, NetworkRecord
from containerkit.store.store import Store
from containerkit.supervise.health import Health


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "0001-01-01T00:00:00Z"
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def container(store: Store, record: ContainerRecord, spec: Spec, log: str) -> dict[str, Any]:
    """The members of ``docker inspect`` that this version can fill, under the same names."""
    settings = Settings.read(record.options)
    return {
        "Id": record.id,
        "Name": f"/{record.name}",
        "Created": _time(record.created),
        "Path": spec.process.args[0],
        "Args": list(spec.process.args[1:]),
        "Image": record.image,
        "RestartCount": record.restarts,
        "LogPath": log,
        "State": _state(record),
        "Config": _config(record, spec, settings),
        "HostConfig": _host_config(record, spec, settings),
        "Mounts": mountinfo.inspected(store, settings),
        "NetworkSettings": _network_settings(store, record, settings),
    }


def _network_settings(store: Store, record: ContainerRecord, settings: Settings) -> dict[str, Any]:
    published = connections.ports(record.published)
    exposed = dict.fromkeys((*settings.expose, *(f"{one.container_port}/{one.protocol}" for one in settings.ports)))
    rows = store.networks.of_container(record.id)
    endpoints = {row.network.name: _endpoint(row) for row in rows if row.network is not None}
    first: dict[str, Any] = next(iter(endpoints.values()), {})
    return {
        "Ports": {
            key: [{"HostIp": ip, "HostPort": str(port)} for ip, port in published[key]] if key in published else None
            for key in dict.fromkeys((*published, *exposed))
        },
        "IPAddress": first.get("IPAddress", ""),
        "Gateway": first.get("Gateway", ""),
        "MacAddress": first.get("MacAddress", ""),
        "Networks": endpoints or {settings.network: {}},
    }


def _endpoint(row: Endpoint) -> dict[str, Any]:
    assert row.network is not None
    by_kind = {":" in net: (gateway, int(net.rpartition("/")[2])) for net, gateway, _ in row.network.subnets}
    gateway, bits = by_kind.get(False, ("", 0))
    gateway6, bits6 = by_kind.get(True, ("", 0))
    return {
        "NetworkID": row.network_id,
        "Aliases": list(row.aliases) or None,
        "IPAddress": row.address or "",
        "IPPrefixLen": bits if row.address else 0,
        "Gateway": gateway if row.address else "",
        "GlobalIPv6Address": row.address6 or "",
        "GlobalIPv6PrefixLen": bits6 if row.address6 else 0,
        "IPv6Gateway": gateway6 if row.address6 else "",
        "MacAddress": row.mac or "",
        "IPAMConfig": {"IPv4Address": row.wanted, "IPv6Address": row.wanted6},
    }


def network(store: Store, record: NetworkRecord | None, id: str, driver: str) -> dict[str, Any]:
    """The members of ``docker network inspect`` that this version can fill, under the same names."""
    if record is None:
        return {"Name": id, "Id": id, "Driver": driver, "Internal": False, "Containers": {}}
    members = {}
    for row in store.networks.of_network(record.id):
        found, its = store.containers.read(row.container), _endpoint(row)
        if found is not None:
            members[row.container] = {
                "Name": found.name,
                "MacAddress": its["MacAddress"],
                "IPv4Address": f"{its['IPAddress']}/{its['IPPrefixLen']}" if row.address else "",
                "IPv6Address": f"{its['GlobalIPv6Address']}/{its['GlobalIPv6PrefixLen']}" if row.address6 else "",
            }
    configurations = [{"Subnet": net, "Gateway": gateway, "IPRange": part} for net, gateway, part in record.subnets]
    return {
        "Name": record.name,
        "Id": record.id,
        "Created": _time(record.created),
        "Driver": record.driver,
        "EnableIPv6": any(":" in net for net, _, _ in record.subnets),
        "IPAM": {"Driver": "default", "Config": [{k: v for k, v in one.items() if v} for one in configurations]},
        "Internal": bool(record.internal),
        "Containers": members,
        "Options": record.options,
        "Labels": record.labels,
    }


def _state(record: ContainerRecord) -> dict[str, Any]:
    return {
        "Status": record.status,
        "Running": record.state in ALIVE,
        "Paused": record.status == "paused",
        "Restarting": record.status == "restarting",
        "OOMKilled": bool(record.oom_killed),
        "Dead": record.status == "dead",
        "Pid": record.pid or 0,
        "ExitCode": record.exit_code or 0,
        "Error": record.error,
        "StartedAt": _time(record.started),
        "FinishedAt": _time(record.finished),
        **_health(record),
    }


def _health(record: ContainerRecord) -> dict[str, Any]:
    health = Health.loads(record.health)
    if health is None:
        return {}
    log = [
        {"Start": _time(one.start), "End": _time(one.end), "ExitCode": one.exit_code, "Output": one.output}
        for one in health.log
    ]
    return {"Health": {"Status": health.status, "FailingStreak": health.streak, "Log": log}}


def _config(record: ContainerRecord, spec: Spec, settings: Settings) -> dict[str, Any]:
    process = spec.process
    return {
        "Hostname": spec.hostname,
        "Domainname": spec.domainname,
        "User": settings.user,
        "Tty": process.terminal,
        "OpenStdin": settings.stdin_open,
        "StopSignal": settings.stop_signal or "SIGTERM",
        "Env": list(process.env),
        "Cmd": list(settings.command or ()),
        "Entrypoint": list(settings.entrypoint or ()) or None,
        "Image": record.image_reference,
        "WorkingDir": process.cwd,
        "Labels": dict(settings.labels or {}),
    }


def _host_config(record: ContainerRecord, spec: Spec, settings: Settings) -> dict[str, Any]:
    linux = spec.linux
    return {
        "AutoRemove": bool(record.auto_remove),
        "RestartPolicy": {"Name": settings.restart.name, "MaximumRetryCount": settings.restart.retries},
        "LogConfig": {
            "Type": "containerkit",
            "Config": {"max-size": str(settings.log_options.max_size), "max-file": str(settings.log_options.max_file)},
        },
        "Init": settings.init,
        "PidMode": _mode(settings.pid),
        "IpcMode": settings.ipc,
        "UTSMode": _mode(settings.uts),
        "UsernsMode": _mode(settings.userns, "host"),
        "CgroupnsMode": settings.cgroupns,
        "Devices": [
            {"PathOnHost": one.host, "PathInContainer": one.container, "CgroupPermissions": one.access}
            for one in settings.devices
        ],
        "DeviceCgroupRules": list(settings.device_cgroup_rules) or None,
        "NetworkMode": settings.networks[0] if settings.network == "bridge" else settings.network,
        "PortBindings": _bindings(settings),
        "PublishAllPorts": settings.publish_all,
        "Links": [f"/{name}:/{record.name}/{alias}" for name, alias in settings.links] or None,
        "Dns": list(settings.dns),
        "DnsSearch": list(settings.dns_search),
        "DnsOptions": list(settings.dns_options),
        "ExtraHosts": [f"{name}:{address}" for name, address in settings.add_hosts] or None,
        "Privileged": settings.privileged,
        "ReadonlyRootfs": settings.read_only,
        "CapAdd": list(settings.cap_add) or None,
        "CapDrop": list(settings.cap_drop) or None,
        "SecurityOpt": list(settings.security_opt) or None,
        "Memory": settings.memory or 0,
        "MemorySwap": linux.resources.memory.swap or 0,
        "MemoryReservation": settings.memory_reservation or 0,
        "NanoCpus": int((settings.cpus or 0) * 1e9),
        "CpuShares": settings.cpu_shares or 0,
        "CpuPeriod": settings.cpu_period or 0,
        "CpuQuota": settings.cpu_quota or 0,
        "CpusetCpus": settings.cpuset_cpus,
        "CpusetMems": settings.cpuset_mems,
        "PidsLimit": settings.pids_limit,
        "BlkioWeight": settings.blkio_weight or 0,
        "ShmSize": settings.shm_size,
        "OomScoreAdj": settings.oom_score_adj or 0,
        "Tmpfs": dict(settings.tmpfs or {}),
        "Binds": mountinfo.binds(settings),
        "VolumesFrom": [f"{name}:{mode}" if mode else name for name, mode in settings.volumes_from],
        "Sysctls": dict(settings.sysctls or {}),
        "CgroupParent": settings.cgroup_parent,
        "Ulimits": [
            {"Name": limit.type.removeprefix("RLIMIT_").lower(), "Soft": limit.soft, "Hard": limit.hard}
            for limit in spec.process.rlimits
        ],
        "MaskedPaths": list(linux.masked_paths),
        "ReadonlyPaths": list(linux.readonly_paths),
    }


def _bindings(settings: Settings) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for one in settings.ports:
        last = "" if one.host_port_end is None else f"-{one.host_port_end}"
        bound = {"HostIp": one.host_ip, "HostPort": f"{one.host_port or ''}{last}"}
        found.setdefault(f"{one.container_port}/{one.protocol}", []).append(bound)
    return found


def _mode(choice: str, default: str = "private") -> str:
    return "" if choice == default else choice


def image(record: ImageRecord) -> dict[str, Any]:
    """The members of ``docker image inspect`` that this version can fill, under the same names."""
    config = record.config
    return {
        "Id": record.id,
        "RepoTags": list(record.tags),
        "RepoDigests": list(record.digests),
        "Comment": config.history[-1].comment if config.history else "",
        "Created": config.created or _time(None),
        "Author": config.author,
        "Config": _image_settings(config.config),
        "Architecture": config.architecture,
        "Variant": config.variant,
        "Os": config.os,
        "Size": record.size,
        "RootFS": {"Type": config.rootfs.type, "Layers": list(config.rootfs.diff_ids)},
    }


def _image_settings(config: ContainerConfig) -> dict[str, Any]:
    health = codec.encode(config.healthcheck)
    return {
        "User": config.user,
        "ExposedPorts": None if config.exposed_ports is None else dict(config.exposed_ports),
        "Env": list(config.env or ()),
        "Cmd": None if config.cmd is None else list(config.cmd),
        "Entrypoint": None if config.entrypoint is None else list(config.entrypoint),
        "Volumes": None if config.volumes is None else dict(config.volumes),
        "WorkingDir": config.working_dir,
        "Labels": None if config.labels is None else dict(config.labels),
        "StopSignal": config.stop_signal,
        "OnBuild": None if config.on_build is None else list(config.on_build),
        "Shell": None if config.shell is None else list(config.shell),
        **({"Healthcheck": health} if health else {}),
    }


def history(record: ImageRecord, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """The steps of an image, the last first.

    Args:
        sizes: bytes of each layer's files, the lowest first.
    """
    left = list(reversed(sizes))
    return [
        {
            "created": parse_time(step.created),
            "created_by": step.created_by,
            "author": step.author,
            "comment": step.comment,
            "empty_layer": step.empty_layer,
            "size": 0 if step.empty_layer or not left else left.pop(),
        }
        for step in record.config.history
    ][::-1]


def dockerfile(record: ImageRecord, others: Iterable[ImageRecord]) -> str:
    """A Dockerfile that says how an image was made, as well as can be known.

    Args:
        others: images that it may begin with.
    """
    below = [other for other in others if _is_below(other, record)]
    base = max(below, key=lambda one: (len(one.config.rootfs.diff_ids), len(one.config.history)), default=None)
    head = f"# {', '.join(record.tags) or record.id}, from its history and its config\n"
    if base is None:
        return head + recovered(record.config.history, record.config.config)
    history = record.config.history[len(base.config.history) :]
    return head + recovered(history, record.config.config, base.tags[0], base.config.config)


def _is_below(base: ImageRecord, record: ImageRecord) -> bool:
    """Whether an image is what another one began with."""
    layers, steps = base.config.rootfs.diff_ids, base.config.history
    return (
        base.id != record.id
        and len(layers) > 0
        and record.config.rootfs.diff_ids[: len(layers)] == layers
        and record.config.history[: len(steps)] == steps
    )


def layers(record: ImageRecord, sizes: Sequence[int]) -> list[LayerDetails]:
    """The layers of an image, the lowest first; ``sizes`` as for :func:`history`."""
    steps = [step.created_by for step in record.config.history if not step.empty_layer]
    steps += [""] * (len(record.layers) - len(steps))
    return [
        LayerDetails(number, diff_id, layer.digest, size, layer.size, layer_compression(layer, "image"), created_by)
        for number, (diff_id, layer, size, created_by) in enumerate(
            zip(record.config.rootfs.diff_ids, record.layers, sizes, steps, strict=False), 1
        )
    ]


def explain(spec: Spec, overlay: Mount, timings: str) -> Plan:
    """The operations of a start, and what each cost the last time.

    Args:
        timings: the file in which the monitor wrote the costs, in nanoseconds; it may not be there yet.
    """
    from containerkit.runtime import plan  # the whole runtime, which nothing else on this side needs

    operations = plan.build(spec, overlay, confined=is_rootless())
    costs: list[int | None] = []
    try:
        with open(timings) as file:
            costs = json.load(file)
    except FileNotFoundError:
        pass
    costs += [None] * (len(operations) - len(costs))
    outside = len(operations.outside)
    return Plan(
        tuple(
            Step(number, "host" if number <= outside else "container", type(o).__name__, o.describe(), cost, o.calls())
            for number, (o, cost) in enumerate(zip(operations, costs, strict=False), 1)
        )
    )
