"""Typed inputs: the options of ``run``, ``create`` and ``call``, those of ``build``, and the grammar of their values.

Options are written as a person writes them (:class:`RunOptions`) and kept as the machine needs them
(:class:`Settings`): bytes, seconds, lists. Whatever cannot be right is refused here, before anything is touched.

A new option of ``run`` is a line each in :class:`RunOptions` (with its help), :class:`Settings` and ``readers``; forms,
magics and ``help`` follow. What it does is in supervise/configure; what ``update`` may change is a
:class:`ResourceOptions`, too.

``values`` has the grammar of single values, ``policies``, ``devices``, ``mounts``, ``ports``, ``networks`` and
``users`` that of the larger ones, ``readers`` the table of which option is read how. ``builds`` has the options of
builds; ``names`` is about what options are called, and ``foreign`` about what others call them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypedDict

from containerkit.errors import InvalidArgument
from containerkit.options import foreign, networks, readers
from containerkit.options.builds import BUILD_DEFAULTS, BuildOptions, StepOptions
from containerkit.options.devices import DeviceMapping, Rates
from containerkit.options.mounts import Mount, refuse_twice, volume_name
from containerkit.options.names import explained_by, shows_options, unknown_option
from containerkit.options.networks import Networks, network_name
from containerkit.options.policies import Healthcheck, LogOptions, RestartPolicy
from containerkit.options.ports import Exposed, PortMapping, Ports
from containerkit.options.values import (
    Command,
    Duration,
    Size,
    command,
    container_name,
    duration,
    environment,
    signal_number,
    size,
)
from containerkit.values import frozen

__all__ = [
    "BUILD_DEFAULTS", "BuildOptions", "Command", "DeviceMapping", "Duration", "Healthcheck", "LogOptions", "Mount",
    "PortMapping", "ResourceOptions", "RestartPolicy", "RunOptions", "Settings", "Size", "StepOptions", "command",
    "container_name", "duration", "environment", "explained_by", "network_name", "settings", "shows_options",
    "signal_number", "size", "unknown_option", "update", "volume_name",
]  # fmt: skip


class ResourceOptions(TypedDict, total=False):
    """Options that can change while a container lives (``Container.update``); they are explained in RunOptions."""

    memory: Size
    memory_swap: Size
    memory_reservation: Size
    cpus: float
    cpu_shares: int
    cpu_period: int
    cpu_quota: int
    cpuset_cpus: str
    cpuset_mems: str
    pids_limit: int
    blkio_weight: int
    device_read_bps: Rates
    device_write_bps: Rates
    device_read_iops: Rates
    device_write_iops: Rates
    restart: str | Mapping[str, Any]


class RunOptions(ResourceOptions, total=False):
    """Options of ``run``, ``create`` and ``call``, named after those of ``docker run``.

    Identity:

    ``name``: what it is called; default: a made-up one.
    ``replace``: remove a container of that name first.
    ``labels``: ``{"key": "value"}``.
    ``hostname``: what it calls itself; default: its short id.
    ``domainname``: what follows that; default: nothing.
    ``pull``: whether a registry is asked for the image: ``"missing"`` (the default), ``"never"`` or ``"always"``.
    ``platform``: ``"linux/amd64"``: the image must be for it.

    Process:

    ``entrypoint``: what runs instead of the image's; the command is its arguments.
    ``env``: variables: a mapping, or ``["A=1"]``.
    ``env_file``: a file of lines ``A=1``.
    ``user``: ``"name"``, ``"1000"``, ``"1000:100"``; default: the image's, else root.
    ``group_add``: more groups: ``["video", 44]``.
    ``workdir``: an absolute path; default: the image's, else ``/``.
    ``tty``: it has a terminal.
    ``stdin_open``: its input stays open: see ``Container.attach``.
    ``init``: a pid 1 that reaps and passes signals on.

    Life:

    ``remove``: remove it when it ends.
    ``restart``: ``"no"``, ``"on-failure:3"``, ``"always"``, ``"unless-stopped"``.
    ``stop_signal``: what asks it to end; default: the image's, else TERM.
    ``stop_timeout``: seconds until it is killed then (10).
    ``healthcheck``: a command line, or a mapping with the members of ``Healthcheck``.
    ``log_options``: ``{"max_size": "10m", "max_file": 3}``; what is not said is the configuration's.

    Limits:

    ``memory``: bytes, or ``"64m"``.
    ``memory_swap``: memory and swap together; default: twice ``memory``; -1: unlimited.
    ``memory_reservation``: what it keeps when memory is short.
    ``shm_size``: of ``/dev/shm`` (``"64m"``).
    ``cpus``: cores: 1.5 is one and a half.
    ``cpu_shares``: its weight where processors are short (1024).
    ``cpu_period``, ``cpu_quota``: microseconds; ``cpus`` stands for them.
    ``cpuset_cpus``, ``cpuset_mems``: which processors, and which nodes' memory: ``"0-1"``.
    ``pids_limit``: how many processes and threads at most.
    ``blkio_weight``: its weight where disks are busy: 10 to 1000.
    ``device_read_bps``, ``device_write_bps``: ``{"/dev/sda": "1m"}`` a second.
    ``device_read_iops``, ``device_write_iops``: ``{"/dev/sda": 100}`` a second.
    ``hugetlb``: ``{"2MB": "64m"}``.
    ``net_cls_classid``: tc's class, ``0x100001``.
    ``oom_score_adj``: how soon the kernel ends it when memory runs out: -1000 (last) to 1000 (first).
    ``oom_kill_disable``: it waits for memory instead (cgroup v1).
    ``ulimits``: ``{"nofile": 99}`` or ``(soft, hard)``.

    Security:

    ``cap_add``, ``cap_drop``: capabilities over the usual ones, and those that it lacks: ``["NET_ADMIN"]``.
    ``privileged``: all capabilities and devices, and nothing hidden: root of this machine in all but name.
    ``security_opt``: ``"no-new-privileges"``, ``"seccomp=unconfined"``, ``"seccomp=/a/profile.json"``, in a list.
    ``read_only``: it cannot write to its root file system.
    ``sysctls``: ``{"net.core.somaxconn": 1024}``.
    ``cgroup_parent``: the cgroup that its own is in.
    ``devices``: ``["/dev/fuse", "/dev/sda:/dev/xvda:r"]``.
    ``device_cgroup_rules``: ``["c 10:200 rwm"]``.

    Namespaces:

    ``pid``, ``uts``, ``ipc``, ``cgroupns``: ``"private"``, ``"host"`` or ``"container:NAME"``.
    ``userns``: ``"host"``; ``"remap"``: its root is an ordinary user of the host; ``"container:NAME"``: the users of
    that one; ``"keep-id"``: below.

    Files:

    ``volumes``: ``["site:/data"]``: a volume, made when it is not there; ``"/host:/data:ro"``: a directory of this
    machine; ``"/data"``: an anonymous volume; or ``{"site": "/data"}``, in the same order.
    ``mounts``: ``[Mount(…)]``, for all that there is.
    ``volumes_from``: containers whose volumes and binds it gets: ``"db"`` or ``"db:ro"``.
    ``tmpfs``: in memory: ``{"/run": "size=64m"}`` or paths.

    Network:

    ``network``: ``"bridge"``, which is the default; a network's name, a network, or a list of these; ``"none"``:
    loopback only; ``"host"``; ``"container:NAME"``.
    ``network_aliases``: more names there.
    ``ip``: an address, or an IPv4 and an IPv6 one, on the first network.
    ``mac_address``: of its first link.
    ``ports``: published: ``["8080:80"]``, this machine's port first, as docker has it; or, the container's first,
    ``{80: 8080}``, ``{"53/udp": ("127.0.0.1", None)}``; or ``PortMapping``. None is any free port of this machine.
    ``expose``: ``[80, "53/udp"]``: what it serves; ``publish_all``: these on any free ports.
    ``links``: ``["db:alias"]``.
    ``add_hosts``: more names: ``["name:1.2.3.4"]``, ``{"name": "host-gateway"}``.
    ``dns``: name servers' addresses.
    ``dns_search``: domains; ``["."]`` for none.
    ``dns_options``: ``["ndots:2"]``.

    What a container writes into a directory of yours is yours with ``userns="keep-id"``: its process has your user and
    group, unless ``user`` says another. ``"keep-id:uid=1000,gid=100"``: inside you are that user, as images want it
    whose user has a number of its own (Jupyter's: 1000, group 100). Root is whoever has called sudo (``SUDO_UID``), and
    with another number inside the directories are mounted so that the two have changed places; on a file system that
    has no such mounts (before Linux 5.12 any, and nfs) that is an error. Volumes of ours keep their owners. An ordinary
    user's container has a user namespace of its own, and the image's root, too, is another than you; for that the
    image's files are copied once for each pair of numbers (0.15 s for 2 MB, 2.4 s for 200 MB in 20,000 files, and that
    room on the disk, until the image goes). Without subordinate ids (subuid(5)) there is nobody but you, and all files
    are yours. ``HOME`` is what the image says of that number, else ``/``; ``/etc/passwd`` gets no row, and whoami(1)
    may know no name. It joins no other container's namespaces, nor they its own, where it has a user namespace.
    """

    name: str
    replace: bool
    pull: str
    platform: str
    labels: Mapping[str, str]
    hostname: str
    domainname: str
    remove: bool
    entrypoint: Command
    env: Mapping[str, str] | Sequence[str]
    env_file: str | Path
    user: str | int
    workdir: str
    tty: bool
    stdin_open: bool
    init: bool
    healthcheck: Healthcheck | Mapping[str, Any] | str
    log_options: LogOptions | Mapping[str, Any]
    stop_signal: str | int
    stop_timeout: Duration
    group_add: Sequence[str | int]
    shm_size: Size
    hugetlb: Mapping[str, Size]
    net_cls_classid: int | str
    oom_score_adj: int
    oom_kill_disable: bool
    ulimits: Mapping[str, int | tuple[int, int]]
    cap_add: Sequence[str]
    cap_drop: Sequence[str]
    privileged: bool
    security_opt: Sequence[str]
    read_only: bool
    sysctls: Mapping[str, str | int]
    cgroup_parent: str
    devices: Sequence[str]
    device_cgroup_rules: Sequence[str]
    volumes: Sequence[str | Mount] | Mapping[Any, Any] | str
    volumes_from: Sequence[str] | str
    mounts: Sequence[Mount | Mapping[str, Any] | str]
    tmpfs: Mapping[str, str] | Sequence[str]
    pid: str
    uts: str
    ipc: str
    cgroupns: str
    userns: str
    network: Networks
    network_aliases: Sequence[str]
    ip: str | Sequence[str]
    mac_address: str
    ports: Ports
    publish_all: bool
    expose: Exposed
    links: Mapping[str, str] | Sequence[str]
    add_hosts: Mapping[str, str] | Sequence[str]
    dns: Sequence[str]
    dns_search: Sequence[str]
    dns_options: Sequence[str]


@frozen
class Settings:
    """Options made plain: sizes in bytes, times in seconds, commands and sets as lists. What is written down."""

    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    name: str = ""
    labels: Mapping[str, str] | None = None
    hostname: str = ""
    domainname: str = ""
    remove: bool = False
    env: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    tty: bool = False
    stdin_open: bool = False
    init: bool = False
    restart: RestartPolicy = RestartPolicy()  # a tuple
    healthcheck: Healthcheck | None = None
    log_options: LogOptions = LogOptions()  # a tuple
    stop_signal: str = ""
    stop_timeout: float | None = None
    group_add: tuple[str, ...] = ()
    memory: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    shm_size: int = 64 << 20
    cpus: float | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int | None = None
    blkio_weight: int | None = None
    device_read_bps: Mapping[str, int] | None = None
    device_write_bps: Mapping[str, int] | None = None
    device_read_iops: Mapping[str, int] | None = None
    device_write_iops: Mapping[str, int] | None = None
    hugetlb: Mapping[str, int] | None = None
    net_cls_classid: int | None = None
    oom_score_adj: int | None = None
    oom_kill_disable: bool = False
    ulimits: Mapping[str, tuple[int, int]] | None = None
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    security_opt: tuple[str, ...] = ()
    read_only: bool = False
    sysctls: Mapping[str, str] | None = None
    cgroup_parent: str = ""
    devices: tuple[DeviceMapping, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    tmpfs: Mapping[str, str] | None = None
    mounts: tuple[Mount, ...] = ()  # volumes, too
    volumes_from: tuple[tuple[str, str], ...] = ()
    pid: str = "private"
    uts: str = "private"
    ipc: str = "private"
    cgroupns: str = "private"
    userns: str = "host"
    network: str = "bridge"  # it is on networks; else "none", "host" or "container:NAME"
    networks: tuple[str, ...] = ("bridge",)
    network_aliases: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()
    mac_address: str = ""
    ports: tuple[PortMapping, ...] = ()
    publish_all: bool = False
    expose: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    add_hosts: tuple[tuple[str, str], ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    session: str = ""  # whose it is: supervise/abandoned.py
    anonymous: tuple[str, ...] = ()  # the volumes that go with it: nobody has named them: supervise/volumes/settling.py

    @property
    def volumes(self) -> tuple[str, ...]:
        """The names of the volumes among its mounts."""
        return tuple(mount.source for mount in self.mounts if mount.type == "volume")

    def written(self) -> dict[str, Any]:
        """Those that were given, as JSON takes them."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) != f.default}

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> Settings:
        """What :meth:`written` wrote."""
        values: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in written.items()}
        for name in _RICH.keys() & values.keys():
            values[name] = _RICH[name](values[name])
        return cls(**values)


#: Members that JSON does not give back as they were.
_RICH: dict[str, Callable[[Any], Any]] = {
    "ulimits": lambda found: {name: tuple(pair) for name, pair in found.items()},
    "restart": RestartPolicy._make,
    "log_options": LogOptions._make,
    "healthcheck": lambda found: Healthcheck(tuple(found[0]), *found[1:]),
    "devices": lambda found: tuple(map(DeviceMapping._make, found)),
    "ports": lambda found: tuple(map(PortMapping._make, found)),
    "mounts": lambda found: tuple(Mount(*one)._replace(options=tuple(one[10])) for one in found),
    "volumes_from": lambda found: tuple(map(tuple, found)),
    "links": lambda found: tuple(map(tuple, found)),
    "add_hosts": lambda found: tuple(map(tuple, found)),
}

#: Options that are not the container's, but say how it is made.
_OF_THE_CALL = ("env_file", "replace", "pull", "platform")


def settings(command_: Command, options: Mapping[str, Any]) -> Settings:
    """The settings that ``options`` stand for.

    Raises:
        InvalidArgument: an unknown option (with the nearest known one), or a value that cannot be right.
    """
    values: dict[str, Any] = {"command": command(command_)}
    extra = readers.env_file(options["env_file"]) if options.get("env_file") is not None else ()
    for name, value in options.items():
        if name not in _OF_THE_CALL and value is not None:
            values[name] = _reader(name)(value, name)
    if "network" in values:
        values["network"], values["networks"] = values["network"]
    values["env"] = extra + values.get("env", ())
    values["mounts"] = values.pop("volumes", ()) + values.get("mounts", ())
    found = Settings(**values)
    _check_together(found)
    return found


def _reader(name: str) -> Callable[[Any, str], Any]:
    reader = readers.READERS.get(name)
    if reader is None:
        raise unknown_option(name, (*readers.READERS, *_OF_THE_CALL), foreign.OPTIONS)
    return reader


def update(current: Settings, options: Mapping[str, Any]) -> Settings:
    """``current`` with other resources.

    Raises:
        InvalidArgument: an option that cannot change while a container lives, or a value that cannot be right.
    """
    for name in options:
        _reader(name)
        if name not in readers.RESOURCES:
            raise InvalidArgument(f"option {name}: cannot be changed once the container is made")
    values = {name: _reader(name)(value, name) for name, value in options.items() if value is not None}
    if values.get("memory", 0) > 0 and "memory_swap" not in values and (current.memory_swap or 0) > 0:
        values["memory_swap"] = None  # follows the memory limit, as when it is made
    if "cpus" in values:
        values = {"cpu_quota": None, "cpu_period": None, **values}
    elif {"cpu_quota", "cpu_period"} & values.keys():
        values = {"cpus": None, **values}
    found = replace(current, **values)
    _check_together(found)
    return found


def _check_together(found: Settings) -> None:
    if found.cpus is not None and (found.cpu_quota is not None or found.cpu_period is not None):
        raise InvalidArgument("cpus: cannot be combined with cpu_period and cpu_quota: it stands for them")
    if found.memory_swap not in (None, -1) and (found.memory is None or found.memory_swap < found.memory):
        raise InvalidArgument("memory_swap: is memory and swap together: it needs memory, and cannot be below it")
    if found.memory_reservation and found.memory and found.memory_reservation > found.memory:
        raise InvalidArgument("memory_reservation: cannot be above memory")
    if found.remove and found.restart.name != "no":
        raise InvalidArgument("restart: cannot be combined with remove: what is removed cannot start again")
    refuse_twice([*(mount.target for mount in found.mounts), *(found.tmpfs or {})], "volumes")
    networks.check_together(found)
