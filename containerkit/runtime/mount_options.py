"""The options of a mount, as the runtime specification and mount(8) write them, sorted into what the kernel takes.

Source: runtime-spec config.md, "Linux mount options".
"""

from __future__ import annotations

from dataclasses import dataclass

from containerkit.linux import mounts as m

#: option → (flag, whether the option sets it)
FLAGS: dict[str, tuple[int, bool]] = {
    "async": (m.MS_SYNCHRONOUS, False), "atime": (m.MS_NOATIME, False), "defaults": (0, True),
    "dev": (m.MS_NODEV, False), "diratime": (m.MS_NODIRATIME, False), "dirsync": (m.MS_DIRSYNC, True),
    "exec": (m.MS_NOEXEC, False), "lazytime": (m.MS_LAZYTIME, True), "loud": (m.MS_SILENT, False),
    "mand": (m.MS_MANDLOCK, True), "noatime": (m.MS_NOATIME, True), "nodev": (m.MS_NODEV, True),
    "nodiratime": (m.MS_NODIRATIME, True), "noexec": (m.MS_NOEXEC, True), "nolazytime": (m.MS_LAZYTIME, False),
    "nomand": (m.MS_MANDLOCK, False), "norelatime": (m.MS_RELATIME, False),
    "nostrictatime": (m.MS_STRICTATIME, False), "nosuid": (m.MS_NOSUID, True), "relatime": (m.MS_RELATIME, True),
    "remount": (m.MS_REMOUNT, True), "ro": (m.MS_RDONLY, True), "rw": (m.MS_RDONLY, False),
    "silent": (m.MS_SILENT, True), "strictatime": (m.MS_STRICTATIME, True), "suid": (m.MS_NOSUID, False),
    "sync": (m.MS_SYNCHRONOUS, True), "bind": (m.MS_BIND, True), "rbind": (m.MS_BIND | m.MS_REC, True),
}  # fmt: skip

PROPAGATION: dict[str, int] = {
    "private": m.MS_PRIVATE, "shared": m.MS_SHARED, "slave": m.MS_SLAVE, "unbindable": m.MS_UNBINDABLE,
    "rprivate": m.MS_PRIVATE | m.MS_REC, "rshared": m.MS_SHARED | m.MS_REC,
    "rslave": m.MS_SLAVE | m.MS_REC, "runbindable": m.MS_UNBINDABLE | m.MS_REC,
}  # fmt: skip


@dataclass(frozen=True)
class MountOptions:
    """``flags`` of mount(2), the ``propagation`` change that follows it (0: none), and ``data`` for the file system."""

    flags: int = 0
    propagation: int = 0
    data: str = ""

    @property
    def is_bind(self) -> bool:
        return bool(self.flags & m.MS_BIND)


def parse(options: tuple[str, ...]) -> MountOptions:
    """Sort ``options``; what is neither a flag nor a propagation is the file system's own."""
    flags, propagation, data = 0, 0, []
    for option in options:
        if option in FLAGS:
            flag, sets = FLAGS[option]
            flags = flags | flag if sets else flags & ~flag
        elif option in PROPAGATION:
            propagation = PROPAGATION[option]
        else:
            data.append(option)
    return MountOptions(flags, propagation, ",".join(data))
