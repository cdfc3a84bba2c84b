"""What containers leave on a machine when something is wrong: looked at before and after a test.

Only what could be ours counts: on a shared machine others come and go.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """Names of things, at one moment."""

    mounts: frozenset[str]
    links: frozenset[str]
    addresses: frozenset[str]
    hosts: frozenset[str]
    namespaces: frozenset[str]
    cgroups: frozenset[str]
    nft_tables: frozenset[str]
    processes: frozenset[str]
    descriptors: frozenset[str]


def look() -> Machine:
    """The machine as it is now."""
    return Machine(
        mounts=frozenset(_mounts()),
        links=_links(),
        addresses=_addresses(),
        hosts=frozenset(_hosts()),
        namespaces=frozenset(_namespaces()),
        cgroups=frozenset(_cgroups()),
        nft_tables=frozenset(_nft_tables()),
        processes=frozenset(_processes()),
        descriptors=frozenset(_descriptors()),
    )


def left(
    before: Machine, *, apart_from: str | None = None, timeout: float = 60, look: Callable[[], Machine] = look
) -> list[str]:
    """What is there now and was not ``before``, one line each, but what is named ``apart_from``.

    The kernel is given time to finish.
    """
    deadline = time.monotonic() + timeout
    while True:
        now = look()
        found = [
            f"{field.name}: {name}"
            for field in fields(Machine)
            for name in sorted(getattr(now, field.name) - getattr(before, field.name))
            if apart_from is None or apart_from not in name
        ]
        if not found:
            return []
        if time.monotonic() > deadline:
            return [*found, *_holders(now.namespaces - before.namespaces)]
        time.sleep(0.05)


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _mounts() -> Iterator[str]:
    for line in _read("/proc/self/mountinfo").splitlines():
        mount = line.split(" ", 4)[4]
        # ip(8) mounts it over itself with its first namespace, once and for all.
        if not mount.startswith("/run/netns "):
            yield mount


def _links() -> frozenset[str]:
    from pyroute2 import IPRoute

    with IPRoute() as route:
        return frozenset(str(link.get_attr("IFLA_IFNAME")) for link in route.get_links())


def _addresses() -> frozenset[str]:
    """Those with a scope beyond their link: the kernel gives a link its own when it likes."""
    from pyroute2 import IPRoute

    with IPRoute() as route:
        found = [one for one in route.get_addr() if one["scope"] == 0]
    return frozenset(f"{one.get_attr('IFA_ADDRESS')}/{one['prefixlen']}" for one in found)


def _hosts() -> Iterator[str]:
    """Network namespaces that have a name: ip-netns(8)."""
    if os.path.isdir("/run/netns"):
        yield from os.listdir("/run/netns")


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _namespaces() -> Iterator[str]:
    for pid in _pids():
        for kind in ("mnt", "net", "pid", "uts", "ipc", "user", "cgroup", "time"):
            try:
                yield os.readlink(f"/proc/{pid}/ns/{kind}")
            except OSError:
                continue


def _cgroups() -> Iterator[str]:
    for line in _read("/proc/self/mounts").splitlines():
        _, point, kind, *_ = line.split()
        if kind.startswith("cgroup"):
            # os.walk passes over what vanishes meanwhile.
            for directory, names, _ in os.walk(point):
                yield from (f"{directory}/{name}" for name in names if "containerkit" in name)


def _holders(namespaces: frozenset[str]) -> list[str]:
    """Which processes are in these namespaces: a leftover is easier to find by what it runs."""
    found = []
    for pid in _pids():
        try:
            if namespaces & {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("mnt", "pid", "net")}:
                command = _read(f"/proc/{pid}/cmdline").replace("\0", " ")
                found.append(f"process {pid}: {command}, cgroup {_read(f'/proc/{pid}/cgroup').splitlines()[-1]}")
        except OSError:
            continue
    return found


def _nft_tables() -> Iterator[str]:
    if shutil.which("nft"):
        out = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
        yield from (line for line in out.splitlines() if "containerkit" in line)


def _processes() -> Iterator[str]:
    for pid in _pids():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        # A spawner lives as long as its SDK process, which here is the test run.
        if "containerkit" in command and "containerkit-spawner" not in command and "pytest" not in command:
            yield f"{pid} {command}"


def _descriptors() -> Iterator[str]:
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        # The socket to the spawner is kept, and /proc/self/fd is what we are reading.
        if not target.startswith(("socket:", "/proc/")):
            yield f"{name} {target}"
