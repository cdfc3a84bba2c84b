"""The plan of a start: a pure function of the configuration.

The order is the design. Outside: the cgroup, then the clone. Inside: join, mounts (read-only and masks last, for they
cover what was mounted), names, pivot_root; then, after the word to go, everything that gives rights away.
"""

from __future__ import annotations

from collections.abc import Iterator

from containerkit.linux import mounts as m
from containerkit.linux import seccomp
from containerkit.oci.runtime_spec import Device, Process, Spec
from containerkit.oci.runtime_spec import Mount as MountEntry
from containerkit.runtime import identity, mount_options, namespaces, rootfs
from containerkit.runtime.operation import Operation, Plan

#: Devices that every container has (runtime-spec, "Default Devices").
DEFAULT_DEVICES = (
    Device("/dev/null", "c", 1, 3, 0o666),
    Device("/dev/zero", "c", 1, 5, 0o666),
    Device("/dev/full", "c", 1, 7, 0o666),
    Device("/dev/random", "c", 1, 8, 0o666),
    Device("/dev/urandom", "c", 1, 9, 0o666),
    Device("/dev/tty", "c", 5, 0, 0o666),
)

#: The annotation of a container whose pid 1 is ours: the specification has no member for it.
INIT = "containerkit.init"


def build(spec: Spec, overlay: MountEntry | None = None) -> Plan:
    """The operations that start the container that ``spec`` describes.

    Args:
        spec: a validated configuration.
        overlay: the mount that makes the root file system, as a snapshot driver gives it; None when the bundle's
            rootfs is ready as it is.
    """
    return Plan(outside=tuple(_outside(spec)), inside=tuple(_inside(spec, overlay)))


def build_enter(process: Process, cgroup: str, *, filtered: bool) -> Plan:
    """The operations that run ``process`` in a running container.

    Between outside and inside the namespaces are joined, by :mod:`containerkit.runtime.enter`, which knows the pid.

    Args:
        cgroup: the path of the cgroup to join; empty for none.
        filtered: whether there is a seccomp filter to load.
    """
    outside = (namespaces.JoinCgroup(cgroup),) if cgroup else ()
    load = (identity.LoadSeccomp(),) if filtered else ()
    terminal = (rootfs.OpenTerminal(*_size(process), console=False),) if process.terminal else ()
    return Plan(outside, (*terminal, *_before_start(process), *_after_start(process, load, entered=True)))


def _outside(spec: Spec) -> Iterator[Operation]:
    linux = spec.linux
    if linux.cgroups_path:
        yield namespaces.CreateCgroup(linux.cgroups_path, linux.resources)
    if (entry := linux.namespace("time")) is not None and not entry.path:
        yield namespaces.OffsetClocks(tuple(linux.time_offsets.items()))
    # Joining a pid namespace is for children too: it has to come before the clone.
    if (entry := linux.namespace("pid")) is not None and entry.path:
        yield namespaces.JoinNamespace("pid", entry.path)
    yield namespaces.Clone(tuple(e.type for e in linux.namespaces if not e.path and e.type not in ("cgroup", "time")))


def _inside(spec: Spec, overlay: MountEntry | None) -> Iterator[Operation]:
    linux = spec.linux
    # As the host's root, which it is until it has its ids.
    if linux.cgroups_path:
        yield namespaces.JoinCgroup(linux.cgroups_path)
    if (user := linux.namespace("user")) is not None and not user.path:
        yield namespaces.AwaitIdMaps(linux.uid_mappings, linux.gid_mappings)
    for entry in linux.namespaces:
        if entry.path and entry.type != "pid":
            yield namespaces.JoinNamespace(entry.type, entry.path)
    if (cgroup := linux.namespace("cgroup")) is not None and not cgroup.path:
        yield namespaces.UnshareCgroup()
    if (network := linux.namespace("network")) is not None and not network.path:
        yield namespaces.RaiseLoopback()
    yield from _files(spec, overlay)
    if spec.hostname:
        yield namespaces.SetHostname(spec.hostname)
    sysctls = dict(linux.sysctl)
    if spec.domainname:
        sysctls["kernel.domainname"] = spec.domainname
    for name, value in sysctls.items():
        yield namespaces.WriteSysctl(name, value)
    yield rootfs.PivotRoot()
    yield from _before_start(spec.process)
    yield identity.AwaitStart()
    profile = linux.seccomp
    load = (identity.LoadSeccomp(seccomp.flags_of(profile)),) if profile is not None else ()
    yield from _after_start(spec.process, load, reaps=spec.annotations.get(INIT) == "true")


def _files(spec: Spec, overlay: MountEntry | None) -> Iterator[Operation]:
    linux = spec.linux
    yield rootfs.SetPropagation(mount_options.PROPAGATION.get(linux.rootfs_propagation, m.MS_SLAVE | m.MS_REC))
    yield _overlay(overlay) if overlay is not None else rootfs.BindRootfs()
    for entry in spec.mounts:
        options = mount_options.parse(entry.options)
        if entry.type == "bind" and not options.is_bind:
            options = mount_options.parse((*entry.options, "bind"))
        yield rootfs.Mount(entry.destination, entry.type, entry.source, options)
    if any(entry.destination == "/dev" and entry.type == "tmpfs" for entry in spec.mounts):
        in_user_namespace = linux.namespace("user") is not None
        for device in (*DEFAULT_DEVICES, *linux.devices):
            mode = 0o666 if device.file_mode is None else device.file_mode
            yield rootfs.CreateDevice(
                device.path, device.type, device.major, device.minor, mode, device.uid, device.gid, in_user_namespace
            )
        yield rootfs.LinkDevices()
    if spec.process.cwd != "/":
        yield rootfs.MakeWorkingDirectory(spec.process.cwd)
    if spec.process.terminal:
        yield rootfs.OpenTerminal(*_size(spec.process), console=True)
    for path in linux.readonly_paths:
        yield rootfs.ReadonlyPath(path)
    for path in linux.masked_paths:
        yield rootfs.MaskPath(path)
    if spec.root.readonly:
        yield rootfs.RemountRootReadonly()


def _size(process: Process) -> tuple[int, int]:
    size = process.console_size
    return (size.width, size.height) if size is not None else (0, 0)


def _overlay(entry: MountEntry) -> rootfs.MountOverlay:
    options = dict(item.partition("=")[::2] for item in entry.options)
    lower = tuple(options.pop("lowerdir").split(":"))
    upper, work = options.pop("upperdir"), options.pop("workdir")
    extra = tuple(f"{key}={value}" if value else key for key, value in options.items())
    return rootfs.MountOverlay(lower, upper, work, extra)


def _before_start(process: Process) -> Iterator[Operation]:
    yield identity.NewSession()
    yield identity.NewKeyring()
    for limit in process.rlimits:
        yield identity.SetRlimit(limit)
    if process.oom_score_adj is not None:
        yield identity.SetOomScore(process.oom_score_adj)


def _after_start(
    process: Process, load: tuple[Operation, ...], *, entered: bool = False, reaps: bool = False
) -> Iterator[Operation]:
    """From here on each operation gives something away."""
    yield identity.CloseDescriptors()
    # Without no_new_privs, loading a filter takes CAP_SYS_ADMIN: it has to come before the capabilities go.
    if not process.no_new_privileges:
        yield from load
    yield identity.ChangeDirectory(process.cwd)
    if process.capabilities is not None:
        yield identity.DropBoundingSet(process.capabilities.bounding)
    yield identity.SetUser(process.user)
    if process.capabilities is not None:
        yield identity.SetCapabilities(process.capabilities)
    if entered:
        yield identity.DieWithParent()  # a change of identity would undo it
    if process.no_new_privileges:
        yield identity.NoNewPrivileges()
        yield from load
    if reaps:
        yield identity.Reap(process.terminal)
    umask = 0o022 if process.user.umask is None else process.user.umask
    yield identity.Execute(process.args, process.env, umask)
