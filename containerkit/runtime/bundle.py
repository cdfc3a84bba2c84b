"""Reading a bundle: ``config.json`` into a Spec, and what no runtime could execute refused before anything is touched.

Source: runtime-spec config.md and config-linux.md.
"""

from __future__ import annotations

import os
import resource
from dataclasses import replace

from containerkit.errors import InvalidArgument, Unsupported, from_os_error, suggestion
from containerkit.linux import capabilities, namespaces, scheduling
from containerkit.linux.cgroups import DEFAULT_DEVICES
from containerkit.linux.process import PERSONALITIES
from containerkit.oci import codec
from containerkit.oci.runtime_spec import Mount, Rlimit, Seccomp, Spec
from containerkit.runtime import affinity, mount_options

#: Parameters that belong to a namespace; every other one is the whole machine's.
_SYSCTLS = {
    "ipc": ("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
            "kernel.shmmni", "kernel.shm_rmid_forced", "fs.mqueue."),
    "network": ("net.",),
    "uts": ("kernel.domainname", "kernel.hostname"),
}  # fmt: skip


def load(bundle: str, *, config: str = "config.json", cgroup: str = "") -> Spec:
    """The validated configuration of the bundle at that path.

    Args:
        config: the file's name, or another path.
        cgroup: the path of its cgroup, where the configuration names none.

    Raises:
        NotFound: no ``config.json``.
        InvalidArgument: it is not what the specification allows; the message names the member.
        Unsupported: it asks for what this runtime does not do.
    """
    path = os.path.join(bundle, config)
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise from_os_error(error, f"bundle {bundle}") from error
    return _complete(validate(codec.loads(Spec, text, "config.json")), bundle, cgroup)


def _complete(spec: Spec, bundle: str, cgroup: str) -> Spec:
    """With what the specification leaves to the runtime: the cgroup's path, default devices, where paths begin."""
    linux = spec.linux
    path = linux.cgroups_path or cgroup
    rules = linux.resources.devices
    if any(not rule.allow for rule in rules):
        # The default devices may be used whatever the rules say.
        rules = (*rules, *(rule for rule in DEFAULT_DEVICES if rule.allow and rule not in rules))
    mounts = tuple(
        replace(mount, source=os.path.join(bundle, mount.source)) if mount_options.is_bind(mount) else mount
        for mount in spec.mounts
    )
    resources = replace(linux.resources, devices=rules)
    path = path if not path or path.startswith("/") else f"/{path}"
    return replace(spec, mounts=mounts, linux=replace(linux, cgroups_path=path, resources=resources))


def write_filter(bundle: str, program: bytes) -> None:
    """Keep the compiled seccomp profile beside the configuration it belongs to."""
    with open(os.path.join(bundle, "seccomp.bpf"), "wb") as file:
        file.write(program)


def read_filter(bundle: str, spec: Spec | None = None) -> bytes:
    """The compiled seccomp profile; compiled now when :func:`write_filter` has not been called and ``spec`` is given.

    Raises:
        Unsupported: it has to be compiled, and libseccomp is not installed.
    """
    try:
        with open(os.path.join(bundle, "seccomp.bpf"), "rb") as file:
            return file.read()
    except FileNotFoundError:
        if spec is None or spec.linux.seccomp is None:
            return b""
    # Not at the top: whoever has compiled profiles needs none of what this needs.
    from containerkit.linux import seccomp_cache

    return seccomp_cache.filter_for(spec.linux.seccomp)


def validate(spec: Spec) -> Spec:
    """``spec`` itself, when a Linux runtime can execute it.

    Raises:
        InvalidArgument: it cannot; the message names the member.
    """
    _validate_process(spec)
    _validate_version(spec.oci_version)
    _validate_namespaces(spec)
    for mount in spec.mounts:
        _validate_mount(spec, mount)
    for device in spec.linux.devices:
        if device.type not in ("c", "b", "u", "p") or not device.path.startswith("/"):
            raise InvalidArgument(f"config.json: linux.devices: {device.path} ({device.type}): no device")
    for hook in (hook for hooks in vars(spec.hooks).values() for hook in hooks):
        if not hook.path.startswith("/"):
            raise InvalidArgument(f"config.json: hooks: {hook.path}: must be an absolute path")
        if hook.timeout is not None and hook.timeout <= 0:
            raise InvalidArgument(f"config.json: hooks: {hook.path}: timeout {hook.timeout}: must be above 0")
    if spec.linux.rootfs_propagation not in ("", "private", "shared", "slave", "unbindable"):
        raise InvalidArgument(f"config.json: linux.rootfsPropagation: unknown: {spec.linux.rootfs_propagation}")
    _validate_seccomp(spec.linux.seccomp)
    _refuse(spec)
    for name in spec.linux.sysctl:
        _validate_sysctl(spec, name)
    if spec.hostname and spec.linux.namespace("uts") is None:
        raise InvalidArgument("config.json: hostname: needs a uts namespace of its own")
    return spec


def _validate_version(version: str) -> None:
    major, _, rest = version.partition(".")
    if major != "1" or not rest:
        raise InvalidArgument(f"config.json: ociVersion {version!r}: expected 1.…")


def _validate_namespaces(spec: Spec) -> None:
    kinds = [entry.type for entry in spec.linux.namespaces]
    for kind in kinds:
        if kind not in namespaces.KINDS:
            raise InvalidArgument(f"config.json: linux.namespaces: unknown namespace {kind}")
        if kinds.count(kind) > 1:
            raise InvalidArgument(f"config.json: linux.namespaces: {kind} is there twice")
    if "mount" not in kinds:
        raise InvalidArgument("config.json: linux.namespaces: needs a mount namespace of its own")
    user = spec.linux.namespace("user")
    if user is None and (spec.linux.uid_mappings or spec.linux.gid_mappings):
        raise InvalidArgument("config.json: linux.uidMappings: need a user namespace of its own")
    if spec.linux.time_offsets and spec.linux.namespace("time") is None:
        raise InvalidArgument("config.json: linux.timeOffsets: need a time namespace of its own")


def _validate_mount(spec: Spec, mount: Mount) -> None:
    if not mount.destination.startswith("/"):
        raise InvalidArgument(f"config.json: mounts: {mount.destination}: the destination must be absolute")
    if mount_options.is_mapped(mount) and not (mount.uid_mappings or spec.linux.uid_mappings):
        raise InvalidArgument(f"config.json: mounts: {mount.destination}: idmap without uidMappings")
    if mount.uid_mappings and not mount_options.is_mapped(mount):
        raise Unsupported(f"config.json: mounts: {mount.destination}: uidMappings without the option idmap or ridmap")


def _validate_seccomp(profile: Seccomp | None) -> None:
    if profile is None:
        return
    for rule in profile.syscalls:
        # The init itself makes these calls once the filter is loaded, before anybody could decide on them.
        if rule.action == "SCMP_ACT_NOTIFY" and (found := {"write", "sendmsg"} & set(rule.names)):
            raise InvalidArgument(f"config.json: linux.seccomp: {', '.join(sorted(found))}: cannot be SCMP_ACT_NOTIFY")
        if rule.action == "SCMP_ACT_NOTIFY" and not profile.listener_path:
            raise InvalidArgument("config.json: linux.seccomp: SCMP_ACT_NOTIFY without a listenerPath")
    if profile.default_action == "SCMP_ACT_NOTIFY":
        raise InvalidArgument("config.json: linux.seccomp: defaultAction cannot be SCMP_ACT_NOTIFY")


def _refuse(spec: Spec) -> None:
    """Say so where something is asked for that this runtime does not do: to leave it out would be to lie."""
    linux, process = spec.linux, spec.process
    for member, value in (
        ("process.apparmorProfile", process.apparmor_profile),
        ("process.selinuxLabel", process.selinux_label),
        ("linux.mountLabel", linux.mount_label),
        ("linux.netDevices", linux.net_devices),
        ("linux.memoryPolicy", linux.memory_policy and linux.memory_policy.mode),
        ("linux.personality.flags", linux.personality and linux.personality.flags),
    ):
        if value:
            raise Unsupported(f"config.json: {member}: {value}: this runtime does not do that")


def _validate_process(spec: Spec) -> None:
    process = spec.process
    if not process.args or not process.args[0]:
        raise InvalidArgument("config.json: process.args: no command")
    if not process.cwd.startswith("/"):
        raise InvalidArgument(f"config.json: process.cwd: {process.cwd}: must be an absolute path")
    for text in (*process.args, *process.env):
        if "\0" in text:
            raise InvalidArgument("config.json: process: an argument or variable holds a NUL character")
    for limit in process.rlimits:
        _validate_rlimit(limit)
    if (io := process.io_priority) is not None and (io.class_ not in scheduling.IO_CLASSES or not 0 <= io.priority < 8):
        raise InvalidArgument(f"config.json: process.ioPriority: {io.class_} {io.priority}: unknown; see ioprio_set(2)")
    if (turns := process.scheduler) is not None:
        for name, known in ((turns.policy, scheduling.POLICIES), *((flag, scheduling.FLAGS) for flag in turns.flags)):
            if name not in known:
                raise InvalidArgument(f"config.json: process.scheduler: unknown: {name}; see sched_setattr(2)")
    if (cpus := process.exec_cpu_affinity) is not None:
        for text in (cpus.initial, cpus.final):
            affinity.parse(text)
    if (persona := spec.linux.personality) is not None and persona.domain not in PERSONALITIES:
        raise InvalidArgument(f"config.json: linux.personality: unknown: {persona.domain}")
    if process.capabilities is not None:
        sets = process.capabilities
        for name in {*sets.bounding, *sets.effective, *sets.permitted, *sets.inheritable, *sets.ambient}:
            if name not in capabilities.NUMBERS:
                raise InvalidArgument(f"config.json: process.capabilities: unknown capability {name}")


def _validate_rlimit(limit: Rlimit) -> None:
    if not limit.type.startswith("RLIMIT_") or not hasattr(resource, limit.type):
        near = suggestion(limit.type, (name for name in dir(resource) if name.startswith("RLIMIT_")))
        raise InvalidArgument(f"rlimit {limit.type}: unknown{near}; see getrlimit(2)")
    if limit.soft > limit.hard:
        raise InvalidArgument(f"rlimit {limit.type}: soft limit {limit.soft} is above the hard limit {limit.hard}")


def _validate_sysctl(spec: Spec, name: str) -> None:
    if ".." in name.split("/") or name.startswith("/"):
        raise InvalidArgument(f"sysctl {name}: not a parameter's name")
    for kind, prefixes in _SYSCTLS.items():
        if name.replace("/", ".").startswith(prefixes):
            if spec.linux.namespace(kind) is None:
                raise InvalidArgument(f"sysctl {name}: needs a {kind} namespace of its own")
            return
    raise InvalidArgument(f"sysctl {name}: not kept per namespace: it would change the whole machine")
