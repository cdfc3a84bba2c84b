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
from containerkit.runtime import (
    affinity,
    copyonwrite,
    defaults,
    hooks,
    identity,
    mount_options,
    mounting,
    namespaces,
    places,
    program,
    rootfs,
)
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


def build(
    spec: Spec, overlay: MountEntry | None = None, *, pivot: bool = True, waits: bool = False, confined: bool = False
) -> Plan:
    """The operations that start the container that ``spec`` describes.

    Args:
        spec: a validated configuration.
        overlay: the mount that makes the root file system, as the store gives it, an overlay or a bind; None when the
            bundle's rootfs is ready as it is.
        pivot: False for a move of the root file system instead of pivot_root(2).
        confined: the caller is in a user namespace itself, and makes no devices.
        waits: it counts as created before somebody starts it: what can be known of its program is known before.
    """
    process = spec.process
    root = rootfs.PivotRoot() if pivot else rootfs.MoveRoot()
    found = (program.FindProgram(process.args[0], process.env, process.cwd),) if waits else ()
    return Plan(
        outside=tuple(_outside(spec, overlay, confined)), inside=tuple(_inside(spec, overlay, root, found, confined))
    )


def build_enter(process: Process, cgroup: str, *, filtered: bool, outlives: bool = False) -> Plan:
    """The operations that run ``process`` in a running container.

    Between outside and inside the namespaces are joined, by :mod:`containerkit.runtime.enter`, which knows the pid.

    Args:
        cgroup: the path of the cgroup to join; empty for none.
        filtered: whether there is a seccomp filter to load.
        outlives: it may live longer than the process that starts it.
    """
    join: tuple[Operation, ...] = (namespaces.JoinCgroup(cgroup),) if cgroup else ()
    cpus = process.exec_cpu_affinity
    if cpus is not None:
        # A process that joins a cgroup gets the processors of its cpuset: the last word comes after.
        first, last = (_affinity(text) for text in (cpus.initial, cpus.final))
        join = (*first, *join, *last)
    load = (identity.LoadSeccomp(),) if filtered else ()
    terminal = (places.OpenTerminal(*_size(process), console=False),) if process.terminal else ()
    bound = () if outlives else (identity.DieWithParent(),)
    if process.oom_score_adj is not None:
        join = (*join, identity.SetOomScore(process.oom_score_adj))
    return Plan(join, (*terminal, *_before_start(process), *_after_start(process, load, bound)))


def _outside(spec: Spec, overlay: MountEntry | None, confined: bool) -> Iterator[Operation]:
    linux = spec.linux
    if linux.cgroups_path:
        yield namespaces.CreateCgroup(linux.cgroups_path, linux.resources)
    clocks = linux.namespace("time")
    if clocks is not None and not clocks.path:
        yield namespaces.OffsetClocks(tuple(linux.time_offsets.items()))
    # These are for children, or for processes that share their memory with nobody: they have to come before the clone.
    for kind in ("pid", "time"):
        if (entry := linux.namespace(kind)) is not None and entry.path:
            yield namespaces.JoinNamespace(kind, entry.path)
    # What shows other owners is mounted before the clone, by a process of the host: inside there is no right to it, nor
    # has an ordinary user any.
    if overlay is not None and linux.uid_mappings and not confined:
        maps = namespaces.HoldMaps(linux.uid_mappings, linux.gid_mappings)
        if overlay.type == "overlay":
            yield rootfs.MapOverlay(_overlay(overlay), maps)
        else:
            yield mounting.MapMount("/", overlay.source, maps)
    for mount in filter(mount_options.is_mapped, spec.mounts):
        uids, gids = mount.uid_mappings or linux.uid_mappings, mount.gid_mappings or linux.gid_mappings
        recursive = "ridmap" in mount.options or "rbind" in mount.options
        below = mount_options.parse(mount.options).subpath
        yield mounting.MapMount(mount.destination, mount.source, namespaces.HoldMaps(uids, gids), recursive, below)
    kinds = tuple(e.type for e in linux.namespaces if not e.path and e.type not in ("cgroup", "time"))
    user = linux.namespace("user")
    shares = clocks is None or bool(clocks.path)
    yield namespaces.Clone(kinds, user.path if user is not None else "", shares)


def _inside(
    spec: Spec,
    overlay: MountEntry | None,
    become_root: Operation,
    before_ready: tuple[Operation, ...],
    confined: bool,
) -> Iterator[Operation]:
    linux = spec.linux
    # As the host's root, which it is until it has its ids.
    if linux.cgroups_path:
        yield namespaces.JoinCgroup(linux.cgroups_path)
    if spec.process.oom_score_adj is not None:
        yield identity.SetOomScore(spec.process.oom_score_adj)
    if (user := linux.namespace("user")) is not None and not user.path:
        yield namespaces.AwaitIdMaps(linux.uid_mappings, linux.gid_mappings)
    elif user is not None:
        yield namespaces.BecomeRoot()
    for entry in linux.namespaces:
        if entry.path and entry.type not in ("pid", "time", "user"):
            yield namespaces.JoinNamespace(entry.type, entry.path)
    if (cgroup := linux.namespace("cgroup")) is not None and not cgroup.path:
        yield namespaces.UnshareCgroup()
    if (network := linux.namespace("network")) is not None and not network.path:
        yield namespaces.RaiseLoopback()
        if confined:
            yield namespaces.ShowNetwork()
    yield from _files(spec, overlay, confined)
    if spec.hostname:
        yield namespaces.SetHostname(spec.hostname)
    if spec.domainname:
        yield namespaces.SetDomainname(spec.domainname)
    for name, value in linux.sysctl.items():
        yield namespaces.WriteSysctl(name, value)
    if parents := spec.hooks.prestart + spec.hooks.create_runtime:
        yield hooks.AwaitHooks(parents)
    if spec.hooks.create_container:
        yield hooks.RunHooks("createContainer", spec.hooks.create_container)
    yield become_root
    if linux.rootfs_propagation:
        yield rootfs.SetRootPropagation(mount_options.PROPAGATION[linux.rootfs_propagation])
    yield from _before_start(spec.process)
    yield from before_ready
    yield program.AwaitStart()
    if spec.hooks.start_container:
        yield hooks.RunHooks("startContainer", spec.hooks.start_container)
    profile = linux.seccomp
    load: tuple[Operation, ...] = ()
    if profile is not None:
        load = (identity.LoadSeccomp(seccomp.flags_of(profile), seccomp.notifies(profile)),)
    if linux.personality is not None:
        yield identity.SetPersonality(linux.personality.domain)
    reap = (program.Reap(spec.process.terminal),) if spec.annotations.get(defaults.INIT) == "true" else ()
    yield from _after_start(spec.process, load, reap)


def _files(spec: Spec, overlay: MountEntry | None, confined: bool) -> Iterator[Operation]:
    linux = spec.linux
    for entry in spec.mounts:
        if mount_options.is_shared(entry):
            yield mounting.HoldMount(entry.destination, entry.source)
    # What the host mounts later travels in where the container's own mounts may: never the other way.
    yield rootfs.SetPropagation(m.MS_REC | (m.MS_PRIVATE if linux.rootfs_propagation == "private" else m.MS_SLAVE))
    if overlay is not None and linux.uid_mappings and not confined:
        yield rootfs.PlaceRootfs()
    elif overlay is not None and overlay.type == "overlay":
        yield _overlay(overlay)
    else:
        yield rootfs.BindRootfs()
    for entry in spec.mounts:
        options = mount_options.parse(entry.options)
        if entry.type == "cgroup":
            yield mounting.MountCgroups(entry.destination, options)
            continue
        if entry.type == "bind" and not options.is_bind:
            options = mount_options.parse((*entry.options, "bind"))
        if "tmpupper" in options.own:
            yield copyonwrite.MountCopyOnWrite(entry.destination, entry.source, options)
            continue
        yield mounting.Mount(entry.destination, entry.type, entry.source, options)
    if not any(entry.destination == "/dev" and mount_options.is_bind(entry) for entry in spec.mounts):
        in_user_namespace = confined or linux.namespace("user") is not None
        for device in (*DEFAULT_DEVICES, *linux.devices):
            mode = 0o666 if device.file_mode is None else device.file_mode
            yield places.CreateDevice(
                device.path, device.type, device.major, device.minor, mode, device.uid, device.gid, in_user_namespace
            )
        yield places.LinkDevices()
    if spec.process.cwd != "/":
        yield places.MakeWorkingDirectory(spec.process.cwd)
    if spec.process.terminal:
        yield places.OpenTerminal(*_size(spec.process), console=True)
    for path in linux.readonly_paths:
        yield mounting.ReadonlyPath(path)
    for path in linux.masked_paths:
        yield mounting.MaskPath(path)
    if spec.root.readonly:
        yield rootfs.RemountRootReadonly()


def _affinity(text: str) -> tuple[Operation, ...]:
    return (identity.SetAffinity(affinity.parse(text)),) if text else ()


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
    if process.scheduler is not None:
        yield identity.SetScheduler(process.scheduler)
    if process.io_priority is not None:
        yield identity.SetIOPriority(process.io_priority)


def _after_start(process: Process, load: tuple[Operation, ...], last: tuple[Operation, ...]) -> Iterator[Operation]:
    """From here on each operation gives something away.

    Args:
        load: how the seccomp filter is loaded.
        last: what comes after the change of identity, which would undo it.
    """
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
    if process.no_new_privileges:
        yield identity.NoNewPrivileges()
        yield from load
    yield from last
    umask = 0o022 if process.user.umask is None else process.user.umask
    yield program.Execute(process.args, process.env, umask)
