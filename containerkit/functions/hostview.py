"""This machine's files as a container's: it reads what is there, and what it writes goes to memory.

What is shown: every directory of ``/``, and every file system that is mounted below one, copy-on-write each. Not shown:
``/proc``, ``/sys`` and ``/dev``, of which the container has its own, and ``/run``, where the sockets of this machine's
services are; nor what is mounted at a place whose name is not UTF-8, which config.json could not say. Read-only
instead: file systems that overlayfs does not take; and for an ordinary user directories below which others are mounted,
since the kernel shows nobody else what those cover. The places where such a user writes are copy-on-write by
themselves, wherever they are, if nothing is mounted below them.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path

from containerkit.linux import procfs
from containerkit.linux.confinement import is_rootless
from containerkit.oci.image_config import ContainerConfig, ImageConfig, RootFS
from containerkit.oci.manifest import OCI_MANIFEST, Descriptor
from containerkit.oci.users import Identity, resolve
from containerkit.options import Mount
from containerkit.store.images import ImageRecord

#: What containers have of their own.
_OWN = ("dev", "proc", "run", "sys")
#: Of the caller's variables those that say where programs are and how they speak. Others may be secrets.
_KEPT = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "TZ", "USER", "VIRTUAL_ENV")
#: File systems that overlayfs cannot have below: names there have no case.
_FOLDING = frozenset({"cifs", "exfat", "hfsplus", "msdos", "ntfs", "ntfs3", "smb3", "vfat"})
#: File systems without files of anybody's.
_WITHOUT_FILES = frozenset({
    "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs",
    "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "rpc_pipefs", "securityfs", "selinuxfs", "sysfs",
    "tracefs",
})  # fmt: skip


def image() -> ImageRecord:
    """What a container of the view has itself: nothing. It is in no store."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    config = ImageConfig(machine, "linux", RootFS("layers", ()), ContainerConfig())
    return ImageRecord("", Descriptor(OCI_MANIFEST, "", 0), (), (), datetime.now(timezone.utc), 0, config, (), ())


def environment() -> dict[str, str]:
    """The variables that make the caller's programs work."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}


def directory() -> str:
    """The working directory: the caller's, where that is shown."""
    try:
        here = os.getcwd()
    except FileNotFoundError:
        return "/"
    return "/" if _is_own(here) else here


def user(name: str) -> Identity | None:
    """Who that is on this machine, as the view has no files before it is made; None for nobody in particular.

    Raises:
        InvalidArgument: there is no such user or group.
    """
    if not name:
        return None
    passwd, group = (Path(path).read_text(errors="replace") for path in ("/etc/passwd", "/etc/group"))
    return resolve(name, passwd, group)


def links() -> dict[str, str]:
    """The symbolic links of ``/``: ``bin`` → ``usr/bin``, in the systems of today."""
    with os.scandir("/") as entries:
        return {entry.name: os.readlink(entry.path) for entry in entries if entry.is_symlink()}


def mounts() -> tuple[Mount, ...]:
    """What makes the view."""
    kinds = {mounted.target: mounted.type for mounted in procfs.mounts("self")}
    with os.scandir("/") as entries:
        top = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    below = [path for path, kind in kinds.items() if kind not in _WITHOUT_FILES and os.path.isdir(path)]
    found = []
    for path in sorted({*top, *below, *_homes(kinds)}):
        if path == "/" or _is_own(path) or not _is_text(path):
            continue
        if kinds.get(path) in _FOLDING or (is_rootless() and _has_below(path, kinds)):
            found.append(Mount(path, path, "bind", read_only=True))
        else:
            found.append(Mount(path, path, "bind", copy_on_write=True))
    return tuple(found)


def _homes(mounted: Mapping[str, str]) -> Iterator[str]:
    """Where an ordinary user writes. (Overlayfs makes nothing in directories of others, but at its own top.)"""
    for path in (directory(), os.path.realpath(os.path.expanduser("~")), "/var/tmp") if is_rootless() else ():
        if os.path.isdir(path) and not _has_below(path, mounted):
            yield path


def _is_own(path: str) -> bool:
    return path.split("/")[1] in _OWN


def _is_text(path: str) -> bool:
    return os.fsencode(path).decode(errors="replace") == path


def _has_below(path: str, mounted: Mapping[str, str]) -> bool:
    return any(other.startswith(f"{path}/") for other in mounted)


def search_path(path: Iterable[str]) -> Iterator[str]:
    """Where the caller finds modules, for another process in the same directory."""
    for place in path:
        if "\n" not in place:
            yield os.path.abspath(place)
