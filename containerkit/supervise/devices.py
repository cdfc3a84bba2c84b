"""Devices of the host: from their paths to what the specification says of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping

from containerkit.errors import InvalidArgument
from containerkit.oci.runtime_spec import Device, DeviceCgroup, ThrottleDevice
from containerkit.options import DeviceMapping

#: What a container has of its own, whatever the host has there.
_OWN = frozenset({"/dev/console", "/dev/fd", "/dev/mqueue", "/dev/ptmx", "/dev/pts", "/dev/shm"})


def mapped(mappings: Iterable[DeviceMapping]) -> tuple[list[Device], list[DeviceCgroup]]:
    """The nodes to make, and the rules that let them be used. A directory stands for the devices in it.

    Raises:
        InvalidArgument: no such device.
    """
    nodes, rules = [], []
    for mapping in mappings:
        for host, container in _expand(mapping):
            node = _device(host, container)
            nodes.append(node)
            rules.append(DeviceCgroup(True, node.type, node.major, node.minor, mapping.access))
    return nodes, rules


def everything() -> list[Device]:
    """Every device of the host: what a privileged container gets."""
    return [_device(path, path) for path in _walk("/dev")]


def _expand(mapping: DeviceMapping) -> Iterator[tuple[str, str]]:
    if not os.path.isdir(mapping.host):
        yield mapping.host, mapping.container
        return
    for path in _walk(mapping.host):
        yield path, mapping.container.rstrip("/") + path.removeprefix(mapping.host.rstrip("/"))


def _walk(directory: str) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.path in _OWN or entry.is_symlink():
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode) in (stat.S_IFCHR, stat.S_IFBLK):
            yield entry.path


def _device(host: str, container: str) -> Device:
    found = _numbers(host, "devices")
    kind = "b" if stat.S_ISBLK(found.st_mode) else "c"
    return Device(
        container, kind, os.major(found.st_rdev), os.minor(found.st_rdev), stat.S_IMODE(found.st_mode), found.st_uid,
        found.st_gid,
    )  # fmt: skip


def _numbers(path: str, option: str) -> os.stat_result:
    try:
        found = os.stat(path)
    except OSError as error:
        raise InvalidArgument(f"{option} {path}: no such device") from error
    if stat.S_IFMT(found.st_mode) not in (stat.S_IFCHR, stat.S_IFBLK):
        raise InvalidArgument(f"{option} {path}: not a device")
    return found


def throttles(rates: Mapping[str, int] | None, option: str) -> tuple[ThrottleDevice, ...]:
    """The limits of a rate: device path → bytes or operations a second.

    Raises:
        InvalidArgument: no such block device.
    """
    found = []
    for path, rate in (rates or {}).items():
        entry = _numbers(path, option)
        if not stat.S_ISBLK(entry.st_mode):
            raise InvalidArgument(f"{option} {path}: not a block device")
        found.append(ThrottleDevice(os.major(entry.st_rdev), os.minor(entry.st_rdev), rate))
    return tuple(found)
