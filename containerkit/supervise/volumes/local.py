"""The volumes of this machine: directories, images of a limited size, and what mount(8) can mount.

Options are docker's: ``type``, ``device`` and ``o``, as in ``{"type": "tmpfs", "device": "tmpfs", "o": "size=10m"}``;
and ``size`` alone, for a volume that cannot grow beyond it: a file system in a file, which takes the room that is used.
Such a one has a journal, from which the kernel makes it whole again after a power cut; what is left of damage is for
e2fsck(8), before it is mounted.
"""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Mapping, Sequence
from errno import EBUSY, EHOSTUNREACH, EINVAL
from typing import TYPE_CHECKING

from containerkit.errors import InvalidArgument, RuntimeFailure, Unsupported, reason
from containerkit.linux import loopdev, mounts
from containerkit.linux.confinement import is_rootless
from containerkit.options import size as read_size
from containerkit.runtime import mount_options

if TYPE_CHECKING:
    from subprocess import CompletedProcess

_KNOWN = ("type", "device", "o", "size")
_SMALLEST = 1 << 20
#: File systems of servers, and how their devices name these.
_SERVERS = {
    **dict.fromkeys(("nfs", "nfs4"), re.compile(r"(?:\[(?P<v6>[^]]+)\]|(?P<name>[^:/]+)):.*")),
    **dict.fromkeys(("cifs", "smb3"), re.compile(r"[/\\]{2}(?:\[(?P<v6>[^]]+)\]|(?P<name>[^/\\]+))[/\\].*")),
}
#: Where an ext4 says of itself whether it was unmounted, and whether the kernel has found errors in it.
_STATE_AT, _IS_CLEAN, _HAS_ERRORS = 1024 + 0x3A, 1, 2
#: What e2fsck(8) exits with when nothing is left to do is less.
_LEFT_UNCORRECTED = 4


def shown(options: Mapping[str, str]) -> str | None:
    """The directory of this machine that the volume is; None of all others."""
    words = options.get("o", "").split(",")
    return options["device"] if {"bind", "rbind"} & {*words} and "device" in options else None


def is_in_memory(options: Mapping[str, str]) -> bool:
    """Whether nothing of its content is on a disk."""
    return options.get("type") in ("tmpfs", "ramfs")


def check(name: str, options: Mapping[str, str]) -> None:
    """Refuse what cannot be.

    Raises:
        InvalidArgument: an option that there is not, or not with another one.
        Unsupported: an ordinary user mounts nothing for several containers.
    """
    subject = f"volume {name}"
    for key in options:
        if key not in _KNOWN:
            raise InvalidArgument(f"{subject}: unknown option {key!r} (known are {', '.join(_KNOWN)})")
    if "size" in options:
        if len(options) > 1:
            raise InvalidArgument(f'{subject}: option size: cannot be combined with others (for tmpfs, o="size=10m")')
        if read_size(options["size"], f"{subject}: size") < _SMALLEST:
            raise InvalidArgument(f"{subject}: size {options['size']!r}: the minimum is 1m")
        # Here and below, not at the top: every start imports this, and few volumes need a program.
        import shutil

        if shutil.which("mkfs.ext4") is None:
            raise Unsupported(f"{subject}: size: mkfs.ext4 is not installed (Debian package e2fsprogs)")
    elif options and not options.get("device"):
        raise InvalidArgument(f"{subject}: option device is missing")
    elif options and shown(options) is None and not options.get("type"):
        raise InvalidArgument(f"{subject}: option type is missing: the file system's")
    if (place := shown(options)) is not None and not os.path.isabs(place):
        raise InvalidArgument(f"{subject}: device {place!r}: must be an absolute path")
    if is_rootless() and options and shown(options) is None:
        raise Unsupported(f"{subject}: an ordinary user mounts nothing (directories, and o=bind, are for everybody)")


def make(name: str, directory: str, options: Mapping[str, str]) -> None:
    """Make what a new volume needs, in its directory."""
    if "size" not in options:
        return
    part, image = f"{directory}/image.part", f"{directory}/image"
    with open(part, "wb") as file:
        file.truncate(read_size(options["size"], "size"))
    # The file is new: what the journal takes is a hole in it, and needs no zeros.
    words = ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "root_owner=0:0,nodiscard,lazy_journal_init=1", part]
    done = _run(words)
    if done.returncode:
        raise RuntimeFailure(f"volume {name}: mkfs.ext4: {done.stderr.strip()}")
    os.rename(part, image)


def mount(name: str, directory: str, options: Mapping[str, str]) -> None:
    """Mount a volume at ``data`` in its directory.

    Raises:
        RuntimeFailure: the kernel refuses.
    """
    target = f"{directory}/data"
    try:
        if "size" in options:
            if not os.path.exists(f"{directory}/image"):
                make(name, directory, options)
            with loopdev.attached(f"{directory}/image") as device:
                _repair(name, device)
                mounts.mount(device, target, "ext4")
            if os.path.isdir(f"{target}/lost+found"):
                os.rmdir(f"{target}/lost+found")
        else:
            _mount(options, target)
    except OSError as error:
        what = options.get("device", "image")
        raise RuntimeFailure(f"volume {name}: cannot mount {what}: {reason(error)}", errno=error.errno) from error


def _repair(name: str, device: str) -> None:
    """Have e2fsck repair an ext4 that says that it needs it. One that is mounted somewhere is left as it is."""
    try:
        descriptor = os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == EBUSY:
            return
        raise
    try:
        state = int.from_bytes(os.pread(descriptor, 2, _STATE_AT), "little")
    finally:
        os.close(descriptor)
    if state & (_IS_CLEAN | _HAS_ERRORS) == _IS_CLEAN:
        return
    done = _run(["e2fsck", "-p", device])
    if done.returncode >= _LEFT_UNCORRECTED:
        told = " ".join(f"{done.stdout} {done.stderr}".replace(f"{device}: ", "").split())
        raise RuntimeFailure(f"volume {name}: its file system is damaged: e2fsck: {told}")


def _run(words: Sequence[str]) -> CompletedProcess[str]:
    import subprocess

    return subprocess.run(words, capture_output=True, text=True, check=False)


def _mount(options: Mapping[str, str], target: str) -> None:
    kind, device = options["type"], options["device"]
    words = tuple(word for word in options.get("o", "").split(",") if word and word != "loop")
    found = mount_options.parse(words)
    data = addressed(kind, device, found.data)
    if os.path.exists(device) and stat.S_ISREG(os.stat(device).st_mode):
        with loopdev.attached(device, read_only=bool(found.flags & mounts.MS_RDONLY)) as block:
            mounts.mount(block, target, kind, found.flags, data)
    else:
        mounts.mount(device, target, kind, found.flags, data)


def addressed(kind: str, device: str, data: str) -> str:
    """A mount's options with the address of its server, which the kernel does not look up (nfs(5), mount.cifs(8)).

    Args:
        kind: the file system's type.
        device: names the server where no option ``addr`` does: ``server:/export``, ``//server/share``.

    Raises:
        OSError: it has no address, or nothing names it.
    """
    if kind not in _SERVERS:
        return data
    words = [word for word in data.split(",") if word]
    chosen = dict(word.partition("=")[::2] for word in words)
    host = (chosen.get("addr") or chosen.get("ip", "")).strip("[]")
    if not host:
        found = _SERVERS[kind].fullmatch(device)
        if found is None:
            raise OSError(EINVAL, "it names no server")
        host = found["v6"] or found["name"]
    others = [word for word in words if not word.startswith(("addr=", "ip="))]
    return ",".join([*others, f"addr={_address(host, chosen.get('proto', ''))}"])


def _address(host: str, protocol: str) -> str:
    family = socket.AF_INET6 if protocol.endswith("6") else socket.AF_INET if protocol else socket.AF_UNSPEC
    try:
        (*_, (address, _, *rest)), *_ = socket.getaddrinfo(host, None, family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "no host name"
        raise OSError(EHOSTUNREACH, f"server {host}: {told}") from error
    # Of a link-local one, the interface too.
    return f"{address}%{rest[1]}" if rest[1:] and rest[1] else str(address)
