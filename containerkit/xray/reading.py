"""An x-ray is taken: a function per part."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from containerkit.errors import ContainerkitError, InvalidState, NotFound, Unsupported
from containerkit.linux import capabilities, netlink, procfs, seccomp_compiler
from containerkit.linux.cgroups import Cgroup, files
from containerkit.linux.cgroups.controller import Controller
from containerkit.linux.cgroups.controllers import CONTROLLERS
from containerkit.oci.runtime_spec import Resources, Seccomp, Spec
from containerkit.options import Settings
from containerkit.reading import mountinfo, netinfo
from containerkit.reading.top import processes
from containerkit.store.containers import ALIVE, ContainerRecord
from containerkit.store.store import Store
from containerkit.xray.values import (
    CapabilityView,
    CgroupView,
    IdRange,
    LayerView,
    LinkView,
    MountView,
    NamespaceView,
    SeccompView,
    XRay,
)

if TYPE_CHECKING:
    from containerkit.image import Image

_ENDED = "gone: it has ended"
_NOT_STARTED = "not there: it has not been started"
#: What the kernel counts of each controller that says something here.
_COUNTED = {
    "memory": ("memory_bytes", "memory_peak_bytes"), "pids": ("pids",), "cpuacct": ("cpu_usage_seconds",),
    "cpu v1": ("throttled_seconds",), "cpu": ("cpu_usage_seconds", "throttled_seconds"),
    "blkio": ("io_read_bytes", "io_write_bytes"),
    "io": ("io_read_bytes", "io_write_bytes"),
}  # fmt: skip
_KERNEL_MOUNTS = {
    "proc": "the processes of its pid namespace", "sysfs": "the kernel's objects", "devpts": "its terminals",
    "mqueue": "message queues of its ipc namespace", "cgroup": "its cgroups", "cgroup2": "its cgroups",
}  # fmt: skip
_MEMORY_MOUNTS = {"/dev": "its devices, in memory", "/dev/shm": "shared memory", "/sys/fs/cgroup": "its cgroups"}


def take(store: Store, record: ContainerRecord, spec: Spec, image: Callable[[], Image]) -> XRay:
    """Look at everything that can be seen of a container.

    Args:
        image: gives its image, or raises NotFound.
    """
    missing: dict[str, str] = {}
    found: dict[str, Any] = {
        "capabilities": _planned_capabilities(spec), "seccomp": _counted(None, spec.linux.seccomp),
    }  # fmt: skip
    try:
        found["layers"] = _layers(store, record, image())
    except NotFound as problem:
        missing["layers"] = problem.message
    for part, look in _living(store, record, spec).items():
        try:
            if record.pid is None or record.state not in ALIVE:
                raise InvalidState(_ENDED if record.started else _NOT_STARTED)
            found[part] = look(record.pid)
        except (ContainerkitError, OSError) as problem:
            if part not in found:
                missing[part] = _why(problem)
    return XRay(record.name, record.status, record.image_reference, **found, missing=missing)


def _living(store: Store, record: ContainerRecord, spec: Spec) -> dict[str, Callable[[int], Any]]:
    """What only a running container has, and who looks at it."""
    path = spec.linux.cgroups_path
    return {
        "namespaces": lambda pid: namespaces(store, record.id, pid),
        "cgroups": lambda pid: tuple(_cgroups(path, spec.linux.resources)),
        "mounts": lambda pid: tuple(_mounts(pid, spec, Settings.read(record.options))),
        "capabilities": _capabilities,
        "seccomp": lambda pid: _counted(procfs.SECCOMP_MODES[int(procfs.status(pid)["Seccomp"])], spec.linux.seccomp),
        "network": lambda pid: tuple(_network(store, record)),
        "ids": lambda pid: tuple(IdRange(kind, *row) for kind in ("uid", "gid") for row in procfs.id_map(pid, kind)),
        "processes": lambda pid: tuple(processes(path, pid)),
    }


def _why(problem: Exception) -> str:
    if isinstance(problem, PermissionError):
        return "not to be read by this user"
    if isinstance(problem, (FileNotFoundError, ProcessLookupError)):
        return _ENDED
    return problem.message if isinstance(problem, ContainerkitError) else str(problem)


# -- namespaces --------------------------------------------------------------------------------------------------------


def namespaces(store: Store, id: str, pid: int) -> tuple[NamespaceView, ...]:
    """Those of a process of the container ``id``, and who else is in them."""
    ours, theirs = procfs.namespaces("self"), procfs.namespaces(pid)
    others = dict(_others(store, id))
    return tuple([_namespace(kind, inode, ours, others) for kind, inode in theirs.items()])


def _others(store: Store, id: str) -> Iterator[tuple[str, dict[str, int]]]:
    for record in sorted(store.containers.list(), key=lambda one: one.name):
        if record.id != id and record.state in ALIVE and record.pid is not None:
            with contextlib.suppress(OSError):  # it has just ended
                yield record.name, procfs.namespaces(record.pid)


def _namespace(
    kind: str, inode: int, ours: Mapping[str, int], others: Mapping[str, Mapping[str, int]]
) -> NamespaceView:
    sharing = tuple(name for name, theirs in others.items() if theirs.get(kind) == inode)
    whose = "host" if ours.get(kind) == inode else "shared" if sharing else "own"
    return NamespaceView(kind, inode, whose, sharing)


# -- cgroups -----------------------------------------------------------------------------------------------------------


def _cgroups(path: str, resources: Resources) -> Iterator[CgroupView]:
    if not path:
        raise Unsupported("it has no cgroup: none is delegated to this user")
    cgroup = Cgroup(path)
    stats = cgroup.stats()
    for controller in CONTROLLERS:
        v1, v2 = cgroup.home(controller)
        directory, version = (v1, 1) if v1 is not None else (v2, 2)
        if directory is None:
            continue
        name = controller.V1 if version == 1 else controller.V2 or controller.V1
        counted = _COUNTED.get(f"{name} v{version}") or _COUNTED.get(name, ())
        use = {figure: getattr(stats, figure) for figure in counted}
        yield CgroupView(name, version, directory, _limits(controller, version, directory, resources), use)


def _limits(controller: Controller, version: int, directory: str, resources: Resources) -> dict[str, str]:
    writes = controller.writes_v1(resources) if version == 1 else controller.writes_v2(resources)
    if controller.V1 == "devices":
        return {"rules": str(len(resources.devices))}
    found = {}
    for write in writes:
        for name in (write.file, write.otherwise.file if write.otherwise is not None else ""):
            with contextlib.suppress(OSError):
                found[name] = files.read(f"{directory}/{name}").decode().strip()
                break
    return found


# -- file systems ------------------------------------------------------------------------------------------------------


def _mounts(pid: int, spec: Spec, settings: Settings) -> Iterator[MountView]:
    named = {mount.target: f"{mount.type} {mount.source}".rstrip() for mount in mountinfo.mounts(settings)}
    for line in procfs.mounts(pid):
        what = _what(line, spec, named)
        yield MountView(line.target, line.type, line.source, what, "ro" in line.options, line.options)


def _what(line: procfs.MountLine, spec: Spec, named: Mapping[str, str]) -> str:
    target = line.target
    if target == "/":
        return "its root: the image's layers under its own" if line.type == "overlay" else "its root"
    if target in spec.linux.masked_paths:
        return "a mask: nothing is to be seen there"
    if target in spec.linux.readonly_paths:
        return "the same, read-only"
    if target in named:
        return named[target]
    if target in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf"):
        return "a file of its own: names"
    if line.type == "tmpfs" and target in _MEMORY_MOUNTS:
        return _MEMORY_MOUNTS[target]
    if target.startswith("/dev/") and line.type not in _KERNEL_MOUNTS:
        return "a device of the host's"
    return _KERNEL_MOUNTS.get(line.type, "memory" if line.type == "tmpfs" else line.type)


def _layers(store: Store, record: ContainerRecord, image: Image) -> tuple[LayerView, ...]:
    layers = image.layer_details()
    upper, *below = map(str, store.snapshots.directories(record.id, image._record))
    below.reverse()
    shown = [
        LayerView(layer.number, layer.diff_id, path, layer.size, False, layer.created_by)
        for layer, path in zip(layers, below, strict=False)
    ]
    return (*shown, LayerView(len(shown) + 1, "", upper, None, True))


# -- rights ------------------------------------------------------------------------------------------------------------


def _capabilities(pid: int) -> CapabilityView:
    sets = capabilities.read(pid)
    return _dropped(sets.effective, sets.bounding)


def _planned_capabilities(spec: Spec) -> CapabilityView:
    planned = spec.process.capabilities
    return CapabilityView() if planned is None else _dropped(planned.effective, planned.bounding)


def _dropped(effective: tuple[str, ...], bounding: tuple[str, ...]) -> CapabilityView:
    known = capabilities.NAMES[: capabilities.last_cap() + 1]
    return CapabilityView(effective, bounding, tuple(name for name in known if name not in bounding))


def _counted(mode: str | None, profile: Seccomp | None) -> SeccompView:
    if profile is None:
        return SeccompView(mode)
    known = seccomp_compiler.calls()
    lets = {"SCMP_ACT_ALLOW", "SCMP_ACT_LOG"}
    named: dict[str, set[bool]] = {}
    for rule in profile.syscalls:
        if (rule.action in lets) != (profile.default_action in lets):
            for name in known.intersection(rule.names):
                named.setdefault(name, set()).add(bool(rule.args))
    # A call that one rule names whatever its arguments are is not conditional.
    other = sum(1 for kinds in named.values() if False in kinds)
    conditional = len(named) - other
    rest = len(known) - len(named)
    allowed, denied = (rest, other) if profile.default_action in lets else (other, rest)
    return SeccompView(mode, allowed, conditional, denied)


# -- network -----------------------------------------------------------------------------------------------------------


def _network(store: Store, record: ContainerRecord) -> Iterator[LinkView]:
    networks = {one.interface: one.name for one in store.networks.list()}
    for link in netinfo.interfaces(record):
        peer_index, index, bridge = (None, None, None) if link.peer is None else _cable(link.peer)
        if link.kind == "loopback":
            index = 1  # of every network namespace the first
        network = networks.get(bridge or link.peer or "")
        yield LinkView(link.name, index, link.kind, link.addresses, link.mac, link.peer, peer_index, bridge, network)


def _cable(name: str) -> tuple[int | None, int | None, str | None]:
    """Of a link of this machine: its index, that of the other end, the bridge that it is a port of."""
    index, place = netlink.index_of(name), f"/sys/class/net/{name}"
    other = bridge = None
    # An ordinary user's is in another network namespace.
    with contextlib.suppress(OSError):
        other = int(files.read(f"{place}/iflink"))
        bridge = os.path.basename(os.readlink(f"{place}/master"))
    return index or None, other, bridge
