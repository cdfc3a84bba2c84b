"""Trees for tests: one with everything a file system can hold, and what a tree is made of, to compare two."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from containerkit import Container, Image

Facts = dict[str, tuple[object, ...]]


def facts(root: str | Path) -> Facts:
    """By path below ``root``: everything about it that an image keeps. Sockets are left out."""
    found: Facts = {}
    first_names: dict[int, str] = {}
    for directory, directories, files in os.walk(root):
        directories.sort()
        for name in [".", *sorted(files), *(d for d in directories if os.path.islink(f"{directory}/{d}"))]:
            path = os.path.normpath(f"{directory}/{name}")
            status = os.lstat(path)
            if not stat.S_ISSOCK(status.st_mode):
                relative = os.path.relpath(path, root)
                found[relative] = _fact(path, relative, status, first_names)
    return found


def _fact(path: str, relative: str, status: os.stat_result, first_names: dict[int, str]) -> tuple[object, ...]:
    content: object = None
    if stat.S_ISREG(status.st_mode):
        content = Path(path).read_bytes()
    elif stat.S_ISLNK(status.st_mode):
        content = os.readlink(path)
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        content = status.st_rdev
    xattrs = {
        name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
    }
    same = first_names.setdefault(status.st_ino, relative) if not stat.S_ISDIR(status.st_mode) else ""
    return (oct(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, content, xattrs, same)


def build(root: Path) -> Path:
    """Make a tree at ``root`` with every kind of file, owner, mode, attribute and time. Needs root."""
    (root / "etc" / "deep" / "er").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    (root / "etc/empty").touch()
    (root / "etc/deep/er/ünïcode ☃ with spaces\n").write_bytes(os.urandom(3000))
    (root / ("long-" + "n" * 240)).write_bytes(bytes(700_000))
    Path(os.fsdecode(os.fsencode(root) + b"/not-utf8-\xff\xfe")).write_text("x")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "closed").mkdir()
    (root / "closed/inside").write_text("x")
    (root / "closed").chmod(0o000)
    (root / "setuid").write_text("#!")
    os.chown(root / "setuid", 4_000_000_000, 65534)
    (root / "setuid").chmod(0o6755)
    os.setxattr(root / "setuid", "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))
    os.setxattr(root / "etc/passwd", "user.note", b"\x00\xffbytes\n")
    os.setxattr(root / "etc/deep", "trusted.secret", b"")
    os.link(root / "etc/passwd", root / "other-name")
    os.symlink("../../outside", root / "escaping")
    os.symlink("/etc/passwd", root / "absolute")
    os.symlink("nowhere", root / "dangling")
    os.symlink("etc/deep", root / "to-directory")
    os.link(root / "dangling", root / "second-link", follow_symlinks=False)
    os.lchown(root / "dangling", 7, 8)
    os.mkfifo(root / "fifo", 0o640)
    os.mknod(root / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    os.mknod(root / "disk", stat.S_IFBLK | 0o600, os.makedev(259, 70_000))
    _default_acl(root / "etc/deep")
    for number, name in enumerate(sorted(facts(root), key=lambda name: (-name.count("/"), name))):
        times = (1_000_000_000 + number, 1_234_567_890_123_456_789 + number)
        os.utime(root / name, ns=times, follow_symlinks=False)
    os.utime(root / "etc/empty", ns=(0, -1_500_000_000))
    return root


def _default_acl(path: Path) -> None:
    # user::rwx user:7:r-x group::r-x mask::r-x other::--- (include/uapi/linux/posix_acl_xattr.h)
    entries = [(1, 7, 2**32 - 1), (2, 5, 7), (4, 5, 2**32 - 1), (16, 5, 2**32 - 1), (32, 0, 2**32 - 1)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, "system.posix_acl_default", acl)


def merged(layers: Sequence[Path], place: Path) -> Facts:
    """What the kernel makes of the layers, uppermost first, which it stacks at ``place`` meanwhile. Needs root.

    Of the root itself, its time is left out: it is that of a container's writable layer.
    """
    (place / "empty").mkdir(parents=True, exist_ok=True)
    (place / "tree").mkdir(exist_ok=True)
    options = "lowerdir=" + ":".join(str(path) for path in (*layers, place / "empty"))
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"ro,{options}", place / "tree"], check=True)
    try:
        found = facts(place / "tree")
    finally:
        subprocess.run(["umount", place / "tree"], check=True)
    found["."] = found["."][:3]
    return found


def of_image(image: Image, place: Path) -> Facts:
    """What the image's layers come to, stacked at ``place``."""
    record = image._record
    return merged([*reversed(image.engine.store.layers.ensure(record.chain_ids, record.layers))], place)


#: What every container has mounted over its own.
MOUNTED = ("etc/hosts", "etc/resolv.conf", "etc/hostname")


def of_container(container: Container, place: Path) -> Facts:
    """What a container's layers come to, the writable one too; without what is mounted in it."""
    record = container.image._record
    found = merged(container._engine.store.snapshots.directories(container.id, record), place)
    return {path: facts for path, facts in found.items() if path not in MOUNTED}
