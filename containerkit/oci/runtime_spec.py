"""The runtime specification's ``config.json`` as frozen values.

Source: opencontainers/runtime-spec, config.md and config-linux.md, version 1.2. Names are the specification's, in
snake_case. Only what a Linux runtime honours is here; other members are ignored, as the specification asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from containerkit.oci.codec import always, named
from containerkit.values import frozen

SPEC_VERSION = "1.2.0"


@frozen
class Root:
    path: str
    readonly: bool = False


@frozen
class IDMapping:
    container_id: int = named("containerID", 0, always=True)
    host_id: int = named("hostID", 0, always=True)
    size: int = always(0)


@frozen
class Mount:
    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    uid_mappings: tuple[IDMapping, ...] = ()
    gid_mappings: tuple[IDMapping, ...] = ()


@frozen
class Box:
    """Size of a terminal in characters."""

    height: int = always(0)
    width: int = always(0)


@frozen
class User:
    uid: int = always(0)
    gid: int = always(0)
    umask: int | None = None
    additional_gids: tuple[int, ...] = ()


@frozen
class Capabilities:
    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


@frozen
class Rlimit:
    type: str
    hard: int
    soft: int


@frozen
class IOPriority:
    """``class_`` is one of ``IOPRIO_CLASS_RT``, ``_BE`` and ``_IDLE``; ``priority`` 0 (first) to 7."""

    class_: str = named("class", "", always=True)
    priority: int = 0


@frozen
class Scheduler:
    """``runtime``, ``deadline`` and ``period`` in nanoseconds (sched(7))."""

    policy: str
    nice: int = 0
    priority: int = 0
    flags: tuple[str, ...] = ()
    runtime: int = 0
    deadline: int = 0
    period: int = 0


@frozen
class ExecCPUAffinity:
    """Lists of processors (``"0-2,7"``) for an exec'd process: before, and from when it is in its cgroup."""

    initial: str = ""
    final: str = ""


@frozen
class Process:
    cwd: str = always("/")
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    terminal: bool = False
    console_size: Box | None = None
    user: User = User()
    capabilities: Capabilities | None = None
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None
    io_priority: IOPriority | None = None
    scheduler: Scheduler | None = None
    exec_cpu_affinity: ExecCPUAffinity | None = named("execCPUAffinity")  # a field, as field() is
    apparmor_profile: str = ""
    selinux_label: str = ""


@frozen
class Namespace:
    type: str
    path: str = ""


@frozen
class Device:
    path: str
    type: str
    major: int = 0
    minor: int = 0
    file_mode: int | None = None
    uid: int = 0
    gid: int = 0


@frozen
class DeviceCgroup:
    allow: bool
    type: str = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"


@frozen
class Memory:
    """Bytes; -1 is unlimited."""

    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    kernel: int | None = None
    swappiness: int | None = None
    disable_oom_killer: bool | None = named("disableOOMKiller", None)


@frozen
class CPU:
    """``quota`` and ``period`` in microseconds."""

    shares: int | None = None
    quota: int | None = None
    period: int | None = None
    cpus: str = ""
    mems: str = ""
    idle: int | None = None
    burst: int | None = None


@frozen
class Pids:
    limit: int = 0


@frozen
class ThrottleDevice:
    major: int
    minor: int
    rate: int


@frozen
class WeightDevice:
    major: int
    minor: int
    weight: int | None = None


@frozen
class BlockIO:
    """``weight`` 10 to 1000; rates in bytes or operations a second."""

    weight: int | None = None
    weight_device: tuple[WeightDevice, ...] = ()
    throttle_read_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_write_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_read_iops_device: tuple[ThrottleDevice, ...] = named("throttleReadIOPSDevice", ())
    throttle_write_iops_device: tuple[ThrottleDevice, ...] = named("throttleWriteIOPSDevice", ())


@frozen
class HugepageLimit:
    page_size: str
    limit: int


@frozen
class NetworkClass:
    class_id: int | None = named("classID", None)


@frozen
class Resources:
    devices: tuple[DeviceCgroup, ...] = ()
    memory: Memory = Memory()
    cpu: CPU = CPU()
    pids: Pids = Pids()
    block_io: BlockIO = named("blockIO", BlockIO())  # a field, as field() is
    hugepage_limits: tuple[HugepageLimit, ...] = ()
    network: NetworkClass = NetworkClass()
    unified: Mapping[str, str] = field(default_factory=dict)


@frozen
class SeccompArg:
    index: int
    value: int
    op: str
    value_two: int = 0


@frozen
class SeccompSyscall:
    names: tuple[str, ...]
    action: str
    errno_ret: int | None = None
    args: tuple[SeccompArg, ...] = ()


@frozen
class Seccomp:
    default_action: str
    default_errno_ret: int | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    syscalls: tuple[SeccompSyscall, ...] = ()
    listener_path: str = ""
    listener_metadata: str = ""


@frozen
class TimeOffset:
    secs: int = 0
    nanosecs: int = 0


@frozen
class Personality:
    domain: str
    flags: tuple[str, ...] = ()


@frozen
class NetDevice:
    name: str = ""


@frozen
class MemoryPolicy:
    mode: str = ""


@frozen
class Linux:
    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IDMapping, ...] = ()
    gid_mappings: tuple[IDMapping, ...] = ()
    time_offsets: Mapping[str, TimeOffset] = field(default_factory=dict)
    devices: tuple[Device, ...] = ()
    cgroups_path: str = ""
    resources: Resources = Resources()
    sysctl: Mapping[str, str] = field(default_factory=dict)
    seccomp: Seccomp | None = None
    rootfs_propagation: str = ""
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    personality: Personality | None = None
    mount_label: str = ""
    net_devices: Mapping[str, NetDevice] = field(default_factory=dict)
    memory_policy: MemoryPolicy | None = None

    def namespace(self, kind: str) -> Namespace | None:
        """The namespace entry of that type (``"pid"``, ``"network"``, …), or None where the host's is kept."""
        return next((entry for entry in self.namespaces if entry.type == kind), None)

    def host_ids(self, user: User) -> tuple[int, int] | None:
        """The user and group of the host that a user of the container is, where it has maps of its own."""
        uid, gid = mapped(self.uid_mappings, user.uid), mapped(self.gid_mappings, user.gid)
        return None if uid is None or gid is None else (uid, gid)


def mapped(maps: tuple[IDMapping, ...], id: int) -> int | None:
    """What an id inside is outside; None when it is not in the maps."""
    for entry in maps:
        if entry.container_id <= id < entry.container_id + entry.size:
            return entry.host_id + id - entry.container_id
    return None


@frozen
class Hook:
    """A program for a moment in a container's life. ``args`` includes its own name; ``timeout`` in seconds."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None


@frozen
class Hooks:
    """By moment. ``prestart`` is the old name of ``create_runtime``."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


@frozen
class Spec:
    """One ``config.json``."""

    root: Root
    process: Process = Process()
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    hooks: Hooks = Hooks()
    linux: Linux = Linux()
    oci_version: str = always(SPEC_VERSION)
