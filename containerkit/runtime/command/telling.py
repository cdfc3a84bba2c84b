"""What the command tells: state, list, ps, events, features, spec."""

from __future__ import annotations

import json
import os
import pwd
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from containerkit.errors import InvalidState
from containerkit.linux import capabilities, namespaces, procfs, seccomp
from containerkit.linux.cgroups import Cgroup, detect
from containerkit.oci import codec
from containerkit.oci.runtime_spec import (
    SPEC_VERSION,
    Capabilities,
    IDMapping,
    Linux,
    Mount,
    Namespace,
    Process,
    Root,
    Spec,
)
from containerkit.runtime import mount_options
from containerkit.runtime.command.records import Records, moment
from containerkit.runtime.defaults import MASKED_PATHS, MOUNTS, READONLY_PATHS

_ARCHITECTURES = ("X86", "X86_64", "X32", "ARM", "AARCH64", "PPC64LE", "S390X", "RISCV64")


def state(records: Records, id: str) -> str:
    """The container's state, as the specification shapes it."""
    return json.dumps(records.state(records.read(id)), indent=2)


def containers(records: Records, form: str, *, quiet: bool) -> str:
    """All containers: ids alone, JSON or a table."""
    found = [(record, records.status(record)) for record in records.all()]
    if quiet:
        return "\n".join(record.id for record, _ in found)
    if form == "json":
        return json.dumps([records.state(record) for record, _ in found])
    rows = [("ID", "PID", "STATUS", "BUNDLE", "CREATED")]
    for record, status in found:
        pid = record.pid if status != "stopped" else 0
        rows.append((record.id, str(pid), status, record.bundle, moment(record.created)))
    return _table(rows)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def processes(records: Records, id: str, form: str) -> str:
    """The container's processes: their pids as JSON, or a table."""
    record = records.read(id)
    records.require(record, "list processes", "created", "running", "paused")
    pids = Cgroup(record.cgroup).pids() if record.cgroup else [record.pid]
    if form == "json":
        return json.dumps(pids)
    return _table([("UID", "PID", "PPID", "CMD"), *filter(None, map(_row, pids))])


def _row(pid: int) -> tuple[str, ...] | None:
    try:
        fields = procfs.status(pid)
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None  # ended meanwhile
    uid = int(fields["Uid"].split()[0])
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return user, str(pid), fields["PPid"], words or f"[{fields['Name']}]"


def events(records: Records, id: str, interval: float, *, once: bool) -> Iterator[str]:
    """What the container uses: a line of JSON every ``interval`` seconds until it ends, or ``once``.

    Raises:
        InvalidState: it does not run.
    """
    record = records.read(id)
    records.require(record, "measure", "created", "running", "paused")
    if not record.cgroup:
        raise InvalidState(f"container {id}: has no cgroup")
    while True:
        yield json.dumps({"type": "stats", "id": id, "data": _statistics(record.cgroup)})
        if once:
            return
        time.sleep(interval)
        if records.status(record) == "stopped":
            return


def _statistics(path: str) -> dict[str, Any]:
    """In the shape that other runtimes give: nanoseconds and bytes."""
    found = Cgroup(path).stats()
    return {
        "cpu": {
            "usage": {
                "total": round(found.cpu_usage_seconds * 1e9), "kernel": round(found.cpu_system_seconds * 1e9),
                "user": round(found.cpu_user_seconds * 1e9),
                "percpu": [round(seconds * 1e9) for seconds in found.per_cpu_seconds],
            },
            "throttling": {
                "periods": found.periods, "throttledPeriods": found.throttled_periods,
                "throttledTime": round(found.throttled_seconds * 1e9),
            },
        },
        "memory": {
            "usage": {
                "usage": found.memory_usage_bytes, "max": found.memory_peak_bytes,
                "limit": 2**64 - 1 if found.memory_limit_bytes is None else found.memory_limit_bytes,
                "failcnt": found.oom_kills,
            },
            "raw": dict(found.memory),
        },
        "pids": {"current": found.pids, "limit": found.pids_limit or 0},
        "blkio": {
            "ioServiceBytesRecursive": [
                {"op": "Read", "value": found.io_read_bytes}, {"op": "Write", "value": found.io_write_bytes},
            ],
            "ioServicedRecursive": [
                {"op": "Read", "value": found.io_read_ops}, {"op": "Write", "value": found.io_write_ops},
            ],
        },
        "hugetlb": {size: {"usage": used} for size, used in found.hugetlb.items()},
    }  # fmt: skip


def features() -> str:
    """What this runtime can do, as the specification shapes it."""
    options = {*mount_options.FLAGS, *mount_options.PROPAGATION, *mount_options.RECURSIVE, *mount_options.OWN}
    mode = detect().mode
    from containerkit.linux import seccomp_compiler

    actions, operators = seccomp_compiler.names()
    found = {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": sorted(options),
        "linux": {
            "namespaces": sorted(namespaces.KINDS),
            "capabilities": list(capabilities.NAMES[: capabilities.last_cap() + 1]),
            "cgroup": {"v1": mode != "v2", "v2": mode != "v1", "systemd": False, "systemdUser": False, "rdma": False},
            "seccomp": {
                "enabled": True, "actions": actions, "operators": operators,
                "archs": [f"SCMP_ARCH_{name}" for name in _ARCHITECTURES],
                "knownFlags": sorted(seccomp.FLAGS), "supportedFlags": sorted(seccomp.FLAGS),
            },
            "apparmor": {"enabled": False}, "selinux": {"enabled": False}, "intelRdt": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": True}}, "netDevices": {"enabled": False},
        },
    }  # fmt: skip
    return json.dumps(found, indent=2)


def example(*, rootless: bool = False) -> str:
    """A configuration to begin with: a shell in the directory ``rootfs``.

    Args:
        rootless: for whoever calls, as an ordinary user: with a user namespace, and without cgroups.
    """
    held = capabilities.DEFAULT
    cgroups = Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid", "noexec", "nodev", "relatime", "ro"))
    kinds: tuple[str, ...] = ("pid", "network", "ipc", "uts", "mount", "cgroup")
    mounts: tuple[Mount, ...] = (*MOUNTS, cgroups)
    uids: tuple[IDMapping, ...] = ()
    gids: tuple[IDMapping, ...] = ()
    if rootless:
        kinds = (*kinds, "user")
        mounts = tuple(replace(one, options=tuple(o for o in one.options if o != "gid=5")) for one in MOUNTS)
        uids, gids = (IDMapping(0, os.geteuid(), 1),), (IDMapping(0, os.getegid(), 1),)
    spec = Spec(
        root=Root("rootfs"),
        process=Process(
            args=("sh",), env=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"),
            terminal=True, capabilities=Capabilities(bounding=held, effective=held, permitted=held),
            no_new_privileges=True,
        ),
        hostname="container",
        mounts=mounts,
        linux=Linux(
            namespaces=tuple(Namespace(kind) for kind in kinds), uid_mappings=uids, gid_mappings=gids,
            masked_paths=MASKED_PATHS, readonly_paths=READONLY_PATHS,
        ),
    )  # fmt: skip
    return json.dumps(codec.encode(spec), indent=4) + "\n"


def write_example(directory: str, *, rootless: bool) -> None:
    """Write it to ``config.json`` there; what is there is kept.

    Raises:
        InvalidState: there is one.
    """
    path = os.path.join(directory, "config.json")
    try:
        with open(path, "x") as file:
            file.write(example(rootless=rootless))
    except FileExistsError:
        raise InvalidState(f"{path}: is there already") from None
