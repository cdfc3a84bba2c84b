"""The options of a mount, as the runtime specification and mount(8) write them, sorted into what the kernel takes.

Source: runtime-spec config.md, "Linux mount options".
"""

from __future__ import annotations

from containerkit.linux import mounts as m
from containerkit.oci.runtime_spec import Mount
from containerkit.values import frozen

#: option → (flag, whether the option sets it)
FLAGS: dict[str, tuple[int, bool]] = {
    "async": (m.MS_SYNCHRONOUS, False), "atime": (m.MS_NOATIME, False), "defaults": (0, True),
    "dev": (m.MS_NODEV, False), "diratime": (m.MS_NODIRATIME, False), "dirsync": (m.MS_DIRSYNC, True),
    "exec": (m.MS_NOEXEC, False), "lazytime": (m.MS_LAZYTIME, True), "loud": (m.MS_SILENT, False),
    "mand": (m.MS_MANDLOCK, True), "noatime": (m.MS_NOATIME, True), "nodev": (m.MS_NODEV, True),
    "nodiratime": (m.MS_NODIRATIME, True), "noexec": (m.MS_NOEXEC, True), "nolazytime": (m.MS_LAZYTIME, False),
    "nomand": (m.MS_MANDLOCK, False), "norelatime": (m.MS_RELATIME, False),
    "nostrictatime": (m.MS_STRICTATIME, False), "nosuid": (m.MS_NOSUID, True), "relatime": (m.MS_RELATIME, True),
    "nosymfollow": (m.MS_NOSYMFOLLOW, True), "symfollow": (m.MS_NOSYMFOLLOW, False),
    "remount": (m.MS_REMOUNT, True), "ro": (m.MS_RDONLY, True), "rw": (m.MS_RDONLY, False),
    "silent": (m.MS_SILENT, True), "strictatime": (m.MS_STRICTATIME, True), "suid": (m.MS_NOSUID, False),
    "sync": (m.MS_SYNCHRONOUS, True), "bind": (m.MS_BIND, True), "rbind": (m.MS_BIND | m.MS_REC, True),
}  # fmt: skip

PROPAGATION: dict[str, int] = {
    "private": m.MS_PRIVATE, "shared": m.MS_SHARED, "slave": m.MS_SLAVE, "unbindable": m.MS_UNBINDABLE,
    "rprivate": m.MS_PRIVATE | m.MS_REC, "rshared": m.MS_SHARED | m.MS_REC,
    "rslave": m.MS_SLAVE | m.MS_REC, "runbindable": m.MS_UNBINDABLE | m.MS_REC,
}  # fmt: skip

#: For a mount and all below it, by mount_setattr(2): option → (bits to set, bits to clear)
RECURSIVE: dict[str, tuple[int, int]] = {
    "rro": (m.MOUNT_ATTR_RDONLY, 0), "rrw": (0, m.MOUNT_ATTR_RDONLY),
    "rnosuid": (m.MOUNT_ATTR_NOSUID, 0), "rsuid": (0, m.MOUNT_ATTR_NOSUID),
    "rnodev": (m.MOUNT_ATTR_NODEV, 0), "rdev": (0, m.MOUNT_ATTR_NODEV),
    "rnoexec": (m.MOUNT_ATTR_NOEXEC, 0), "rexec": (0, m.MOUNT_ATTR_NOEXEC),
    "rnodiratime": (m.MOUNT_ATTR_NODIRATIME, 0), "rdiratime": (0, m.MOUNT_ATTR_NODIRATIME),
    "rnoatime": (m.MOUNT_ATTR_NOATIME, m.MOUNT_ATTR__ATIME), "ratime": (0, m.MOUNT_ATTR__ATIME),
    "rstrictatime": (m.MOUNT_ATTR_STRICTATIME, m.MOUNT_ATTR__ATIME), "rnostrictatime": (0, m.MOUNT_ATTR__ATIME),
    "rrelatime": (0, m.MOUNT_ATTR__ATIME), "rnorelatime": (0, m.MOUNT_ATTR__ATIME),
    "rnosymfollow": (m.MOUNT_ATTR_NOSYMFOLLOW, 0), "rsymfollow": (0, m.MOUNT_ATTR_NOSYMFOLLOW),
}  # fmt: skip

#: Options that are the runtime's own doing. ``tmpupper``: an overlay whose one layer is the entry's source, and whose
#: writable directory is in memory.
OWN = ("tmpcopyup", "tmpupper", "idmap", "ridmap")
#: Our own, too, with a path after it.
SUBPATH = "subpath="


@frozen
class MountOptions:
    """What an entry's options come to.

    Args:
        flags: of mount(2).
        propagation: the change that follows it; 0 for none.
        data: for the file system.
        recursive: bits to set and to clear on all mounts below, too.
        own: of :data:`OWN`.
        subpath: what of the source is mounted; resolved inside it.
    """

    flags: int = 0
    propagation: int = 0
    data: str = ""
    recursive: tuple[int, int] = (0, 0)
    own: tuple[str, ...] = ()
    subpath: str = ""

    @property
    def is_bind(self) -> bool:
        return bool(self.flags & m.MS_BIND)


def is_bind(entry: Mount) -> bool:
    """Whether the entry shows a place of the host's, said as its type or as an option."""
    return entry.type == "bind" or "bind" in entry.options or "rbind" in entry.options


def is_mapped(entry: Mount) -> bool:
    """Whether the entry shows its files' owners by other numbers."""
    return "idmap" in entry.options or "ridmap" in entry.options


def is_shared(entry: Mount) -> bool:
    """Whether mounts travel both ways through the entry: a bind that says so, and keeps its owners."""
    return is_bind(entry) and not is_mapped(entry) and bool({"shared", "rshared"} & {*entry.options})


def parse(options: tuple[str, ...]) -> MountOptions:
    """Sort ``options``; what is neither a flag nor a propagation is the file system's own."""
    flags, propagation, data, own, subpath = 0, 0, [], [], ""
    to_set = to_clear = 0
    for option in options:
        if option in FLAGS:
            flag, sets = FLAGS[option]
            flags = flags | flag if sets else flags & ~flag
        elif option in PROPAGATION:
            propagation = PROPAGATION[option]
        elif option in RECURSIVE:
            bits, cleared = RECURSIVE[option]
            to_set, to_clear = to_set & ~cleared | bits, to_clear & ~bits | cleared
        elif option in OWN:
            own.append(option)
        elif option.startswith(SUBPATH):
            subpath = option.removeprefix(SUBPATH)
        else:
            data.append(option)
    return MountOptions(flags, propagation, ",".join(data), (to_set, to_clear), tuple(own), subpath)
