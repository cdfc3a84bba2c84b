"""The volumes of this machine: directories, images of a limited size, and what mount(8) can mount.

Options are docker's: ``type``, ``device`` and ``o``, as in ``{"type": "tmpfs", "device": "tmpfs", "o": "size=10m"}``;
and ``size`` alone, for a volume that cannot grow beyond it: a file system in a file, which takes the room that is used.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Mapping

from containerkit.errors import InvalidArgument, RuntimeFailure, Unsupported
from containerkit.linux import loopdev, mounts
from containerkit.linux.confinement import is_rootless
from containerkit.options import size as read_size
from containerkit.runtime import mount_options

_KNOWN = ("type", "device", "o", "size")
_SMALLEST = 1 << 20


def shown(options: Mapping[str, str]) -> str | None:
    """The directory of this machine that the volume is; None of all others."""
    words = options.get("o", "").split(",")
    return options["device"] if {"bind", "rbind"} & {*words} and "device" in options else None


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
    words = ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "root_owner=0:0,nodiscard", "-O", "^has_journal", part]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
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
                mounts.mount(device, target, "ext4")
            if os.path.isdir(f"{target}/lost+found"):
                os.rmdir(f"{target}/lost+found")
        else:
            _mount(options, target)
    except OSError as error:
        what = options.get("device", "image")
        reason = (error.strerror or str(error)).lower()
        raise RuntimeFailure(f"volume {name}: cannot mount {what}: {reason}", errno=error.errno) from error


def _mount(options: Mapping[str, str], target: str) -> None:
    kind, device = options["type"], options["device"]
    words = tuple(word for word in options.get("o", "").split(",") if word and word != "loop")
    found = mount_options.parse(words)
    data = _resolved(found.data) if kind.startswith("nfs") else found.data
    if os.path.exists(device) and stat.S_ISREG(os.stat(device).st_mode):
        with loopdev.attached(device, read_only=bool(found.flags & mounts.MS_RDONLY)) as block:
            mounts.mount(block, target, kind, found.flags, data)
    else:
        mounts.mount(device, target, kind, found.flags, data)


def _resolved(data: str) -> str:
    """The kernel takes the server's address, not its name (nfs(5))."""
    words = []
    for word in data.split(","):
        key, _, value = word.partition("=")
        words.append(f"{key}={socket.gethostbyname(value)}" if key == "addr" else word)
    return ",".join(words)
